"""Train a VAE on two real tables, name its passive variables, remove them, classify the rest.

Prints, per data set: the report of the latent variables, the total correlation of mean and
sampled codes with and without the passive ones, the accuracy of the pipeline with and without
pruning, and a grid over thresholds that does not train the VAE again. Takes a minute or two on two
cores, and says what it is at. Everything it caches is removed at the end.
"""

from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.regime import report

# Of the evidence that `report` has, what fits a terminal.
COLUMNS = [
    "type", "variance_of_mean", "mean_of_variance", "kl",
    "max_correlation_mean", "max_correlation_sampled", "active_share",
]  # fmt: skip
THRESHOLDS = [0, 0.02, 0.05, 0.1, 0.2]


def main():
    for name, load in (("breast cancer", load_breast_cancer), ("digits", load_digits)):
        X, y = load(return_X_y=True)
        with TemporaryDirectory() as cache:
            show(name, *train_test_split(X, y, random_state=0, stratify=y), cache)


def show(name, X_train, X_test, y_train, y_test, cache):
    print(f"\n=== {name}: {len(X_train)} rows of {X_train.shape[1]} columns for training ===\n")
    print("Training the pipeline once ...", flush=True)
    start = perf_counter()
    pipe = Pipeline(
        [
            ("scale", StandardScaler()),
            ("enc", VAEEncoder(n_components=24, random_state=0)),
            ("prune", PassiveVariableRemover()),
            ("clf", LogisticRegression(max_iter=5000)),
        ],
        memory=cache,
    ).fit(X_train, y_train)
    print(f"took {perf_counter() - start:.0f} s\n")
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

    print("\nTest accuracy                        all variables   without passive ones")
    for label, rescale in (
        ("codes as they are", "passthrough"),
        ("standardised codes", StandardScaler()),
    ):
        with_scaler = Pipeline([*pipe.steps[:3], ("rescale", rescale), pipe.steps[3]], memory=cache)
        accuracy = [
            with_scaler.set_params(prune__threshold=threshold)
            .fit(X_train, y_train)
            .score(X_test, y_test)
            for threshold in (0, 0.1)
        ]
        print(f"{label:<34}{accuracy[0]:>16.3f}{accuracy[1]:>23.3f}")

    print(f"\nSearching {len(THRESHOLDS)} thresholds in 3 folds ...", flush=True)
    start = perf_counter()
    grid = GridSearchCV(pipe, {"prune__threshold": THRESHOLDS}, cv=3)
    with (
        TemporaryDirectory() as empty,
        patch.object(VAEEncoder, "fit", autospec=True, side_effect=VAEEncoder.fit) as fit,
    ):
        grid.set_params(estimator__memory=empty).fit(X_train, y_train)
    print(
        f"{len(THRESHOLDS)} thresholds x 3 folds took {fit.call_count} fits of the VAE and "
        f"{perf_counter() - start:.0f} s:"
    )
    for threshold, score in zip(THRESHOLDS, grid.cv_results_["mean_test_score"], strict=True):
        print(f"  threshold {threshold:<5} cross-validated accuracy {score:.3f}")
    print(
        f"  best: {grid.best_params_['prune__threshold']}, test accuracy "
        f"{grid.score(X_test, y_test):.3f}"
    )


if __name__ == "__main__":
    main()
