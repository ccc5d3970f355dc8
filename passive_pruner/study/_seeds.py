"""Seeds of estimators that were given none."""


def seed_unset(estimator, seed):
    """Set every `random_state` of an estimator and of its parts that is None; return it."""
    for name, value in estimator.get_params().items():
        if name.split("__")[-1] == "random_state" and value is None:
            estimator.set_params(**{name: seed})
    return estimator
