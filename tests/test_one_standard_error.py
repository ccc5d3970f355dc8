"""The rule of one standard error: in searches, in compare_pruning, and where a search is drawn."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover
from passive_pruner.datasets import make_posterior
from passive_pruner.plots import ThresholdDisplay
from passive_pruner.regime import CRITERIA, LatentMoments
from passive_pruner.regime._criteria import is_kept
from passive_pruner.study import compare_pruning, one_standard_error_rule

TYPES = ["active"] * 3 + ["mixed", "rare"] + ["passive"] * 5


def results_of(params, scores):
    """What a search would say of the scores of its candidates, shape (n_candidates, n_folds)."""
    scores = np.asarray(scores, dtype=float)
    return {
        "params": params,
        "mean_test_score": scores.mean(axis=1),
        "std_test_score": scores.std(axis=1),
        **{f"split{i}_test_score": column for i, column in enumerate(scores.T)},
    }


@pytest.mark.parametrize("seed", range(20))
def test_nothing_within_the_error_has_a_larger_threshold(seed):
    rng = np.random.default_rng(seed)
    name = rng.choice(["prune__threshold", "model__prune__threshold"])
    weights = [np.array([0.2, 0.8]), np.array([0.5, 0.5])]  # arrays have no truth value
    grid = [
        {name: float(t), "clf__C": C, "clf__prior": w}
        for t in rng.permutation([0, 0.01, 0.03, 0.1, 0.3]) for C in (1, 10) for w in weights
    ]  # fmt: skip
    scores = rng.normal(0.8, 0.02, (len(grid), 4)).round(2)
    scores[rng.random(len(grid)) < 0.2, 0] = np.nan
    index = one_standard_error_rule(results_of(grid, scores))
    means, errors = scores.mean(axis=1), scores.std(axis=1, ddof=1) / 2
    best = np.nanargmax(means)
    assert means[index] >= means[best] - errors[best]
    for i, params in enumerate(grid):
        same = all(params[k] is grid[best][k] for k in params if k != name)
        if same and means[i] >= means[best] - errors[best]:
            assert params[name] <= grid[index][name]
    assert isinstance(index, int)


def test_ties_and_unknown_errors():
    grid = [{"threshold": t} for t in (0.1, 0, 0.3, 0.2)]
    scores = np.full((4, 3), 0.7)
    assert one_standard_error_rule(results_of(grid, scores)) == 2
    scores = [[0.7], [0.7], [0.69], [0.7]]  # of one fold
    assert one_standard_error_rule(results_of(grid, scores)) == 3
    # Where leaving the step out is best there is no threshold to choose.
    grid.append({"prune": "passthrough"})
    scores = np.vstack([np.full((4, 3), 0.7), np.full((1, 3), 0.9)])
    assert one_standard_error_rule(results_of(grid, scores)) == 4


@pytest.mark.parametrize(
    "grid, scores, message",
    [
        ([{"C": 1}], [[1, 1]], "over one parameter 'threshold'"),
        ([{"a__threshold": 1, "b__threshold": 1}], [[1, 1]], "over one parameter 'threshold'"),
        ([{"threshold": 0}, {"threshold": None}], [[1, 1]] * 2, "threshold=None is the default"),
        ([{"threshold": 0}, {"threshold": "a"}], [[1, 1]] * 2, "in all candidates, got 'a'"),
        ([{"threshold": 0}], [[np.nan, 1]], "No candidate has a score"),
        ([{"p__threshold": 0, "p__drop": ("passive", "mixed")}], [[1, 1]], "With drop="),
    ],
)
def test_errors_name_what_the_rule_cannot_see(grid, scores, message):
    with pytest.raises(ValueError, match=message):
        one_standard_error_rule(results_of(grid, scores))
    with pytest.raises(ValueError, match="got dict without 'params'"):
        one_standard_error_rule({})
    several = {"params": grid, "mean_test_accuracy": [1], "mean_test_roc_auc": [1]}
    with pytest.raises(ValueError, match=r"several scores, \['accuracy', 'roc_auc'\], .* a single"):
        one_standard_error_rule(several)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [None, 0.05])
def test_a_larger_threshold_never_keeps_more(criterion, seed, alpha):
    """Which is what the rule takes for granted when it takes the largest for the fewest."""
    (mean, variance), _ = make_posterior(TYPES, 300, random_state=seed)
    rng = np.random.default_rng(seed)
    if not CRITERIA[criterion].compares_with_prior:
        mean = mean * rng.lognormal(0, 3, len(TYPES)).astype(np.float32)
    moments = LatentMoments.from_batch(mean, variance, entropy=True)
    counts = [
        is_kept(
            CRITERIA[criterion](moments, threshold, alpha=alpha, drop=("passive",)),
            threshold,
            ("passive",),
        ).sum()
        for threshold in np.append(0, np.geomspace(1e-5, 3, 60))
    ]
    assert counts[0] == len(TYPES)
    assert (np.diff(counts) <= 0).all()
    assert counts[-1] < counts[0]


def test_the_exception_is_dropping_mixed_variables():
    moments = LatentMoments.from_batch(*make_posterior(["active", "mixed"], random_state=0)[0])
    counts = [
        is_kept(CRITERIA["variance"](moments, t), t, ("passive", "mixed")).sum()
        for t in (0.001, 0.1)
    ]
    assert counts == [0, 1]


@pytest.fixture(scope="module")
def table():
    """Codes of which one tells the classes: what else is removed makes no difference."""
    (mean, _), _ = make_posterior(TYPES, 200, random_state=0)
    noise = np.random.default_rng(0).standard_normal(200)
    return mean, mean[:, 0] + 0.5 * noise > 0


GRID = {"prune__threshold": [0.2, 0, 0.5, 0.01]}


def search_of(table, grid=GRID, search=GridSearchCV, **options):
    steps = [("prune", PassiveVariableRemover()), ("clf", LogisticRegression())]
    pipe = Pipeline([("scale", StandardScaler(with_std=False)), ("model", Pipeline(steps))])
    grid = {f"model__{name}": values for name, values in grid.items()}
    return search(pipe, grid, refit=one_standard_error_rule, **options).fit(*table)


def test_a_search_refits_the_fewest(table):
    search = search_of(table, {**GRID, "clf__C": [0.1, 1]}, cv=4)
    results = search.cv_results_
    best = np.argmax(results["mean_test_score"])
    error = results["std_test_score"][best] / np.sqrt(3)
    kept = []
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        if score >= results["mean_test_score"][best] - error:
            pipe = search.estimator.set_params(**params).fit(*table)
            kept.append(pipe["model"]["prune"].get_support().sum())
    chosen = search.best_estimator_["model"]["prune"].get_support().sum()
    assert chosen == min(kept) < len(TYPES)
    random = search_of(table, search=RandomizedSearchCV, n_iter=3, random_state=0, cv=4)
    assert random.best_params_["model__prune__threshold"] > 0


def test_all_three_choose_the_same(table, agg_and_closed_figures):
    search = search_of(table, cv=4)
    chosen = search.best_params_["model__prune__threshold"]
    display = ThresholdDisplay.from_estimator(search)
    assert display.fewest_threshold_ == display.best_threshold == chosen
    assert_array_equal(display.fewest_lines_[0].get_xdata(), display.best_lines_[0].get_xdata())
    assert f"fewest variables of these (dashed): threshold {chosen}" in (
        display.axes_[0].get_title()
    )
    compared = compare_pruning(search.estimator, *table, cv=4, thresholds=[0.2, 0.5, 0.01])
    assert compared.fewest == chosen
    # Of results that nobody has chosen from, none is called the choice.
    display = ThresholdDisplay.from_cv_results(search.cv_results_)
    assert display.best_threshold is None
    assert not display.best_lines_
    assert "chosen" not in display.axes_[0].get_title()
    assert display.fewest_threshold_ == chosen


def test_the_display_counts_where_it_can():
    """With counts the fewest are the fewest, also where mixed variables are dropped."""
    n_kept = {"active": np.array([3, 1, 2])}
    draw = {"standard_error": np.full(3, 0.1), "n_components": 3}
    scores = np.array([0.8, 0.8, 0.8])
    display = ThresholdDisplay([0, 0.01, 0.1], scores, n_kept=n_kept, **draw).plot()
    assert display.fewest_threshold_ == 0.01
    assert ThresholdDisplay([0, 0.01, 0.1], scores, **draw).plot().fewest_threshold_ == 0.1
