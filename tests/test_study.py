"""What subsets of variables are worth, on posteriors whose types are known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from passive_pruner import Posterior
from passive_pruner.datasets import make_posterior
from passive_pruner.metrics import gaussian_total_correlation, gaussian_wasserstein_correlation
from passive_pruner.study import correlation_by_type, evaluate_subsets

TYPES = ["active"] * 3 + ["mixed"] * 2 + ["passive"] * 3
N = 2000
X = np.arange(N)[:, np.newaxis]
LOGISTIC = {"logistic": LogisticRegression()}


class KnownEncoder:
    """Looks the posterior of a row up by the number in its first column."""

    def __init__(self, types, correlation=0.9, random_state=0):
        self.mean, self.variance = make_posterior(
            types, N, correlation=correlation, random_state=random_state
        )[0]

    def posterior(self, X):
        rows = np.asarray(X)[:, 0]
        return Posterior(self.mean[rows], self.variance[rows])


@pytest.fixture(scope="module")
def known():
    return KnownEncoder(TYPES)


def quartiles(codes):
    """Four classes of as many rows each."""
    return np.argsort(np.argsort(codes)) * 4 // len(codes)


def pick(table, **equal):
    """The values of the rows with these entries."""
    for column, value in equal.items():
        table = table[table[column] == value]
    return table["value"].to_numpy()


@pytest.mark.parametrize("types", [TYPES, ["active", "passive", "passive"], ["active", "active"]])
def test_every_value_is_there_once_and_empty_subsets_have_none(types):
    encoder = KnownEncoder(types)
    factors = pd.DataFrame({"a": quartiles(encoder.mean[:, 0]), "b": X[:, 0] % 2})
    estimators = {**LOGISTIC, "tree": DecisionTreeClassifier(max_depth=2)}
    table = evaluate_subsets(encoder, X, factors, estimators=estimators, random_state=0)
    keys = ["representation", "subset", "standardised", "metric", "estimator", "factor"]
    assert not table.duplicated(keys).any()
    present = set(types)
    names = ["full", *present]
    names += [f"{a}+{b}" for a, b in (("active", "mixed"), ("active", "passive"),
              ("mixed", "passive")) if present & {a, b}]  # fmt: skip
    per_subset = 4 + len(estimators) * factors.shape[1] * 2
    counts = table.groupby("subset").size()
    assert counts.drop("random").to_dict() == dict.fromkeys(names, 2 * 2 * per_subset)
    assert counts["random"] == 2 * factors.shape[1]
    sizes = table.groupby("subset")["n_variables"].unique()
    for subset in names:
        n = len(types) if subset == "full" else sum(t in subset.split("+") for t in types)
        assert sizes[subset].tolist() == [n]


def test_metrics_are_those_of_the_exact_moments(known):
    table = evaluate_subsets(known, X, np.zeros(N), estimators={}, random_state=0)
    kept = np.array(TYPES) != "passive"
    mean = np.cov(known.mean[:, kept], rowvar=False, ddof=0)
    sampled = mean + np.diag(known.variance[:, kept].mean(axis=0))
    for representation, covariance in {"mean": mean, "sampled": sampled}.items():
        deviation = np.sqrt(covariance.diagonal())
        correlation = covariance / np.outer(deviation, deviation)
        for standardised, cov in {False: covariance, True: correlation}.items():
            row = {
                "representation": representation,
                "subset": "active+mixed",
                "standardised": standardised,
            }
            expected = gaussian_total_correlation(cov)
            assert pick(table, **row, metric="total_correlation") == pytest.approx(expected)
            expected = gaussian_wasserstein_correlation(cov, normalized=True)
            assert pick(table, **row, metric="wasserstein_correlation") == pytest.approx(expected)


def test_passive_variables_correlate_in_mean_codes_only(known):
    table = evaluate_subsets(known, X, np.zeros(N), estimators={}, random_state=0)
    table = table[(table["metric"] == "total_correlation") & ~table["standardised"]]
    values = table.pivot(index="subset", columns="representation", values="value")
    gap = values["mean"] - values["sampled"]
    assert gap["full"] > 1
    assert gap["active"] < 0.01


def test_scores_of_chance_and_of_the_truth():
    encoder = KnownEncoder(TYPES, correlation=0.0)
    y = quartiles(encoder.mean[:, 0])
    table = evaluate_subsets(encoder, X, y, estimators=LOGISTIC, random_state=0)
    test = table[table["metric"] == "test_score"]
    assert pick(test, subset="random") == pytest.approx(0.25, abs=0.05)
    assert pick(test, subset="passive") == pytest.approx(0.25, abs=0.07)
    assert pick(test, subset="active", representation="mean").min() > 0.9
    assert pick(test, subset="full", representation="mean").min() > 0.9
    sampled, mean = (pick(test, subset="active", representation=r) for r in ("sampled", "mean"))
    assert (sampled < mean).all()


def test_standardisation_lets_passive_variables_take_part():
    """The counter-claim: they repeat what active ones say, at a scale that a penalty hides."""
    encoder = KnownEncoder(["active", "passive"], correlation=1.0)
    y = quartiles(encoder.mean[:, 0])
    estimators = {"logistic": LogisticRegression(C=0.1)}
    table = evaluate_subsets(encoder, X, y, estimators=estimators, random_state=0)
    row = {"representation": "mean", "subset": "passive", "metric": "test_score"}
    assert pick(table, **row, standardised=True) > 0.9
    assert pick(table, **row, standardised=False) < 0.7
    assert pick(table, **{**row, "representation": "sampled"}).max() < 0.35


@pytest.mark.parametrize("y", ["continuous", "whole"])
def test_numbers_are_regressed(known, y):
    y = known.mean[:, 0] if y == "continuous" else X[:, 0].astype(float)
    table = evaluate_subsets(
        known, X, y, subsets=("full", "random"), n_examples=300, random_state=0
    )
    assert set(table["estimator"].dropna()) == {"ridge", "gradient_boosting", "uniform"}
    assert pick(table, subset="random", metric="train_score") == pytest.approx(0)


def test_default_estimators_learn_classes(known):
    y = np.where(known.mean[:, 0] > 0, "high", "low")
    table = evaluate_subsets(
        known, X, y, subsets=("full",), scale=(False,), n_examples=500, random_state=0
    )
    scores = pick(table, representation="mean", metric="test_score")
    assert len(scores) == 2
    assert scores.min() > 0.9


def test_rows_are_drawn_and_seeded(known):
    y = quartiles(known.mean[:, 1])
    tables = [
        evaluate_subsets(
            known, X, y, estimators=LOGISTIC, subsets=("full",), n_examples=500, random_state=seed
        )
        for seed in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (np.zeros(N - 1), {}, "X has 2000 rows and factors has 1999"),
        (np.zeros(N), {"subsets": ["all"]}, "Unknown subset 'all'; choose from full"),
        (np.arange(N) // (N - 3), {}, "Class 1 of factor 'y' has 3 examples"),
        (np.zeros(N), {"n_examples": -5}, "'n_examples' parameter .* Got -5"),
        (np.zeros(N), {"n_examples": 1.5}, "'n_examples' parameter .* Got 1.5"),
        (np.zeros(N), {"test_size": 2}, "'test_size' parameter .* Got 2"),
        (np.zeros(N), {"test_size": np.nan}, "'test_size' parameter .* Got nan"),
        (np.zeros(N), {"threshold": np.nan}, "'threshold' parameter .* Got nan"),
        (np.zeros(N), {"threshold": np.inf}, "'threshold' parameter .* Got inf"),
        (np.zeros(N), {"threshold": -1}, "'threshold' parameter .* Got -1"),
        (np.zeros(N), {"subsets": "full"}, "'subsets' parameter .* Got 'full'"),
        (np.zeros(N), {"scale": True}, "'scale' parameter .* Got True"),
        (np.zeros(N), {"scale": []}, "scale must hold True, False or both"),
        (np.zeros(N), {"scale": ["no"]}, "scale must hold True, False or both"),
        (np.zeros(N), {"estimators": [LogisticRegression()]}, "'estimators' parameter"),
        (np.zeros(N), {"random_state": "a"}, "'random_state' parameter"),
    ],
)
def test_errors_name_what_to_do(known, y, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_subsets(known, X, y, **options)


def test_correlation_by_type_averages_the_correlation_matrix(known):
    table = correlation_by_type(known, X)
    assert table.groupby("representation")["n_pairs"].sum().tolist() == [28, 28]  # 8 * 7 / 2
    correlation = np.abs(np.corrcoef(known.mean, rowvar=False))
    values = table.set_index(["representation", "type_1", "type_2"])["mean_absolute_correlation"]
    assert values["mean", "active", "passive"] == pytest.approx(correlation[:3, 5:].mean())
    upper = correlation[:3, :3][np.triu_indices(3, 1)]
    assert values["mean", "active", "active"] == pytest.approx(upper.mean())
    assert values["mean", "passive", "passive"] > 0.2 > 0.02 > values["sampled"].max()


def test_states_have_the_types_of_the_last_one():
    before, after = KnownEncoder(["active", "active"]), KnownEncoder(["active", "passive"])
    table = correlation_by_type({100: after, 10: before}, X)
    assert table["step"].unique().tolist() == [10, 100]
    assert set(zip(table["type_1"], table["type_2"], strict=True)) == {("active", "passive")}
    with pytest.raises(ValueError, match="empty dict"):
        correlation_by_type({}, X)
    with pytest.raises(ValueError, match="2 variables at step 1, 3 variables at step 2"):
        correlation_by_type({1: before, 2: KnownEncoder(["active"] * 3)}, X)
    for threshold in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"at least 0, got {threshold}"):
            correlation_by_type(after, X, threshold=threshold)
