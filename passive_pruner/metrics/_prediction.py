"""Disentanglement measured by how well codes predict factors."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from passive_pruner._common._validation import local_random_state
from passive_pruner.metrics._validation import (
    check_codes,
    check_factors,
    check_varying,
)

# The solver of LinearSVC squares codes more than once, and does not end where that overflows.
LARGEST_CODE = 1e50


class DCIScores(NamedTuple):
    """Scores of :func:`dci`.

    Attributes
    ----------
    disentanglement : float
        Degree to which each code is important for a single factor only, between 0 and 1.
    completeness : float
        Degree to which each factor is captured by a single code, between 0 and 1.
    informativeness_train : float
        Accuracy of the predicted factors on the rows that the classifiers were fitted to.
    informativeness_test : float
        Accuracy of the predicted factors on other rows.
    """

    disentanglement: float
    completeness: float
    informativeness_train: float
    informativeness_test: float


def sap_score(
    codes: ArrayLike,
    factors: ArrayLike,
    continuous: bool = False,
    *,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    r"""Compute the separated attribute predictability (SAP) of codes and factors.

    Every factor is predicted from one code at a time. The score is the difference between the two
    best codes of a factor, averaged over factors (section 3 of [1]_). A discrete factor is
    predicted by a linear support vector machine and measured by accuracy, with the settings of
    [2]_; a continuous one is measured by the squared correlation, the :math:`R^2` of a line.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes, at least 2 columns.
    factors : array-like of shape (n_samples, n_factors), int, or float if `continuous`
        Generative factors.
    continuous : bool, default=False
        Whether factors are continuous instead of discrete.
    codes_test : array-like of shape (n_test_samples, n_components), default=None
        Codes on which the accuracy is measured. None holds out a random half of the rows of
        `codes`. Ignored if `continuous`, because a line through one variable hardly overfits.
    factors_test : array-like of shape (n_test_samples, n_factors), default=None
        Factors of `codes_test`.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out rows. Nothing else is random.

    Returns
    -------
    score : float
        Between 0 and 1. A constant code has :math:`R^2 = 0`, or the accuracy of a constant guess.

    Raises
    ------
    ValueError
        If codes and factors are not finite matrices that fit together, a factor is constant, or
        not an integer or a code beyond 1e50 although `continuous` is False, or there is one code
        only.

    Notes
    -----
    The score of discrete factors depends on the units of the codes. The squared hinge loss has a
    curvature of ``2 * C * n_samples * Var`` in the slope, against 1 for the penalty, so that with
    ``C=0.01`` as in [2]_ a code of small variance predicts worse than its information allows, in
    the extreme case only a constant class. The score of continuous factors does not depend on
    units.

    References
    ----------
    .. [1] A. Kumar, P. Sattigeri and A. Balakrishnan, "Variational inference of disentangled latent
       concepts from unlabeled observations", ICLR 2018, arXiv:1711.00848.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import sap_score
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(2, size=(2000, 2))
    >>> codes = factors + 0.1 * rng.normal(size=(2000, 2))
    >>> round(sap_score(codes, factors, random_state=0), 1)  # 1 for a code, 0.5 for a guess
    0.5
    >>> round(sap_score(codes, factors, continuous=True), 1)
    1.0
    """
    codes = check_codes(codes, min_components=2)
    factors = check_factors(factors, len(codes), continuous=continuous)
    check_varying(factors)
    if continuous:
        scores = _squared_correlation(codes, factors)
    else:
        largest = np.abs(codes).max()
        if largest > LARGEST_CODE:
            raise ValueError(
                f"codes go up to {largest:.3g}; a linear classifier does not converge beyond "
                f"{LARGEST_CODE:g}: divide them by their standard deviation."
            )
        scores = _single_code_accuracy(
            *_train_test(codes, factors, codes_test, factors_test, local_random_state(random_state))
        )
    scores.sort(axis=0)
    return float(np.mean(scores[-1] - scores[-2]))


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    estimator: Any = None,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> DCIScores:
    r"""Compute disentanglement, completeness and informativeness (DCI) of codes and factors.

    A classifier of each factor gives the importance :math:`R_{jk}` of code `j` for factor `k`.
    A code is disentangled to the degree that its importances concentrate on one factor, and a
    factor is represented completely to the degree that they concentrate on one code. Both are
    averaged, weighted by the share of the total importance (section 2 of [1]_):

    .. math:: D = \sum_j \rho_j \bigl(1 - H_K(R_{j\cdot} / \textstyle\sum_k R_{jk})\bigr),
              \qquad \rho_j = \textstyle\sum_k R_{jk} / \sum_{jk} R_{jk},

    with the entropy :math:`H_K` to base `K`, and the same along the other axis for completeness.
    Informativeness is the accuracy of the classifiers, not their error as in [1]_: higher is better
    for all scores, as in [2]_.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes, at least 2 columns.
    factors : array-like of shape (n_samples, n_factors), int
        Levels of the generative factors, at least 2 columns.
    estimator : classifier, default=None
        Classifier that is cloned for every factor and has `feature_importances_` once fitted. None
        is ``GradientBoostingClassifier()``, as in [2]_; for many rows or codes,
        :class:`~sklearn.ensemble.RandomForestClassifier` with `n_jobs` takes much less time.
    codes_test : array-like of shape (n_test_samples, n_components), default=None
        Codes on which the test accuracy is measured. None holds out a random half of the rows of
        `codes`.
    factors_test : array-like of shape (n_test_samples, n_factors), default=None
        Factors of `codes_test`.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out rows, and of every classifier whose `random_state` is None.

    Returns
    -------
    scores : DCIScores
        Named tuple of `disentanglement`, `completeness`, `informativeness_train` and
        `informativeness_test`. Disentanglement and completeness are 0 if no code is important, as
        with constant codes.

    Raises
    ------
    ValueError
        If codes and factors are not finite matrices that fit together, a factor is constant or not
        an integer, or there is one code or one factor only.
    TypeError
        If `estimator` has no `feature_importances_` after fit.

    References
    ----------
    .. [1] C. Eastwood and C. K. I. Williams, "A framework for the quantitative evaluation of
       disentangled representations", ICLR 2018, https://openreview.net/forum?id=By-7dz-AZ.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import dci
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.integers(2, size=(200, 2))
    >>> scores = dci(factors + 0.1 * rng.normal(size=(200, 2)), factors, random_state=0)
    >>> round(scores.disentanglement, 2), round(scores.completeness, 2)
    (1.0, 1.0)
    >>> scores.informativeness_test
    1.0
    """
    codes = check_codes(codes, min_components=2)
    factors = check_factors(factors, len(codes), min_factors=2)
    check_varying(factors)
    rng = local_random_state(random_state)
    codes, factors, test_codes, test_factors = _train_test(
        codes, factors, codes_test, factors_test, rng
    )
    estimator = GradientBoostingClassifier() if estimator is None else estimator
    importance = np.empty((codes.shape[1], factors.shape[1]))
    accuracy = np.empty((2, factors.shape[1]))
    for k in range(factors.shape[1]):
        classifier = clone(estimator)
        if classifier.get_params().get("random_state", 0) is None:
            classifier.set_params(random_state=rng.randint(np.iinfo(np.int32).max))
        classifier.fit(codes, factors[:, k])
        if not hasattr(classifier, "feature_importances_"):
            raise TypeError(
                f"{type(classifier).__name__} has no feature_importances_ after fit, which dci "
                "reads the importance of every code from. Pass GradientBoostingClassifier(), "
                "RandomForestClassifier() or another classifier that has them."
            )
        importance[:, k] = np.abs(classifier.feature_importances_)
        accuracy[0, k] = np.mean(classifier.predict(codes) == factors[:, k])
        accuracy[1, k] = np.mean(classifier.predict(test_codes) == test_factors[:, k])
    train, test = accuracy.mean(axis=1)
    return DCIScores(
        disentanglement=_concentration(importance),
        completeness=_concentration(importance.T),
        informativeness_train=float(train),
        informativeness_test=float(test),
    )


def _concentration(importance: np.ndarray) -> float:
    """1 minus the entropy of each row, to the base of its length, weighted by the row's share."""
    share = importance.sum(axis=1)
    used = share > 0
    if not used.any():
        return 0.0
    per_row = 1 - entropy(importance[used], base=importance.shape[1], axis=1)
    return float(np.average(per_row, weights=share[used]))


def _squared_correlation(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Squared correlation of every code and every factor, of shape (n_components, n_factors)."""
    codes = codes - codes.mean(axis=0)
    # Centred factors sum to 0. A constant code whose mean is off by rounding, by the same in every
    # row, is therefore still uncorrelated with them.
    factors = factors - factors.mean(axis=0)
    norms = np.outer(np.linalg.norm(codes, axis=0), np.linalg.norm(factors, axis=0))
    correlation = np.zeros_like(norms)
    np.divide(codes.T @ factors, norms, out=correlation, where=norms > 0)
    return correlation**2


def _single_code_accuracy(
    codes: np.ndarray, factors: np.ndarray, codes_test: np.ndarray, factors_test: np.ndarray
) -> np.ndarray:
    """Test accuracy of every factor from every code, of shape (n_components, n_factors)."""
    # The primal problem has 2 variables, slope and intercept. The dual one has n_samples, and
    # liblinear's coordinate descent visits them in random order. The seed has no effect here, but
    # None would advance numpy's global generator.
    classifier = LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=0)
    accuracy = np.empty((codes.shape[1], factors.shape[1]))
    for j in range(codes.shape[1]):
        for k in range(factors.shape[1]):
            classifier.fit(codes[:, [j]], factors[:, k])
            accuracy[j, k] = np.mean(classifier.predict(codes_test[:, [j]]) == factors_test[:, k])
    return accuracy


def _train_test(
    codes: np.ndarray,
    factors: np.ndarray,
    codes_test: ArrayLike | None,
    factors_test: ArrayLike | None,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Check the given test rows, or set half of the rows aside if none are given.

    Returns
    -------
    codes, factors, codes_test, factors_test : ndarray
    """
    if (codes_test is None) != (factors_test is None):
        missing = "codes_test" if codes_test is None else "factors_test"
        raise ValueError(
            f"{missing} is None. Pass codes_test and factors_test together, or neither to set "
            "half of the rows aside."
        )
    if codes_test is None or factors_test is None:
        codes, test_codes, factors, test_factors = train_test_split(
            codes, factors, test_size=0.5, random_state=rng
        )
        check_varying(factors, "the half of factors to fit to")
        return codes, factors, test_codes, test_factors
    test_codes = check_codes(codes_test, "codes_test", min_samples=1)
    test_factors = check_factors(factors_test, len(test_codes), "factors_test")
    for name, given, test in (("codes", codes, test_codes), ("factors", factors, test_factors)):
        if given.shape[1] != test.shape[1]:
            raise ValueError(
                f"{name}_test has shape {test.shape} and {name} has shape {given.shape}. Pass the "
                "same columns in both."
            )
    return codes, factors, test_codes, test_factors
