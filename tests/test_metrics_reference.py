"""Parity with the reference implementations, on stored arrays and the figures they gave."""

import json
from pathlib import Path

import numpy as np
import pytest

from passive_pruner.metrics import (
    active_units,
    effective_rank,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    modularity,
    mutual_information_gap,
    mutual_information_score,
    sap_score,
)

DATA = Path(__file__).parent / "data"
FIGURES = json.loads((DATA / "reference.json").read_text())
REGIMES = [name for name in FIGURES if name.startswith("regime")]
REPRESENTATIONS = [
    (regime, representation)
    for regime in REGIMES
    for representation in FIGURES[regime]
    if representation.endswith(("_representation", "_without_passive"))
]


@pytest.fixture(scope="module")
def arrays():
    with np.load(DATA / "reference.npz") as stored:
        return dict(stored)


def test_reference_covers_every_representation():
    # One passive variable is left of regime4, too few for pairwise figures.
    assert len(REPRESENTATIONS) == 4 * len(REGIMES) - 2


@pytest.mark.parametrize(("regime", "representation"), REPRESENTATIONS)
def test_representation_metrics(arrays, regime, representation):
    kind = "mean" if representation.startswith("mean") else "sample"
    codes = arrays[f"{regime}_{kind}"]
    if representation.endswith("_without_passive"):
        codes = codes[:, np.array(FIGURES[regime]["types"]["0.1"]) != "passive"]
    # float64 first: the covariance of float32 codes would carry their rounding error.
    cov = np.cov(codes.astype(np.float64), rowvar=False)
    correlation = np.corrcoef(codes.astype(np.float64), rowvar=False)
    computed = {
        "gaussian_total_correlation": gaussian_total_correlation(cov),
        "normalized_gaussian_total_correlation": gaussian_total_correlation(correlation),
        "gaussian_wasserstein_correlation": gaussian_wasserstein_correlation(cov),
        "gaussian_wasserstein_correlation_norm": gaussian_wasserstein_correlation(
            cov, normalized=True
        ),
        "mutual_info_score": mutual_information_score(codes),
        "effective_rank": effective_rank(codes),
    }
    assert computed == pytest.approx(FIGURES[regime][representation], rel=1e-9)


@pytest.mark.parametrize("regime", REGIMES)
def test_active_units(arrays, regime):
    variances = np.array(FIGURES[regime]["active_units_var_of_mean"])
    for threshold in (1e-3, 0.01, 0.1, 0.3):
        expected = np.count_nonzero(variances > threshold)
        assert active_units(arrays[f"{regime}_mean"], threshold) == expected


def test_information_metrics(arrays):
    codes, factors = arrays["codes"], arrays["factors"]
    figures = FIGURES["supervised"]
    assert mutual_information_gap(codes, factors) == pytest.approx(figures["mig"], rel=1e-9)
    assert modularity(codes, factors) == pytest.approx(figures["modularity"], rel=1e-9)


def test_sap(arrays):
    codes, factors = arrays["codes"], arrays["factors"]
    train, test = slice(1000), slice(1000, 2000)
    figures = FIGURES["supervised"]
    continuous = sap_score(codes[train], factors[train], continuous=True)
    assert continuous == pytest.approx(figures["sap_continuous"], rel=1e-9)
    discrete = sap_score(
        codes[train], factors[train], codes_test=codes[test], factors_test=factors[test]
    )
    # An accuracy over 1000 rows moves in steps of 0.001. A solver of another precision may put a
    # row next to the decision boundary on its other side, which is one step in each of the two
    # accuracies of each factor at most.
    assert discrete == pytest.approx(figures["sap_discrete"], abs=0.002)
