"""Weights of a fitted encoder as a safetensors file, for exchange with users of torch."""

import numpy as np

import passive_pruner
from passive_pruner._common._state import check_weights, weights_checksum


def write_weights(weights, path):
    """Write a dict of arrays to a safetensors file.

    What :meth:`VAEEncoder.save_weights` calls and describes.
    """
    metadata = {
        "format": "pt",
        "passive_pruner_version": passive_pruner.__version__,
        "passive_pruner_checksum": str(weights_checksum(weights)),
    }
    _safetensors().numpy.save_file(weights, path, metadata=metadata)


def read_weights(path, like):
    """Read a safetensors file whose names and shapes must be those of `like`.

    What :meth:`VAEEncoder.load_weights` calls and describes.

    Parameters
    ----------
    path : str or path-like
        The file.
    like : dict of str to ndarray
        Weights of the network that the file is for.

    Returns
    -------
    weights : dict of str to ndarray
        With the names, order, shapes and dtypes of `like`.
    """
    with _safetensors().safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    _check_fit(path, {k: tuple(v.shape) for k, v in tensors.items()}, like)
    if (checksum := metadata.get("passive_pruner_checksum")) is not None:
        check_weights({k: v.numpy() for k, v in tensors.items()}, int(checksum))
    weights = {}
    for name, value in like.items():
        # By way of float64, which holds the half precision types that numpy lacks.
        tensor = tensors[name].double() if tensors[name].is_floating_point() else tensors[name]
        weights[name] = tensor.numpy().astype(value.dtype)
        if not np.isfinite(weights[name]).all():
            raise ValueError(f"{path}: {name} has values that are not finite in {value.dtype}.")
    return weights


def _check_fit(path, shapes, like):
    """Raise a ValueError that names what differs between a file and a network."""
    expected = {name: value.shape for name, value in like.items()}
    problems = [
        f"{what} {names}"
        for what, names in (
            ("it lacks", sorted(expected.keys() - shapes.keys())),
            ("it has the unknown names", sorted(shapes.keys() - expected.keys())),
        )
        if names
    ]
    problems += [
        f"{name} has the shape {shapes[name]} instead of {shape}"
        for name, shape in expected.items()
        if shapes.get(name, shape) != shape
    ]
    if problems:
        raise ValueError(
            f"{path} does not hold the weights of this network: {'; '.join(problems)}. Names and "
            "shapes follow from the columns of the training data, n_components, likelihood and "
            "architecture, which must be those of the encoder that was saved."
        )


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save_weights and load_weights need safetensors: pip install "
            "'passive_pruner[persistence]'."
        ) from error
    return safetensors
