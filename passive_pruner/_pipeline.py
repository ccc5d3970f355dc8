"""A fitted encoder and its remover merged into one smaller encoder."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from passive_pruner._common._typing import MatrixLike
from passive_pruner._encoder import VAEEncoder
from passive_pruner._remover import PassiveVariableRemover


def prune_pipeline(pipe: BaseEstimator, keep: MatrixLike | None = None) -> Pipeline:
    """Merge a fitted encoder and its remover into one smaller encoder.

    The passive variables are cut out of the network, so that they are neither computed nor stored.
    The new pipeline makes the same predictions, up to float32 rounding.

    Parameters
    ----------
    pipe : Pipeline, or search over one
        A fitted pipeline with a :class:`VAEEncoder` and, right after it, a
        :class:`PassiveVariableRemover`. It is not changed. A remover is not needed if `keep` is
        given. Of a search the best estimator is used.
    keep : array-like of bool or int, or DataFrame, default=None
        Variables of the encoder to keep, in a form that :meth:`VAEEncoder.pruned` accepts, such as
        the result of :func:`passive_pruner.regime.ablate`. None keeps the variables that the
        remover keeps.

    Returns
    -------
    pruned : Pipeline
        Pipeline with the pruned encoder, in the position and under the name of the original, and
        without the remover. If `keep` is None, the pipeline is fitted and has copies of all other
        steps. Otherwise the steps after the encoder are unfitted clones, because the columns differ
        from those that they were fitted on: fit them on the new codes as in the example. If there
        was a remover, the encoder returns no variance columns any more. Fitting the whole pipeline
        again trains an encoder of the reduced width.

    Raises
    ------
    ValueError
        If the pipeline lacks these steps. If `keep` is None, also if the encoder has
        ``output="sampled"``, or if a later step was fitted with column names that the pruned
        encoder does not have. Otherwise, if :meth:`VAEEncoder.pruned` does not accept `keep`.

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

    Select variables by their effect on the decoder, and fit the classifier on the new codes:

    >>> from passive_pruner.regime import ablate
    >>> ablation = ablate(pipe["vaeencoder"], pipe["standardscaler"].transform(X))
    >>> pruned = prune_pipeline(pipe, ablation)
    >>> _ = pruned["logisticregression"].fit(pruned[:-1].transform(X), y)
    >>> bool(pruned.score(X, y) > 0.9)
    True
    """
    pipe = getattr(pipe, "best_estimator_", pipe)
    if keep is not None:
        return _prune_to(pipe, keep)
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
            f"{remover.criterion_!r} takes every column for a code. Use add_variance=False, or a "
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


def _prune_to(pipe, keep):
    """Cut an encoder, drop its remover, and leave the steps after it to be fitted."""
    encoder_at, remover_at = _find_pair(pipe, remover_needed=False)
    encoder = pipe.steps[encoder_at][1].pruned(keep)
    if remover_at is not None:
        encoder.set_params(add_variance=False)
        _take_output_container(encoder, pipe.steps[remover_at][1])
    steps = [(name, copy.deepcopy(step)) for name, step in pipe.steps[:encoder_at]]
    steps.append((pipe.steps[encoder_at][0], encoder))
    for at, (name, step) in enumerate(pipe.steps):
        if at > encoder_at and at != remover_at:
            steps.append((name, step if _is_passthrough(step) else clone(step)))
    pruned = copy.copy(pipe)
    pruned.steps = steps
    return pruned


def _find_pair(pipe, *, remover_needed=True):
    """Positions of the encoder and of the remover that follows it; None for one that need not."""
    if not isinstance(pipe, Pipeline):
        is_search = hasattr(pipe, "best_params_") or hasattr(pipe, "refit")
        hint = " Fit it first, with refit=True, for its best_estimator_." if is_search else ""
        raise TypeError(
            "prune_pipeline takes a fitted Pipeline, or a search over one, got "
            f"{type(pipe).__name__}.{hint}"
        )
    active = [i for i, (_, step) in enumerate(pipe.steps) if not _is_passthrough(step)]
    pairs = []
    for i, j in zip(active, [*active[1:], None], strict=True):
        if isinstance(pipe.steps[i][1], VAEEncoder):
            is_remover = j is not None and isinstance(pipe.steps[j][1], PassiveVariableRemover)
            if is_remover or not remover_needed:
                pairs.append((i, j if is_remover else None))
    if len(pairs) == 1:
        return pairs[0]
    found = ", ".join(type(pipe.steps[i][1]).__name__ for i in active) or "none"
    if not remover_needed:
        raise ValueError(
            f"prune_pipeline needs one VAEEncoder, but the steps are: {found}. Of nested "
            "pipelines, give the one that holds it."
        )
    raise ValueError(
        "prune_pipeline needs one VAEEncoder directly followed by one PassiveVariableRemover, "
        f"but the steps are: {found}. Steps between the two, such as scalers, belong "
        "after the remover; of nested pipelines, give the one that holds the two."
    )


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
