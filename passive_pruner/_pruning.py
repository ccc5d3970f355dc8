"""Smaller encoders: latent variables that are not needed are cut out of the network itself."""

import copy
from itertools import pairwise

import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from passive_pruner._remover import PassiveVariableRemover
from passive_pruner.vae._module import seeded_torch

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


def prune_pipeline(pipe):
    """Merge a fitted encoder and its remover into one smaller encoder.

    The passive variables are cut out of the network, so that they are neither computed nor
    stored. The new pipeline makes the same predictions, up to the rounding of float32.

    Parameters
    ----------
    pipe : Pipeline
        A fitted pipeline with a :class:`VAEEncoder` and, right after it, a
        :class:`PassiveVariableRemover`. It is not changed.

    Returns
    -------
    pruned : Pipeline
        A fitted pipeline with the pruned encoder, in the place and by the name of the original,
        and copies of all other steps except the remover. Its encoder has no variance columns:
        they served the remover. Fitted anew, it trains an encoder of the width that was kept.

    Raises
    ------
    ValueError
        If the two steps are not there, if the encoder draws its codes (``output="sampled"``),
        or if a later step was fitted with column names that the pruned encoder does not have.

    See Also
    --------
    VAEEncoder.pruned : The same for an encoder alone, with any choice of variables.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import PassiveVariableRemover, VAEEncoder, prune_pipeline
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(
    ...     StandardScaler(),
    ...     VAEEncoder(n_components=20, max_steps=500, random_state=0),
    ...     PassiveVariableRemover(),
    ...     LogisticRegression(),
    ... ).fit(X, y)
    >>> pruned = prune_pipeline(pipe)
    >>> [name for name, _ in pruned.steps]
    ['standardscaler', 'vaeencoder', 'logisticregression']
    >>> bool((pruned.predict(X) == pipe.predict(X)).all())
    True
    """
    encoder_at, remover_at = _find_pair(pipe)
    encoder, remover = pipe.steps[encoder_at][1], pipe.steps[remover_at][1]
    check_is_fitted(encoder)
    check_is_fitted(remover)
    if encoder.output == "sampled":
        raise ValueError(
            "Cannot prune an encoder with output='sampled' and keep its predictions: it draws one "
            "number per variable, and with fewer variables all draws are others. Set "
            "output='mean', fit the steps after it again, then prune."
        )
    keep, of_variances = np.split(remover.get_support(), [encoder.n_components_])
    if of_variances.any():
        raise ValueError(
            "The remover kept columns of posterior variances, because its criterion "
            f"{remover.criterion!r} takes every column for a code. Use add_variance=False, or a "
            "criterion that reads variances."
        )
    pruned_encoder = encoder.pruned(keep).set_params(add_variance=False)
    _take_output_container(pruned_encoder, remover)

    steps = [
        (name, pruned_encoder if at == encoder_at else copy.deepcopy(step))
        for at, (name, step) in enumerate(pipe.steps)
        if at != remover_at
    ]
    _check_names(pruned_encoder, [step for _, step in steps[encoder_at + 1 :]])
    pruned = copy.copy(pipe)
    pruned.steps = steps
    return pruned


def _find_pair(pipe):
    """Positions of the encoder and of the remover that follows it."""
    if not isinstance(pipe, Pipeline):
        raise TypeError(f"prune_pipeline takes a Pipeline, got {type(pipe).__name__}.")
    active = [i for i, (_, step) in enumerate(pipe.steps) if not _is_passthrough(step)]
    pairs = [
        (i, j)
        for i, j in pairwise(active)
        if hasattr(pipe.steps[i][1], "pruned")  # a VAEEncoder, whose room imports this one
        and isinstance(pipe.steps[j][1], PassiveVariableRemover)
    ]
    if len(pairs) != 1:
        found = ", ".join(type(pipe.steps[i][1]).__name__ for i in active)
        raise ValueError(
            "prune_pipeline needs one VAEEncoder directly followed by one PassiveVariableRemover, "
            f"but the steps are: {found or 'none'}. Steps between the two, such as scalers, belong "
            "after the remover; of nested pipelines, give the one that holds the two."
        )
    return pairs[0]


def _is_passthrough(step):
    return step is None or isinstance(step, str)


def _take_output_container(pruned_encoder, remover):
    """Make the encoder return the container (array, pandas, polars) that the remover returned."""
    vars(pruned_encoder).pop("_sklearn_output_config", None)
    if hasattr(remover, "_sklearn_output_config"):
        pruned_encoder._sklearn_output_config = copy.deepcopy(remover._sklearn_output_config)


def _check_names(encoder, later_steps):
    """Refuse names that the next step would not recognise."""
    next_step = next((step for step in later_steps if not _is_passthrough(step)), None)
    expected = getattr(next_step, "feature_names_in_", None)
    given = encoder.get_feature_names_out()
    if expected is not None and not np.array_equal(expected, given):
        raise ValueError(
            f"{type(next_step).__name__} was fitted with columns named {list(expected)}, but those "
            f"of the pruned encoder are named {list(given)}. Call set_output on the whole "
            "pipeline before it is fitted, so that encoder and remover agree on names."
        )
