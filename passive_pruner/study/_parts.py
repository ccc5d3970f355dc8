"""The steps of a pipeline before and behind the remover of passive variables."""

import copy
from typing import Any, NamedTuple

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from passive_pruner._remover import PassiveVariableRemover


class Parts(NamedTuple):
    """A pipeline without nesting, where in it the remover is, and former names of its steps."""

    pipeline: Pipeline
    at: int
    names: dict[str, str]

    def flat_name(self, name: str) -> str:
        """Name that a parameter of a step of the nested pipeline has in the one without nesting."""
        for nested, flat in self.names.items():
            if name.startswith(f"{nested}__"):
                return flat + name.removeprefix(nested)
        return name

    @property
    def after(self) -> list[Any]:
        """Steps behind the remover."""
        return [step for _, step in self.pipeline.steps[self.at + 1 :]]


def find_parts(estimator) -> Parts:
    """Find the remover in a pipeline or search, or put one behind the encoder.

    Parameters
    ----------
    estimator : Pipeline, or search over one
        Unfitted or fitted.

    Returns
    -------
    parts : Parts
        With the steps of `estimator` themselves, nested pipelines resolved and those that do
        nothing left out.

    Raises
    ------
    ValueError
        If there is neither remover nor encoder or nothing behind them, if there are several
        removers, or if `estimator` is a search whose choice is not known.
    """
    pipe = _chosen(estimator)
    nested = list(_flat(pipe)) if isinstance(pipe, Pipeline) else []
    names = {name: name.replace("__", "-") for name, _ in nested}
    steps = [(names[name], step) for name, step in nested]
    removers = [i for i, (_, s) in enumerate(steps) if isinstance(s, PassiveVariableRemover)]
    encoders = [i for i, (_, s) in enumerate(steps) if hasattr(s, "posterior")]
    if not (removers or encoders):
        found = ", ".join(type(step).__name__ for _, step in steps) or type(pipe).__name__
        raise ValueError(
            "compare_pruning needs a Pipeline with a PassiveVariableRemover or an encoder such as "
            f"VAEEncoder among its steps, got {found}. Put what wraps the pipeline inside it."
        )
    if not removers:
        encoder = steps[encoders[-1]][1]
        removers = [encoders[-1] + 1]
        criterion = "variance" if getattr(encoder, "add_variance", False) else "active_units"
        remover = PassiveVariableRemover(criterion=criterion)
        steps.insert(removers[0], ("passivevariableremover", remover))
    if len(removers) > 1:
        raise ValueError(
            f"compare_pruning needs one PassiveVariableRemover, got {len(removers)}: what another "
            "one removes would be missing from the scores of all variables. Leave one of them out."
        )
    if removers[0] == len(steps) - 1:
        raise ValueError(
            "compare_pruning needs a model behind the codes, whose scores it compares, but the "
            f"last step is {type(steps[-1][1]).__name__}. Append a classifier, a regressor or a "
            "clusterer."
        )
    return Parts(with_steps(pipe, steps), removers[0], names)


def with_steps(pipe, steps) -> Pipeline:
    """Pipeline with other steps and the same cache, callbacks and whatever else was set."""
    other = copy.copy(pipe)
    other.steps = steps
    return other


def _chosen(estimator):
    """Estimator with the best parameters of a search; anything else as it is."""
    grid = getattr(estimator, "param_grid", getattr(estimator, "param_distributions", None))
    if grid is None or not hasattr(estimator, "estimator"):
        return estimator
    best = getattr(estimator, "best_params_", None)
    if best is not None:
        return clone(estimator.estimator).set_params(**clone(best, safe=False))
    grids = [grid] if hasattr(grid, "keys") else grid
    others = {n for g in grids for n in g if n.rpartition("__")[2] != "threshold"}
    if others:
        raise ValueError(
            f"{type(estimator).__name__} is not fitted, so that its choice of {sorted(others)} is "
            "not known: fit it before, or pass its estimator."
        )
    return estimator.estimator


def _flat(pipe, prefix=""):
    for name, step in pipe.steps:
        if isinstance(step, Pipeline):
            yield from _flat(step, f"{prefix}{name}__")
        elif step is not None and not isinstance(step, str):
            # The threshold of a remover is set, and one that is frozen would not follow.
            is_frozen = isinstance(getattr(step, "estimator", None), PassiveVariableRemover)
            yield f"{prefix}{name}", step.estimator if is_frozen else step
