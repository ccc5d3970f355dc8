"""The encoder, the remover and the data that they see, out of whatever the user has fitted."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from passive_pruner._remover import PassiveVariableRemover
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


def find_moments(caller: str, estimator, X) -> tuple[LatentMoments, list[str], Parts]:
    """Moments and names of the latent variables, from `X` or as the remover has them."""
    parts = find_parts(estimator, X)
    if X is not None and parts.encoder is not None:
        moments = LatentMoments.from_batch(*parts.encoder.posterior(parts.X))
    elif X is None and parts.remover is not None:
        moments = parts.remover.moments_
    else:
        raise ValueError(
            f"{caller} needs a fitted encoder and X, or a fitted PassiveVariableRemover and no X, "
            f"got {type(estimator).__name__} {'without' if X is None else 'with'} X."
        )
    if parts.encoder is not None:
        names = variable_names(parts.encoder)
    else:
        names = [str(j) for j in range(moments.n_components)]
    return moments, names, parts


def rule_of(remover, criterion, threshold) -> tuple[str, float]:
    """Criterion and threshold: as given, else those of the remover, else the paper's."""
    if criterion is None:
        criterion = "variance" if remover is None else remover.criterion
        if threshold is None and remover is not None:
            threshold = remover.threshold
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {sorted(CRITERIA)}, got {criterion!r}.")
    return criterion, 0.1 if threshold is None else threshold


def types_of(remover, moments, criterion=None, threshold=None) -> np.ndarray:
    """Types that the remover gave, unless a rule is given or there is no remover."""
    if remover is not None and criterion is None and threshold is None:
        return remover.variable_types_
    criterion, threshold = rule_of(remover, criterion, threshold)
    return CRITERIA[criterion](moments, threshold)


def as_rows(encoder, X) -> np.ndarray:
    """Dense float copy of `X` of shape (n_samples, n_features), in the units that are decoded."""
    X = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
    X = X.reshape(len(X), -1).astype(np.float64)
    return X / 255 if getattr(encoder, "is_bytes_", False) else X


def image_shape_of(encoder, image_shape=None) -> tuple[int, ...] | None:
    """Shape of one image: as given, as the encoder was fitted, or None for tables."""
    if image_shape is None:
        image_shape = getattr(encoder, "feature_shape_", ())
        if len(image_shape) < 2:
            image_shape = getattr(getattr(encoder, "architecture_", None), "image_shape", None)
    return None if image_shape is None else tuple(image_shape)


def decode_traversals(encoder, values, base) -> np.ndarray:
    """Decode the code `base` with one variable at a time set to each of the values.

    Returns
    -------
    decoded : ndarray of shape (n_components, n_values, n_features)
    """
    d = len(base)
    codes = np.tile(base, (d, len(values), 1))
    codes[np.arange(d), :, np.arange(d)] = values
    return encoder.inverse_transform(codes.reshape(-1, d)).reshape(d, len(values), -1)
