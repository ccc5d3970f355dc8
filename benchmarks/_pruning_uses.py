"""What mean or sampled codes are used for, and how well that goes with some of the variables."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from benchmarks._pruning_data import SCALINGS

N_NEIGHBOURS = 10
N_HALVES = 10
N_MODELS = 3
# Of standardised codes, which have 1 or, if they are constant, 0.
LEAST_DEVIATION = 1e-9

# The scale of columns does not matter for these, so that they are measured once.
ANY_SCALE = ("standardised", "sampled")


@dataclass
class Task:
    """Codes of training and test rows, and what is known of these.

    With few labels `labelled` holds the numbers of the training rows that have one.
    """

    train: np.ndarray
    test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    labelled: np.ndarray
    seed: int

    def of(self, variables):
        """The same task with some of the variables."""
        columns = list(variables)
        return self.with_codes(self.train[:, columns], self.test[:, columns])

    def with_codes(self, train, test):
        return Task(train, test, self.y_train, self.y_test, self.labelled, self.seed)

    @property
    def known(self):
        """Codes and labels of the labelled training rows."""
        return self.train[self.labelled], self.y_train[self.labelled]

    @property
    def is_main_class(self):
        """Whether labelled training rows are of the class with most rows."""
        y = self.known[1]
        values, counts = np.unique(y, return_counts=True)
        return (y == values[counts.argmax()]).astype(int)


@dataclass(frozen=True)
class Use:
    """Something that codes are used for.

    Parameters
    ----------
    measure : callable
        Takes a Task, and returns a number or an array.
    compare : callable, default=None
        ``compare(part, full, variables)`` makes two numbers of what some variables and all of them
        give. By default it gives these.
    by_variable : bool, default=False
        Whether `compare` needs to know which of the variables `part` has.
    scalings : tuple of str, default=SCALINGS
        Scalings in which it is measured.
    needs_labels : bool, default=True
        Whether it is another task with few labels.
    is_log : bool, default=False
        Whether numbers are logarithms to base 10, less being better.
    """

    measure: Callable
    compare: Callable | None = None
    by_variable: bool = False
    scalings: tuple[str, ...] = SCALINGS
    needs_labels: bool = True
    is_log: bool = False

    @property
    def is_any_scale(self):
        return "raw" not in self.scalings


def of_kept(summary):
    """Compare summaries of an array with a column per variable, of the kept variables alone.

    The same variables are compared: what do the others do to them?
    """

    def compare(part, full, variables):
        return summary(part), summary(full[:, list(variables)])

    return compare


def accuracy(make):
    """Test accuracy of a classifier."""

    def measure(task):
        return make(task.seed).fit(*task.known).score(task.test, task.y_test)

    return measure


def rand_index(make):
    """Adjusted Rand index of clusters of training rows, on test rows."""

    def measure(task):
        clusters = make(len(np.unique(task.y_train)), task.seed).fit(task.train)
        return adjusted_rand_score(task.y_test, clusters.predict(task.test))

    return measure


def novelty(task):
    """AUROC of the Mahalanobis distance for a class that the distance has not seen, mean."""
    values = []
    for label in np.unique(task.y_test):
        others = task.train[task.y_train != label]
        if 0 < np.mean(task.y_test == label) < 1 and len(others) > 1:
            distance = EmpiricalCovariance().fit(others).mahalanobis(task.test)
            values.append(roc_auc_score(task.y_test == label, distance))
    return np.mean(values)


def neighbours(task):
    """Numbers of the nearest training rows of every test row."""
    n = min(N_NEIGHBOURS, len(task.train))
    return NearestNeighbors(n_neighbors=n).fit(task.train).kneighbors(task.test)[1]


def recall(found, wanted, variables):
    """Share of the wanted neighbours that were found."""
    pairs = zip(found, wanted, strict=True)
    return np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in pairs]), 1.0


def linear_model(task):
    """Variance inflation factors, and standard errors of standardised coefficients.

    They are NaN for codes that are constant, which are no matter to the others.
    """
    X, _ = task.known
    varies = X.std(axis=0) > LEAST_DEVIATION
    X = (X[:, varies] - X[:, varies].mean(axis=0)) / X[:, varies].std(axis=0)
    n_rows, n_variables = X.shape
    if n_rows <= n_variables + 1:
        raise ValueError("Fewer rows than coefficients.")
    inverse = np.linalg.inv(X.T @ X / n_rows).diagonal()
    if inverse.min() <= 0:
        raise ValueError("The matrix of correlations is singular up to rounding.")
    y = task.is_main_class - task.is_main_class.mean()
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    noise = residual @ residual / (n_rows - n_variables - 1)
    found = np.full((2, len(varies)), np.nan)
    found[:, varies] = inverse, np.sqrt(noise * inverse / n_rows)
    return found


def inflation(task):
    """Variance inflation factors."""
    return linear_model(task)[:1]


def standard_errors(task):
    """Standard errors of the coefficients of ordinary least squares."""
    return linear_model(task)[1:]


def log_of_largest(values):
    return np.log10(np.nanmax(values))


def mean_log(values):
    return np.nanmean(np.log10(values))


def halves(n_rows, seed, n_halves):
    rng = np.random.default_rng(seed)
    return [rng.permutation(n_rows)[: n_rows // 2] for _ in range(n_halves)]


def selection(task):
    """What a logistic regression with an L1 penalty selects on halves of the rows."""
    X, _ = task.known
    y = task.is_main_class
    model = LogisticRegression(l1_ratio=1, C=0.3, solver="liblinear", random_state=task.seed)
    return np.vstack(
        [model.fit(X[half], y[half]).coef_ != 0 for half in halves(len(X), task.seed, N_HALVES)]
    )


def stability(selected):
    """Stability of selections, 1 if they are the same and 0 if they are chance.

    Nogueira, Sechidis and Brown, "On the Stability of Feature Selection Algorithms", JMLR 18,
    2018, definition 4.
    """
    n_repeats, n_variables = selected.shape
    share = selected.mean(axis=0)
    size = share.sum() / n_variables
    if size in (0, 1):
        return np.nan
    variance = n_repeats / (n_repeats - 1) * share * (1 - share)
    return 1 - variance.mean() / (size * (1 - size))


def importance(task):
    """Permutation importances of variables to logistic regressions on halves of the rows."""
    X, y = task.known
    found = []
    for number, half in enumerate(halves(len(X), task.seed, N_MODELS)):
        model = LogisticRegression(max_iter=1000).fit(X[half], y[half])
        scores = permutation_importance(
            model, task.test, task.y_test, n_repeats=3, random_state=number
        )
        found.append(scores.importances_mean)
    return np.vstack(found)


def agreement(importances):
    """Mean Spearman correlation of the rows."""
    if importances.shape[1] < 3:
        return np.nan
    return np.mean([spearmanr(a, b).statistic for a, b in combinations(importances, 2)])


NEIGHBOURS = "exact neighbours, recall"
USES = {
    "k-means": Use(
        rand_index(lambda k, seed: KMeans(k, n_init=10, random_state=seed)), needs_labels=False
    ),
    "Gaussian mixture": Use(
        rand_index(lambda k, seed: GaussianMixture(k, random_state=seed)), needs_labels=False
    ),
    "5 nearest neighbours": Use(accuracy(lambda seed: KNeighborsClassifier(5))),
    "SVC (RBF)": Use(accuracy(lambda seed: SVC())),
    "logistic regression": Use(accuracy(lambda seed: LogisticRegression(max_iter=1000))),
    "logistic regression, no penalty": Use(
        accuracy(lambda seed: LogisticRegression(C=np.inf, max_iter=300)), scalings=ANY_SCALE
    ),
    "LDA": Use(accuracy(lambda seed: LinearDiscriminantAnalysis()), scalings=ANY_SCALE),
    # Without the little that is added to variances, classes with few rows are singular.
    "QDA": Use(
        accuracy(lambda seed: QuadraticDiscriminantAnalysis(reg_param=1e-3)), scalings=ANY_SCALE
    ),
    "GaussianNB": Use(accuracy(lambda seed: GaussianNB()), scalings=ANY_SCALE),
    "decision tree": Use(
        accuracy(lambda seed: DecisionTreeClassifier(random_state=seed)), scalings=ANY_SCALE
    ),
    "random forest": Use(
        accuracy(lambda seed: RandomForestClassifier(30, random_state=seed)), scalings=ANY_SCALE
    ),
    "anomalies, Mahalanobis": Use(novelty, scalings=ANY_SCALE, needs_labels=False),
    "L1 selection, stability": Use(selection, of_kept(stability), by_variable=True),
    "permutation importance, agreement": Use(
        importance, of_kept(agreement), by_variable=True, scalings=("standardised",)
    ),
    "OLS, largest variance inflation": Use(
        inflation, of_kept(log_of_largest), by_variable=True, scalings=ANY_SCALE, is_log=True
    ),
    "OLS, standard errors": Use(
        standard_errors, of_kept(mean_log), by_variable=True, scalings=ANY_SCALE, is_log=True
    ),
    NEIGHBOURS: Use(neighbours, recall, needs_labels=False),
}


def measure(name, task, subsets, others):
    """Measure a use with all variables, with subsets of them, and with other codes.

    Parameters
    ----------
    name : str
        A name in `USES`.
    task : Task
        All variables.
    subsets : dict of str to sequence of int
        Variables by the name of the subset.
    others : dict of str to (ndarray, ndarray)
        Other codes of training and test rows, by name.

    Returns
    -------
    values : dict of str to (float, float)
        Name -> with these codes, and with all variables; NaN where a model cannot be fitted.
    """
    use = USES[name]
    with warnings.catch_warnings():
        # Of iterations that end early, constant columns and classes that are not in a half.
        warnings.simplefilter("ignore")
        full = attempt(use, task)
        parts = {subset: (of, attempt(use, task.of(of))) for subset, of in subsets.items()}
        if not use.by_variable:
            parts["all"] = None, full
            for other, codes in others.items():
                parts[other] = None, attempt(use, task.with_codes(*codes))
        values = {}
        for key, (variables, part) in parts.items():
            if part is None or full is None:
                pair = np.nan, np.nan
            elif use.compare is None:
                pair = part, full
            else:
                pair = use.compare(part, full, variables)
            values[key] = tuple(map(float, pair))
    return values


def attempt(use, task):
    """Measure, with None for a model that cannot be fitted."""
    try:
        return use.measure(task)
    # LDA raises an IndexError where no variable varies, as in a random choice of passive ones.
    except (ValueError, IndexError, np.linalg.LinAlgError):
        return None
