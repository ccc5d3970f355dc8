"""What the map of docs/pruning.md says of models that read the scale of codes."""

_DISTANCES = (
    "weighs columns by their variance. On codes as they are passive variables, whose variance is "
    "small, hardly count, and removing them changes little. A scaler makes them count as much as "
    "any other: by itself it costs more than it brings, and behind it removing negligible "
    "variables helps."
)
_MIXTURE = (
    "fits a density to all columns at once. On codes as they are it is undecided whether pruning "
    "helps. A scaler by itself costs more than it brings; behind it removing negligible variables "
    "helps."
)

#: Name of a class, or of one that it inherits from -> what the map says if no scaler comes before.
#: Support vector machines read the scale too, but the map shows no gain on mean codes of any.
SCALE_SENSITIVE = {
    "KMeans": _DISTANCES,
    "MiniBatchKMeans": _DISTANCES,
    "BisectingKMeans": _DISTANCES,
    "GaussianMixture": _MIXTURE,
    "BayesianGaussianMixture": _MIXTURE,
    "KNeighborsClassifier": _DISTANCES,
    "KNeighborsRegressor": _DISTANCES,
    "RadiusNeighborsClassifier": _DISTANCES,
    "RadiusNeighborsRegressor": _DISTANCES,
    "NearestCentroid": _DISTANCES,
}


def note_on_scale(step):
    """Say what is to be known of a step that reads codes as they are; None if nothing is."""
    step = getattr(step, "estimator", step)  # of a search
    for cls in type(step).__mro__:
        if cls.__name__ in SCALE_SENSITIVE:
            name = type(step).__name__
            return f"No scaler comes before {name}, which {SCALE_SENSITIVE[cls.__name__]}"
    return None
