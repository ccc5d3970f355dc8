"""The encoder, the remover and the data that they see, out of whatever the user has fitted."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from passive_pruner._remover import PassiveVariableRemover
from passive_pruner.plots._checks import check_image_shape
from passive_pruner.regime import CRITERIA, LatentMoments


class Parts(NamedTuple):
    """Parts of a fitted estimator.

    Attributes
    ----------
    encoder : encoder or None
        What has a posterior.
    remover : PassiveVariableRemover or None
        The first one after the encoder.
    X : array-like or None
        Data as the encoder takes it.
    feature_names : list of str or None
        Names of its columns, if it has names.
    """

    encoder: Any
    remover: PassiveVariableRemover | None
    X: Any
    feature_names: list[str] | None


class Evidence(NamedTuple):
    """What is known of the latent variables.

    Attributes
    ----------
    moments : LatentMoments
        Moments of the data that was given, or that the remover was fitted on.
    types : ndarray of shape (n_components,), str
        Types by these moments.
    criterion : str
        Rule that names them.
    threshold : float
        Its threshold.
    names : list of str
        Names of the variables.
    parts : Parts
        What they come from.
    """

    moments: LatentMoments
    types: np.ndarray
    criterion: str
    threshold: float
    names: list[str]
    parts: Parts


def find_parts(estimator, X=None) -> Parts:
    """Find encoder and remover in an estimator, a pipeline or a search over one.

    Parameters
    ----------
    estimator : encoder, PassiveVariableRemover, Pipeline, or search with `best_estimator_`
        A fitted estimator.
    X : array-like, default=None
        Data for the first step; the steps before the encoder transform it.

    Returns
    -------
    parts : Parts
    """
    encoder = remover = None
    names = getattr(X, "columns", None)
    for step in steps_of(getattr(estimator, "best_estimator_", estimator)):
        if isinstance(getattr(step, "estimator", None), PassiveVariableRemover):
            step = step.estimator  # one that is frozen
        if isinstance(step, PassiveVariableRemover):
            remover = step
            break
        if encoder is None:
            if hasattr(step, "posterior"):
                encoder = step
            elif X is not None and hasattr(step, "transform"):
                X = step.transform(X)
                named = names is not None and hasattr(step, "get_feature_names_out")
                names = step.get_feature_names_out(names) if named else None
    columns = getattr(encoder, "columns_", None)
    if columns is not None:
        names = columns.input_names
    return Parts(encoder, remover, X, None if names is None else [str(name) for name in names])


def steps_of(estimator) -> Iterator[Any]:
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from steps_of(step)
    elif estimator is not None and estimator != "passthrough":
        yield estimator


def find_encoder(caller: str, estimator, X=None, *, needs: str = "posterior") -> Parts:
    """Like :func:`find_parts`, with an error if there is no encoder that has what is needed."""
    parts = find_parts(estimator, X)
    if parts.encoder is None:
        raise ValueError(
            f"{caller} needs a fitted encoder with a posterior, such as VAEEncoder, or a Pipeline "
            f"that holds one, got {type(estimator).__name__}."
        )
    if not hasattr(parts.encoder, needs):
        raise ValueError(f"{caller} needs an encoder with {needs}, which {parts.encoder} has not.")
    return parts


def variable_names(encoder) -> list[str]:
    """Numbers of the latent variables as strings; before pruning, if the encoder was pruned."""
    return [str(j) for j in getattr(encoder, "variable_numbers_", range(encoder.n_components_))]


def find_evidence(
    caller: str, estimator, X, criterion: str | None = None, threshold: float | None = None
) -> Evidence:
    """Moments and types of the latent variables, of `X` or of what the remover was fitted on.

    The types are those of the same rows as the moments: what the remover learned from others
    would hide a variable that is of another type here.
    """
    parts = find_parts(estimator, X)
    criterion, threshold = rule_of(parts.remover, criterion, threshold)
    if X is not None and hasattr(parts.encoder, "moments"):
        entropy = "entropy_power" in CRITERIA[criterion].statistics
        moments = parts.encoder.moments(parts.X, entropy=entropy)
    elif X is None and parts.remover is not None:
        moments = parts.remover.moments_
    else:
        raise ValueError(
            f"{caller} needs a fitted encoder and X, or a fitted PassiveVariableRemover and no X, "
            f"got {type(estimator).__name__} {'without' if X is None else 'with'} X."
        )
    try:
        types = CRITERIA[criterion](moments, threshold, **_control(parts.remover, criterion))
    except ValueError as error:
        raise ValueError(f"{error} With an encoder and X, {caller} makes them itself.") from error
    if parts.encoder is not None:
        names = variable_names(parts.encoder)
    else:
        names = [str(j) for j in range(moments.n_components)]
    return Evidence(moments, types, criterion, threshold, names, parts)


def _control(remover, criterion: str) -> dict:
    """Return the remover's control of errors, which is that of its own criterion."""
    if remover is None or criterion != remover.criterion_:
        return {}
    return {"alpha": remover.alpha_, "drop": remover.drop_}


def rule_of(remover, criterion: str | None, threshold: float | None) -> tuple[str, float]:
    """Criterion and threshold: as given, else those of the remover, else the paper's.

    A criterion that the remover has as well keeps the remover's threshold.
    """
    known = ("variance", 0.1) if remover is None else (remover.criterion_, remover.threshold_)
    criterion = criterion or known[0]
    if not isinstance(criterion, str) or criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {sorted(CRITERIA)}, got {criterion!r}.")
    if threshold is None:
        threshold = known[1] if criterion == known[0] else CRITERIA[criterion].threshold
    return criterion, threshold


def as_rows(encoder, X) -> np.ndarray:
    """Dense float copy of `X` of shape (n_samples, n_features), in the units that are decoded.

    Categories are one-hot.
    """
    columns = getattr(encoder, "columns_", None)
    if columns is not None:
        return columns.inputs(columns.read(encoder, X)).astype(np.float64)
    X = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
    X = X.reshape(len(X), -1)
    # An encoder of bytes reads bytes as 0..1; floats that it accepts are in 0..1 already.
    is_bytes = X.dtype == np.uint8
    return X.astype(np.float64) / (getattr(encoder, "byte_divisor_", 1) if is_bytes else 1)


def reconstruct(encoder, codes: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Decode codes into rows that can be compared with those they stand for.

    Codes are in the units of the prior. Where a likelihood of counts has ``exposure="row_sum"``,
    they tell the composition of a row and not its sum, and decode to the mean row sum. Such columns
    get the sum that their row has, over the cells that are present.
    """
    decoded = decode(encoder, codes).reshape(original.shape).astype(np.float64)
    columns = np.arange(original.shape[1])
    for exposed in _exposed_columns(getattr(encoder, "likelihood_", None), columns):
        given, model = original[:, exposed], decoded[:, exposed]
        total = np.sum(model, axis=1, where=~np.isnan(given), keepdims=True)
        model *= np.nansum(given, axis=1, keepdims=True) / np.where(total > 0, total, 1)
        decoded[:, exposed] = model
    return decoded


def _exposed_columns(likelihood, columns: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the columns of each likelihood whose means are relative to the sum of the row."""
    if isinstance(parts := getattr(likelihood, "parts", None), (list, tuple)):  # Mixed
        for part, positions in parts:
            yield from _exposed_columns(part, columns[positions])
    elif getattr(likelihood, "exposure", None) == "row_sum":
        yield columns


def value_range(encoder, X) -> tuple[float, float]:
    """Least and largest value of `X` in the units that are decoded."""
    rows = as_rows(encoder, X)
    return float(np.nanmin(rows)), float(np.nanmax(rows))


def image_shape_of(encoder, image_shape=None) -> tuple[int, ...] | None:
    """Shape of one image: as given and checked, as the encoder was fitted, or None for tables."""
    if image_shape is not None:
        return check_image_shape(image_shape, encoder.n_features_in_)
    image_shape = getattr(encoder, "feature_shape_", ())
    if len(image_shape) < 2:
        image_shape = getattr(getattr(encoder, "architecture_", None), "image_shape", None)
    return None if image_shape is None else tuple(image_shape)


def decode(encoder, codes: np.ndarray) -> np.ndarray:
    """Decode codes in the units of the prior, whatever units the encoder takes."""
    if not getattr(encoder, "whiten", True):
        codes = codes * encoder.code_scale_
    decoded = encoder.inverse_transform(codes)
    return decoded if getattr(encoder, "columns_", None) is None else as_rows(encoder, decoded)


def decode_traversals(encoder, values, base) -> np.ndarray:
    """Decode the code `base` with one variable at a time set to each of the values.

    Returns
    -------
    decoded : ndarray of shape (n_components, n_values, n_features)
    """
    d = len(base)
    codes = np.tile(base, (d, len(values), 1))
    codes[np.arange(d), :, np.arange(d)] = values
    return decode(encoder, codes.reshape(-1, d)).reshape(d, len(values), -1)
