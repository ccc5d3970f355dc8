"""Train a VAE on two real tables, name its passive variables, remove them, and see what that does.

Prints, per data set: the report of the latent variables, the total correlation of mean and
sampled codes with and without the passive ones, two tasks with and without pruning, and a grid over
thresholds that does not train the VAE again. It says what it is at, and takes about a minute on
two cores. Everything it caches is removed at the end.
"""

from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.regime import report
from passive_pruner.study import compare_pruning, one_standard_error_rule

# Of the evidence that `report` has, what fits a terminal.
COLUMNS = [
    "type", "variance_of_mean", "mean_of_variance", "kl",
    "max_correlation_mean", "max_correlation_sampled",
]  # fmt: skip
THRESHOLDS = [0, 0.02, 0.05, 0.1, 0.2]


def main():
    for name, load in (("wine", load_wine), ("breast cancer", load_breast_cancer)):
        X, y = load(return_X_y=True)
        with TemporaryDirectory() as cache:
            show(name, *train_test_split(X, y, random_state=0, stratify=y), cache)


def show(name, X_train, X_test, y_train, y_test, cache):
    print(f"\n=== {name}: {len(X_train)} rows of {X_train.shape[1]} columns for training ===\n")
    pipe = Pipeline(
        [
            ("scale", StandardScaler()),
            ("enc", VAEEncoder(n_components=24, random_state=0)),
            ("prune", PassiveVariableRemover()),
            ("clf", LogisticRegression(max_iter=5000)),
        ],
        memory=cache,
    )
    timed("Training the pipeline once", lambda: pipe.fit(X_train, y_train))
    types = pipe["prune"].variable_types_
    moments = pipe["enc"].moments(pipe["scale"].transform(X_train))
    print(report(moments, types)[COLUMNS].round(3).to_string())

    passive = types == "passive"
    print(f"\n{passive.sum()} of {len(passive)} variables are passive.")
    print("\nTotal correlation (nats)   all variables   without passive ones")
    for kind, covariance in (
        ("mean codes", moments.mean_covariance),
        ("sampled codes", moments.sampled_covariance),
    ):
        pruned = covariance[np.ix_(~passive, ~passive)]
        all_, without = map(gaussian_total_correlation, (covariance, pruned))
        print(f"{kind:<24}{all_:>16.3f}{without:>23.3f}")
    print()

    for task, steps, scoring in (
        (
            "k-means behind a scaler, adjusted Rand index",
            [("rescale", StandardScaler()), ("model", KMeans(len(set(y_train)), random_state=0))],
            "adjusted_rand_score",
        ),
        ("logistic regression, accuracy", pipe.steps[3:], "accuracy"),
    ):
        comparison = timed(
            f"{task}: pruned and not, in 5 folds",
            compare_pruning,
            Pipeline([*pipe.steps[:3], *steps], memory=cache),
            X_train,
            y_train,
            scoring=scoring,
            random_state=0,
        )
        print(comparison.drop(columns="threshold").round(3).to_string(index=False), "\n")

    grid = GridSearchCV(pipe, {"prune__threshold": THRESHOLDS}, cv=5, refit=one_standard_error_rule)
    timed(f"Searching {len(THRESHOLDS)} thresholds in the same folds", grid.fit, X_train, y_train)
    for threshold, score in zip(THRESHOLDS, grid.cv_results_["mean_test_score"], strict=True):
        print(f"  threshold {threshold:<5} cross-validated accuracy {score:.3f}")
    print(
        "  fewest variables within one standard error of the best: threshold "
        f"{grid.best_params_['prune__threshold']}, test accuracy {grid.score(X_test, y_test):.3f}"
    )


def timed(what, function, *args, **kwargs):
    print(what, "...", end=" ", flush=True)
    start = perf_counter()
    result = function(*args, **kwargs)
    print(f"{perf_counter() - start:.0f} s")
    return result


if __name__ == "__main__":
    main()
