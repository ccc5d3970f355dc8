"""Tables of the pruning benchmark, and the codes of encoders that are trained on them once."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from benchmarks import _quality_data as quality
from benchmarks._quality_data import Table, of_sklearn
from passive_pruner import VAEEncoder
from passive_pruner.regime import CRITERIA
from passive_pruner.vae import BetaVAE, Gaussian, Mixed, Poisson

# Rows at most that models on codes are trained and tested on. The types of variables come from all
# training rows.
MAX_ROWS = 1000
SCALINGS = ("raw", "standardised", "explained", "sampled")


def file_of(package, path):
    """A file of an installed package, which is not imported."""
    try:
        return Path(distribution(package).locate_file(path))
    except PackageNotFoundError:
        raise ImportError(f"pip install --no-deps {package}") from None


def tab_of_orange(name):
    import pandas as pd

    path = file_of("orange3", f"Orange/datasets/{name}.tab")
    return pd.read_csv(path, sep="\t", skiprows=[1, 2], na_values="?")


def heart_disease():
    """Patients: measurements, then ones and zeros of categories; narrowed vessels."""
    import pandas as pd

    data = tab_of_orange("heart_disease").dropna()
    y = data.pop("diameter narrowing").to_numpy(int)
    real = data[HEART_MEASUREMENTS]
    binary = pd.get_dummies(data.drop(columns=HEART_MEASUREMENTS).astype(str))
    return np.hstack([real.to_numpy(float), binary.to_numpy(float)]), y


HEART_MEASUREMENTS = [
    "age", "rest SBP", "cholesterol", "max HR", "ST by exercise", "major vessels colored",
]  # fmt: skip


def heart_likelihood(real):
    n = len(HEART_MEASUREMENTS)
    # The categories have 2 to 4 values each, one column per value.
    n_binary = heart_disease()[0].shape[1] - n
    return Mixed([(real or Gaussian(), slice(0, n)), ("bernoulli", slice(n, n + n_binary))])


def yeast():
    """Log ratios of the expression of yeast genes in 79 experiments, and what the genes are for."""
    data = tab_of_orange("brown-selected")
    # 0 is no change.
    X = data.select_dtypes("number").fillna(0).to_numpy(float)
    return X, np.unique(data["function"], return_inverse=True)[1]


def khan():
    """Expression of 2308 genes in small round blue cell tumours of four kinds."""
    import pandas as pd

    parts = [
        [pd.read_csv(file_of("ISLP", f"ISLP/data/Khan_{k}{part}.csv")) for k in "xy"]
        for part in ("train", "test")
    ]
    X, y = (np.vstack([part[i].to_numpy(float) for part in parts]) for i in (0, 1))
    return X, y.ravel().astype(int)


def college():
    """Colleges of the United States: numbers about them, and whether they are private."""
    import pandas as pd

    data = pd.read_csv(file_of("ISLP", "ISLP/data/College.csv"))
    return data.select_dtypes("number").to_numpy(float), (data["Private"] == "Yes").to_numpy(int)


def fair():
    """Answers of married women, and whether they had an affair."""
    import statsmodels.api as sm

    data = sm.datasets.fair.load_pandas().data
    return data.drop(columns="affairs").to_numpy(float), (data["affairs"] > 0).to_numpy(int)


# The widths in these entries are not read.
TABLES = {
    "wine": quality.TABLES["wine"],
    "breast cancer": quality.TABLES["breast cancer"],
    "heart disease": Table(heart_disease, 0, heart_likelihood),
    "yeast": Table(yeast, 0),
    "digits": quality.TABLES["digits"],
    "star98": quality.TABLES["star98"],
    "college": Table(college, 0),
    "digits as counts": Table(of_sklearn("digits"), 0, lambda real: Poisson()),
    "diabetes": quality.TABLES["diabetes"],
    "anes96": quality.TABLES["anes96"],
    "Khan": Table(khan, 0),
    "fair": Table(fair, 0),
    "MNIST 5k": quality.TABLES["MNIST 5k"],
}


@dataclass
class Codes:
    """Codes of an encoder for the rows of a table, and what stays by every criterion.

    Parameters
    ----------
    mean, variance : tuple of ndarray
        Posterior of training and test rows, shape (n_rows, width) each.
    scale : ndarray of shape (width,)
        ``code_scale_`` of the encoder.
    kept : dict of str to tuple of int
        Criterion -> variables that it keeps, at its default threshold.
    cpu : float
        Seconds of processor time of the fit.
    """

    mean: tuple[np.ndarray, np.ndarray]
    variance: tuple[np.ndarray, np.ndarray]
    scale: np.ndarray
    kept: dict[str, tuple[int, ...]]
    cpu: float

    def scaled(self, scaling, seed):
        """Codes of training and test rows, float64, at most `MAX_ROWS` each."""
        train, test = (codes.astype(float) for codes in self.mean)
        if scaling == "sampled":
            rng = np.random.default_rng(seed)
            train, test = (
                codes + np.sqrt(variance) * rng.standard_normal(codes.shape)
                for codes, variance in zip((train, test), self.variance, strict=True)
            )
        elif scaling == "explained":
            train, test = train * self.scale, test * self.scale
        elif scaling == "standardised":
            scaler = StandardScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
        # Rows are in random order after the split.
        return train[:MAX_ROWS], test[:MAX_ROWS]


class Split:
    """A table, split by a seed; its targets are classes."""

    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        table = TABLES[name]
        self.likelihood = None if table.likelihood is None else table.likelihood(None)
        self.train, self.test, y_train, y_test = table.split(seed)
        if np.issubdtype(y_train.dtype, np.floating):
            median = np.median(y_train)
            y_train, y_test = (y_train > median).astype(int), (y_test > median).astype(int)
        self.y_train, self.y_test = y_train[:MAX_ROWS], y_test[:MAX_ROWS]

    def codes(self, width, beta, folder):
        """Codes of the encoder, which is trained unless the folder has its codes."""
        name = f"{self.name}-{self.seed}-w{width}-b{beta:g}".replace(" ", "_")
        path = Path(folder) / f"{name}.npz"
        if not path.exists():
            self._train(width, beta, path)
        with np.load(path) as file:
            return Codes(
                (file["train_mean"], file["test_mean"]),
                (file["train_variance"], file["test_variance"]),
                file["scale"],
                {name: tuple(np.flatnonzero(file[f"kept {name}"]).tolist()) for name in CRITERIA},
                float(file["cpu"]),
            )

    def _train(self, width, beta, path):
        start = process_time()
        encoder = VAEEncoder(
            width, likelihood=self.likelihood, objective=BetaVAE(beta), random_state=self.seed
        ).fit(self.train)
        cpu = process_time() - start
        moments = encoder.moments(self.train, entropy=True)
        kept = {
            f"kept {name}": ~np.isin(
                criterion(moments, criterion.threshold), ("passive", "negligible")
            )
            for name, criterion in CRITERIA.items()
        }
        train, test = encoder.posterior(self.train), encoder.posterior(self.test)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npz")
        np.savez_compressed(
            unfinished,
            train_mean=train[0], train_variance=train[1],
            test_mean=test[0], test_variance=test[1],
            scale=encoder.code_scale_, cpu=cpu, **kept,
        )  # fmt: skip
        unfinished.rename(path)

    def principal_components(self, n_components, scaling, seed):
        """Codes of PCA for the same rows; those of standardised columns."""
        scaler = StandardScaler().fit(self.train)
        train, test = scaler.transform(self.train), scaler.transform(self.test)
        n_components = min(n_components, *train.shape)
        pca = PCA(n_components, whiten=scaling == "standardised", random_state=seed).fit(train)
        return pca.transform(train[:MAX_ROWS]), pca.transform(test[:MAX_ROWS])
