"""What the map of docs/pruning.md says of models that read the scale of codes."""

_DISTANCES = (
    "weighs columns by their variance. On codes as they are a passive variable, whose variance is "
    "small, hardly counts, with pruning or without; behind a scaler it counts as much as any "
    "other, and there pruning matters."
)
_MIXTURE = (
    "fits a density to all columns at once and starts from k-means. Passive variables that have "
    "been scaled to unit variance take part in both; on codes as they are they hardly do."
)

#: Name of a class, or of one that it inherits from -> what the map says if no scaler comes before.
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
    "SVC": _DISTANCES,
    "SVR": _DISTANCES,
    "NuSVC": _DISTANCES,
    "NuSVR": _DISTANCES,
}


def note_on_scale(step):
    """Say what is to be known of a step that reads codes as they are; None if nothing is."""
    step = getattr(step, "estimator", step)  # of a search
    for cls in type(step).__mro__:
        if cls.__name__ in SCALE_SENSITIVE:
            name = type(step).__name__
            return f"No scaler comes before {name}, which {SCALE_SENSITIVE[cls.__name__]}"
    return None
