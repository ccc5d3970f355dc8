"""Weights of a fitted encoder as a safetensors file, for exchange with users of torch."""

import json

import numpy as np

import passive_pruner
from passive_pruner._common._files import checked_path, write_whole
from passive_pruner._common._state import check_weights, weights_checksum


def write_weights(weights, path, beside):
    """Write a dict of arrays to a safetensors file, as a whole or not at all.

    Parameters
    ----------
    weights : dict of str to ndarray
        Weights of a network.
    path : str or path-like
        The file.
    beside : dict of str to ndarray
        Vectors that belong to them, float64, by the name of the attribute.
    """
    metadata = {
        "format": "pt",
        "passive_pruner_version": passive_pruner.__version__,
        "passive_pruner_checksum": str(weights_checksum(weights)),
        # By digits that give them back.
        **{_key(name): json.dumps(vector.tolist()) for name, vector in beside.items()},
    }
    write_whole(path, _safetensors().numpy.save(weights, metadata=metadata))


def read_weights(path, like, sizes):
    """Read a safetensors file whose names and shapes must be those of `like`.

    Parameters
    ----------
    path : str or path-like
        The file.
    like : dict of str to ndarray
        Weights of the network that the file is for.
    sizes : dict of str to int
        Lengths of the vectors to look for beside them, by name.

    Returns
    -------
    weights : dict of str to ndarray
        With the names, order, shapes and dtypes of `like`.
    beside : dict of str to ndarray
        Those of the vectors that the file has.

    Raises
    ------
    ValueError
        If it is no safetensors file, if names, shapes or kinds of numbers differ from those of
        `like`, if a value is not finite, or if the file holds other values than were saved.
    """
    safetensors = _safetensors()
    path = checked_path(path)
    open(path, "rb").close()  # a missing file and a folder have errors of their own
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is no complete safetensors file ({error}). Write it with "
            "VAEEncoder.save_weights, or take another copy."
        ) from error
    _check_fit(path, tensors, like)
    if (checksum := metadata.get("passive_pruner_checksum")) is not None:
        if not (checksum.isascii() and checksum.isdigit() and len(checksum) <= 10):
            raise ValueError(
                f"{path}: the metadata 'passive_pruner_checksum' must be a number, got "
                f"{checksum!r}. The file was damaged or edited; take another copy, or save the "
                "encoder again."
            )
        check_weights({k: v.numpy() for k, v in tensors.items()}, int(checksum))
    weights = {}
    for name, value in like.items():
        # By way of float64, which holds the half precision types that numpy lacks.
        tensor = tensors[name].double() if tensors[name].is_floating_point() else tensors[name]
        weights[name] = tensor.numpy().astype(value.dtype)
        if not np.isfinite(weights[name]).all():
            raise ValueError(f"{path}: {name} has values that are not finite in {value.dtype}.")
    beside = {
        name: _vector(path, _key(name), metadata[_key(name)], size)
        for name, size in sizes.items()
        if _key(name) in metadata
    }
    return weights, beside


def _vector(path, key, text, size):
    """Read a vector of finite numbers from the metadata."""
    try:
        vector = np.array(json.loads(text), dtype=np.float64)
    except (RecursionError, TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise ValueError(
            f"{path}: the metadata {key!r} must be {size} finite numbers, got {text[:60]!r}. The "
            "file was damaged or edited; take another copy, or save the encoder again."
        )
    return vector


def _key(name):
    return f"passive_pruner_{name.removesuffix('_')}"


def _check_fit(path, tensors, like):
    """Raise a ValueError that names what differs between a file and a network."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
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
    problems += [
        f"{name} has numbers of type {str(tensors[name].dtype).removeprefix('torch.')} instead of "
        f"{value.dtype}"
        for name, value in like.items()
        if name in tensors and not _is_of_kind(tensors[name], value.dtype.kind)
    ]
    if problems:
        raise ValueError(
            f"{path} does not hold the weights of this network: {'; '.join(problems)}. Names and "
            "shapes follow from the columns of the training data, n_components, likelihood and "
            "architecture, which must be those of the encoder that was saved."
        )


def _is_of_kind(tensor, kind):
    """Whether a tensor has floats, whole numbers or booleans as an array of this kind has."""
    if kind == "f":
        return tensor.is_floating_point()
    if tensor.is_floating_point() or tensor.is_complex():
        return False
    return (kind == "b") == (str(tensor.dtype) == "torch.bool")


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save_weights and load_weights need safetensors: pip install "
            "'passive_pruner[persistence]'."
        ) from error
    return safetensors
