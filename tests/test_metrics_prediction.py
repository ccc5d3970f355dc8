import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from passive_pruner.metrics import DCIScores, dci, sap_score

METRICS = [sap_score, dci]


@pytest.fixture
def factors():
    return np.random.default_rng(0).integers(2, size=(400, 2))


def noisy(factors, seed=1):
    return factors + 0.1 * np.random.default_rng(seed).normal(size=factors.shape)


ROTATION = np.sqrt(0.5) * np.array([[1, 1], [1, -1]])


def test_sap_of_disentangled_codes(factors):
    # The code of a factor is always right; the other code is right about half of the time.
    assert sap_score(noisy(factors), factors, random_state=0) == pytest.approx(0.5, abs=0.1)
    assert sap_score(noisy(factors), factors, continuous=True) == pytest.approx(0.96, abs=0.03)


def test_sap_of_entangled_codes(factors):
    rotated = noisy(factors) @ ROTATION
    assert sap_score(rotated, factors, random_state=0) < 0.2
    assert sap_score(rotated, factors, continuous=True) < 0.1


def test_continuous_sap_is_the_gap_of_squared_correlations():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(100, 3))
    codes = factors @ rng.normal(size=(3, 4)) + 100
    squared = np.corrcoef(codes, factors, rowvar=False)[:4, 4:] ** 2
    top = np.sort(squared, axis=0)
    expected = np.mean(top[-1] - top[-2])
    assert sap_score(codes, factors, continuous=True) == pytest.approx(expected)
    # Units do not matter, nor does a constant code.
    rescaled = np.column_stack([codes * [1e-8, 1, 10, 1e8], np.full(100, 0.1)])
    assert sap_score(rescaled, factors, continuous=True) == pytest.approx(expected)


def test_discrete_sap_depends_on_units():
    factors = np.random.default_rng(0).integers(3, size=(400, 2))
    codes = noisy(factors)
    # No line tells the level in the middle from the other two, so 2/3 for the code of a factor and
    # 1/3 for a guess. Shrinking the codes is regularising them more.
    assert sap_score(codes, factors, random_state=0) == pytest.approx(1 / 3, abs=0.05)
    assert 0.1 < sap_score(0.1 * codes, factors, random_state=0) < 0.25
    assert sap_score(0.01 * codes, factors, random_state=0) == pytest.approx(0, abs=0.05)


def test_discrete_sap_ends_in_any_units(factors):
    codes = noisy(factors) / 2
    assert 0 <= sap_score(1e49 * codes, factors, random_state=0) <= 1
    with pytest.raises(ValueError, match=r"divide them by their standard deviation"):
        sap_score(1e150 * codes, factors, random_state=0)


def test_sap_of_constant_codes(factors):
    constant = np.full((400, 2), 0.1)
    assert sap_score(constant, factors, continuous=True) == 0
    assert sap_score(constant, factors, random_state=0) == 0


def test_sap_with_given_test_rows_is_not_random(factors):
    codes = noisy(factors)
    test = {"codes_test": codes[200:], "factors_test": factors[200:]}
    scores = {sap_score(codes[:200], factors[:200], **test, random_state=s) for s in (0, 1, None)}
    assert len(scores) == 1
    # Test rows count: labels that are shuffled there are not predictable.
    test["factors_test"] = factors[200:][::-1]
    assert sap_score(codes[:200], factors[:200], **test) < scores.pop() - 0.3


def test_dci_of_disentangled_codes(factors):
    scores = dci(noisy(factors), factors, random_state=0)
    assert isinstance(scores, DCIScores)
    assert scores == pytest.approx((1, 1, 1, 1), abs=1e-6)


def test_dci_of_entangled_codes(factors):
    scores = dci(noisy(factors) @ ROTATION, factors, random_state=0)
    assert scores.disentanglement < 0.5
    assert scores.completeness < 0.5
    # Rotating codes moves information around and loses none.
    assert scores.informativeness_test > 0.9


@pytest.mark.parametrize(
    ("importance", "disentanglement", "completeness"),
    [
        # Codes 0 and 1 share factor 0, whose entropy to base 4 is 1/2; factor 1 is complete.
        ([[0.5, 0.5, 0, 0], [0, 0, 1, 0]], 1, (0.5 + 1) / 2),
        # One code knows both factors, so that its entropy to base 2 is 1.
        ([[1, 0, 0, 0], [1, 0, 0, 0]], 0, 1),
        # Code 0 has 3/4 of the importance and an entropy of 0.918 bits; code 1 has 1/4 and 0.
        ([[1, 0, 0, 0], [0.5, 0.5, 0, 0]], 0.75 * 0.0817 + 0.25, (1 + 0.5) / 2),
    ],
)
def test_dci_of_known_importances(factors, importance, disentanglement, completeness):
    class KnownImportances(LogisticRegression):
        def fit(self, X, y):
            k = int(np.array_equal(y, factors[:200, 1]))
            self.feature_importances_ = np.array(importance[k])
            return super().fit(X, y)

    codes = noisy(np.column_stack([factors, factors]))
    scores = dci(
        codes[:200],
        factors[:200],
        estimator=KnownImportances(),
        codes_test=codes[200:],
        factors_test=factors[200:],
    )
    assert scores[:2] == pytest.approx((disentanglement, completeness), abs=1e-4)


def test_dci_of_uninformative_codes(factors):
    noise = np.random.default_rng(2).normal(size=factors.shape)
    scores = dci(noise, factors, random_state=0)
    assert scores.informativeness_train > 0.8  # trees overfit, which test rows reveal
    assert scores.informativeness_test == pytest.approx(0.5, abs=0.1)
    scores = dci(np.full((400, 2), 0.1), factors, random_state=0)
    assert scores[:2] == (0, 0)


def test_dci_seeds_estimators_that_have_no_seed(factors):
    codes = noisy(factors) @ ROTATION
    test = {"codes_test": codes[200:], "factors_test": factors[200:]}

    def scores(seed_of_estimator, random_state):
        forest = ExtraTreesClassifier(n_estimators=5, max_depth=2, random_state=seed_of_estimator)
        return dci(codes[:200], factors[:200], estimator=forest, **test, random_state=random_state)

    assert scores(None, 0) == scores(None, 0)
    assert scores(None, 0) != scores(None, 1)
    assert scores(3, 0) == scores(3, 1)


def test_dci_does_not_change_the_estimator(factors):
    forest = ExtraTreesClassifier(n_estimators=5)
    dci(noisy(factors), factors, estimator=forest, random_state=0)
    assert forest.random_state is None
    assert not hasattr(forest, "estimators_")


def test_dci_needs_importances(factors):
    with pytest.raises(TypeError, match=r"LogisticRegression has no feature_importances_.*Pass"):
        dci(noisy(factors), factors, estimator=LogisticRegression())


@pytest.mark.parametrize("metric", METRICS)
def test_random_state(metric, factors):
    # A level of noise at which every row counts.
    codes = factors + np.random.default_rng(3).normal(size=factors.shape)
    assert metric(codes, factors, random_state=0) == metric(codes, factors, random_state=0)
    assert metric(codes, factors, random_state=0) != metric(codes, factors, random_state=1)
    generator = np.random.RandomState(0)
    first = metric(codes, factors, random_state=generator)
    assert first == metric(codes, factors, random_state=0)
    assert first != metric(codes, factors, random_state=generator)


@pytest.mark.parametrize("metric", METRICS)
def test_none_leaves_the_global_generator_alone(metric, factors):
    before = np.random.get_state()[1:]  # noqa: NPY002 (the state that must not change)
    metric(noisy(factors), factors, random_state=None)
    after = np.random.get_state()[1:]  # noqa: NPY002
    np.testing.assert_equal(after, before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": np.zeros((399, 2))}, "factors has 399 rows and the codes have 400"),
        ({"factors": np.zeros((400, 2))}, "Column 0 of factors takes the single value 0"),
        ({"factors": np.linspace(0, 1, 800).reshape(400, 2)}, "integers"),
        ({"codes": np.full((400, 2), np.nan)}, r"codes\[0, 0\] is nan"),
        ({"codes": np.zeros((400, 1))}, "codes has 1 column.*at least 2"),
        ({"codes_test": np.zeros((5, 2))}, "factors_test is None.*together"),
        ({"factors_test": np.zeros((5, 2))}, "codes_test is None.*together"),
        (
            {"codes_test": np.zeros((5, 2)), "factors_test": np.zeros((4, 2))},
            "factors_test has 4 rows and the codes have 5",
        ),
        (
            {"codes_test": np.zeros((5, 3)), "factors_test": np.zeros((5, 2))},
            r"codes_test has shape \(5, 3\) and codes has shape \(400, 2\)",
        ),
        (
            {"codes_test": np.zeros((5, 2)), "factors_test": np.zeros((5, 1))},
            r"factors_test has shape \(5, 1\) and factors has shape \(400, 2\)",
        ),
    ],
)
def test_bad_input(metric, factors, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric(**{"codes": noisy(factors), "factors": factors} | arguments)


@pytest.mark.parametrize("metric", METRICS)
def test_rare_level_that_the_split_leaves_out(metric, factors):
    factors[:, 0] = 0
    factors[17, 0] = 1
    message = "Column 0 of the half of factors to fit to.*more rows"
    # Row 17 is in the half to fit to or in the other, depending on the seed.
    with pytest.raises(ValueError, match=message):
        for seed in range(20):
            metric(noisy(factors), factors, random_state=seed)


def test_dci_needs_two_factors(factors):
    with pytest.raises(ValueError, match=r"factors has 1 column.*at least 2"):
        dci(noisy(factors), factors[:, :1])
