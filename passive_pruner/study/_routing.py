"""Metadata such as sample weights and groups: who gets what of them."""

from typing import NamedTuple

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing


class Routed(NamedTuple):
    """Metadata by who is given it."""

    split: dict
    fit: dict
    score: dict


def route(params, parts, cv, scorer) -> Routed:
    """Share metadata out as ``cross_validate`` does.

    Parameters
    ----------
    params : dict or None
        Metadata by name. Where metadata routing is enabled the splitter, the steps and the scorer
        get what they request; else "groups" is for the splitter, and all others, such as
        "clf__sample_weight", for the steps.
    parts : Parts
        The pipeline.
    cv : splitter
        What makes the folds.
    scorer : scorer
        What scores.

    Raises
    ------
    ValueError
        If a name is that of no step.
    UnsetMetadataPassedError, TypeError
        If nobody requests some of them.
    """
    params = dict(params or {})
    if not get_config()["enable_metadata_routing"]:
        groups = {"groups": params.pop("groups")} if "groups" in params else {}
        steps = {name for name, _ in parts.pipeline.steps}
        for name in params:
            step, _, rest = parts.flat_name(name).partition("__")
            if step not in steps or not rest:
                raise ValueError(
                    f"params has {name!r}, which is metadata of no step: give it the name of a "
                    f"step and two underscores in front. The steps are {sorted(steps)}."
                )
        return Routed(groups, {parts.flat_name(name): v for name, v in params.items()}, {})
    router = MetadataRouter(owner="compare_pruning")
    for name, value, callee in (
        ("splitter", cv, "split"), ("estimator", parts.pipeline, "fit"), ("scorer", scorer, "score")
    ):  # fmt: skip
        mapping = MethodMapping().add(caller="fit", callee=callee)
        router.add(**{name: value}, method_mapping=mapping)
    routed = process_routing(router, "fit", **params)
    return Routed(routed.splitter.split, routed.estimator.fit, routed.scorer.score)


def requested(pipeline, method, params):
    """Metadata that the steps of a part of the pipeline are given."""
    if get_config()["enable_metadata_routing"]:
        names = pipeline.get_metadata_routing().consumes(method, params)
    else:
        steps = [name for name, _ in pipeline.steps]
        names = [name for name in params if name.partition("__")[0] in steps]
    return {name: params[name] for name in names}


def requested_by_step(pipeline, name, params):
    """Metadata for the `fit` of one step of a pipeline, by the names of its own parameters."""
    alone = Pipeline([(name, pipeline[name])])
    params = requested(alone, "fit", params)
    if get_config()["enable_metadata_routing"]:
        return process_routing(alone, "fit", **params)[name].fit
    return {key.partition("__")[2]: value for key, value in params.items()}
