"""Data that is not Gaussian: counts with a depth of their own, and a mixed table with gaps.

Digits are read as counts of ink (0 to 16), each image with an exposure of its own. Breast cancer
gets a one-hot column group and a binary column beside its measurements, and a tenth of its cells
is removed. Both go through GridSearchCV, thresholds of the remover included. Takes a few minutes on
two cores, and says what it is at.
"""

from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import Categorical, Gaussian, Mixed, NegativeBinomial, Poisson


def search(title, X, y, likelihoods, **params):
    print(f"\n{title} training {len(likelihoods)} likelihoods in 3 folds ...", flush=True)
    start = perf_counter()
    pipe = Pipeline(
        [
            ("enc", VAEEncoder(16, max_steps=1000, random_state=0, **params)),
            ("prune", PassiveVariableRemover()),
            ("scale", StandardScaler()),
            ("clf", LogisticRegression(max_iter=2000)),
        ]
    )
    with TemporaryDirectory() as cache:  # thresholds share the VAE of their fold
        pipe.set_params(memory=cache)
        grid = GridSearchCV(
            pipe, {"enc__likelihood": likelihoods, "prune__threshold": [0, 0.1]}, cv=3
        ).fit(X, y)
    print(f"took {perf_counter() - start:.0f} s")
    for setting, score in zip(
        grid.cv_results_["params"], grid.cv_results_["mean_test_score"], strict=True
    ):
        likelihood = type(setting["enc__likelihood"]).__name__
        print(f"  accuracy {score:.3f}  {likelihood}, threshold {setting['prune__threshold']}")
    return grid.best_estimator_["enc"]


def counts():
    X, y = load_digits(return_X_y=True)
    encoder = search(
        "Digits as counts:", X, y, [Poisson(), NegativeBinomial(exposure="row_sum"), Gaussian()]
    )
    drawn = encoder.sample(1000)
    print(
        f"  drawn from {encoder.likelihood_}: mean of a row sum {drawn.sum(axis=1).mean():.0f}",
        end="",
    )
    print(f" (data {X.sum(axis=1).mean():.0f}), smallest value {drawn.min():.0f}")


def mixed():
    data = load_breast_cancer()
    measured = StandardScaler().fit_transform(data.data[:, :20])
    binned = KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    groups = binned.fit_transform(data.data[:, [20]])
    binary = (data.data[:, [21]] > np.median(data.data[:, 21])).astype(float)
    X = np.hstack([measured, groups, binary])
    missing = np.random.default_rng(0).random(X.shape) < 0.1
    missing[:, 21:23] = missing[:, [20]]  # a category is known or not as a whole
    likelihood = Mixed(
        [(Gaussian(), slice(0, 20)), (Categorical(), [20, 21, 22]), ("bernoulli", [23])]
    )
    gaps = np.where(missing, np.nan, X)
    encoder = search(
        "Breast cancer as a mixed table with missing cells:",
        gaps,
        data.target,
        [likelihood, Gaussian()],
        allow_missing=True,
    )
    filled = encoder.inverse_transform(encoder.transform(gaps))
    hidden = missing[:, :20]
    error = np.mean((filled - X)[:, :20][hidden] ** 2)
    by_mean = np.mean((np.nanmean(gaps, axis=0) - X)[:, :20][hidden] ** 2)
    print(f"  removed measurements: mean squared error {error:.2f}, column means {by_mean:.2f}")


if __name__ == "__main__":
    counts()
    mixed()
