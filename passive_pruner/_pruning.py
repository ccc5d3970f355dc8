"""Smaller encoders: latent variables that are not needed are cut out of the network itself."""

import copy

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from passive_pruner.vae._network import seeded_torch

_CPU = torch.device("cpu")
# A sum over fewer terms rounds differently: in float32 by about 1e-6 of a typical output.
_TOLERANCE = 1e-4


def prune_encoder(encoder, keep):
    """Cut latent variables out of a fitted encoder; the one that is given stays as it is.

    What :meth:`VAEEncoder.pruned` calls and describes.

    Parameters
    ----------
    encoder : VAEEncoder
        A fitted encoder of d latent variables.
    keep : array-like of bool of shape (d,), or of int
        Mask of the variables to keep, or their numbers from 0 to d - 1.

    Returns
    -------
    pruned : VAEEncoder
        A fitted encoder of the kept variables.

    Raises
    ------
    ValueError
        If `keep` is neither or keeps nothing, or if the pruned network is not the same function
        of the kept variables as the original.
    """
    check_is_fitted(encoder)
    d = encoder.n_components_
    keep = _numbers(keep, d)
    pruned = clone(encoder).set_params(n_components=len(keep))
    parameters = encoder.get_params(deep=False)
    for name, value in vars(encoder).items():
        if name.endswith("_") and name not in (*parameters, "weights_"):
            setattr(pruned, name, copy.deepcopy(value))
    pruned.n_components_ = len(keep)
    pruned.variable_numbers_ = getattr(encoder, "variable_numbers_", np.arange(d))[keep]
    for record in pruned.history_:
        record.update({k: v[keep] for k, v in record.items() if isinstance(v, np.ndarray)})
    pruned.weights_ = _sliced_weights(encoder, keep)
    _check_same_function(encoder, pruned, keep)
    return pruned


def _numbers(keep, n_components):
    """Check what to keep, a mask or numbers, and return numbers."""
    keep = np.asarray(keep)
    if keep.dtype == bool and keep.shape == (n_components,):
        keep = np.flatnonzero(keep)
    if (
        keep.ndim != 1
        or len(keep) == 0
        or keep.dtype.kind not in "iu"
        or not np.isin(keep, np.arange(n_components)).all()
        or len(np.unique(keep)) < len(keep)
    ):
        raise ValueError(
            f"keep must be a mask of {n_components} latent variables or distinct numbers from 0 to "
            f"{n_components - 1}, and keep at least one, got {keep!r}."
        )
    return keep


def _sliced_weights(encoder, keep):
    """Weights of the network without the variables that are not in `keep`.

    The last layer of the encoder is W h + b, with one row of W and one entry of b per output: the
    means, then the log-variances. Dropping rows and entries drops outputs and changes no other.
    The first layer of the decoder is W z + b, with one column of W per variable. A variable held
    at 0, the mean of its prior, adds nothing to that sum, so its column can go and b stays.

    Which axes count the variables shows in the shapes of the same network with one variable more.
    """
    d = encoder.n_components_
    indices = {(d, d + 1): keep, (2 * d, 2 * d + 2): np.concatenate([keep, d + keep])}
    larger = copy.copy(encoder)
    larger.n_components_ = d + 1
    with seeded_torch(0, _CPU):  # Layers draw their start values when they are made.
        template = larger._build_module(np.zeros((1, encoder.n_features_in_), dtype=np.float32))
    sliced = {}
    for name, tensor in template.state_dict().items():
        value = encoder.weights_[name]
        for axis, sizes in enumerate(zip(value.shape, tensor.shape, strict=True)):
            if sizes in indices:
                value = value.take(indices[sizes], axis=axis)
            elif sizes[0] != sizes[1]:
                raise ValueError(_not_linear(encoder, f"the shape of {name} does not show which"))
        sliced[name] = value.copy()
    return sliced


def _check_same_function(encoder, pruned, keep):
    """Refuse a pruned network whose outputs differ, as after a normalisation of all codes.

    Shapes do not tell what a network does with its numbers, so both are run on the same rows:
    random codes, and the data that they decode to.
    """
    d = encoder.n_components_
    z = torch.randn(64, d, generator=torch.Generator().manual_seed(0))
    z_kept = torch.zeros_like(z)
    z_kept[:, keep] = z[:, keep]
    try:
        small = pruned._module(_CPU)
    except RuntimeError as error:  # torch's name for shapes that do not fit
        raise ValueError(_not_linear(encoder, "other layers depend on their number")) from error
    network = encoder._module(_CPU)
    with torch.inference_mode():
        x = network.mean(z)
        pairs = [(a[:, keep], b) for a, b in zip(network.encode(x), small.encode(x), strict=True)]
        pairs.append((network.decoder(z_kept), small.decoder(z[:, keep])))
    if not all(_are_close(*pair) for pair in pairs):
        raise ValueError(_not_linear(encoder, "the pruned network gives other outputs"))


def _are_close(a, b):
    scale = 1 + a.abs().median()
    return torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)


def _not_linear(encoder, problem):
    return (
        f"Cannot cut latent variables out of {encoder.architecture_!r}: {problem}. The last layer "
        "of its encoder and the first layer of its decoder must be linear in the variables, and "
        "no other layer may depend on n_components."
    )
