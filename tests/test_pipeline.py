"""Journeys of users: encoder, remover and classifier in the tools of scikit-learn."""

from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.regime import LatentMoments

THRESHOLDS = [0, 0.01, 0.05, 0.1, 0.2]


@pytest.fixture(scope="module")
def wide_encoder(cancer):
    """An encoder with more latent variables than the data needs."""
    X, _ = cancer
    return small_encoder(n_components=16, max_steps=3000, early_stopping=False).fit(X)


def test_grid_over_thresholds_trains_once_per_fold(cancer, tmp_path):
    X, y = cancer
    pipe = Pipeline(
        [
            ("enc", small_encoder(n_components=16, max_steps=300)),
            ("prune", PassiveVariableRemover()),
            ("clf", LogisticRegression(max_iter=1000)),
        ],
        memory=str(tmp_path),
    )
    grid = GridSearchCV(pipe, {"prune__threshold": THRESHOLDS}, cv=3)
    with patch.object(VAEEncoder, "fit", autospec=True, side_effect=VAEEncoder.fit) as fit:
        grid.fit(X, y)
    assert fit.call_count == 3 + 1
    assert grid.score(X, y) > 0.9


def test_collapse_of_a_trained_encoder_is_found(wide_encoder, cancer):
    X, _ = cancer
    remover = PassiveVariableRemover().fit(wide_encoder.transform(X))
    n_passive = np.sum(remover.variable_types_ == "passive")
    assert 0 < n_passive < 16
    # The two criteria agree as far as training has converged: E[mu^2] + E[s2] = 1.
    moments = LatentMoments.from_batch(*wide_encoder.posterior(X))
    passive = remover.variable_types_ == "passive"
    assert (moments.mean_of_variance[passive] > 0.8).all()


def test_passive_variables_explain_the_correlation_of_mean_codes(wide_encoder, cancer):
    X, _ = cancer
    moments = LatentMoments.from_batch(*wide_encoder.posterior(X))
    kept = PassiveVariableRemover().fit(wide_encoder.transform(X)).get_support()
    mean, sampled = (
        gaussian_total_correlation(c) for c in (moments.mean_covariance, moments.sampled_covariance)
    )
    pruned = gaussian_total_correlation(moments.mean_covariance[np.ix_(kept, kept)])
    # What passive variables add to the mean codes is what sets them apart from the sampled ones.
    assert abs(pruned - sampled) < 0.1 * (mean - sampled)


def test_the_prior_mean_decodes_almost_like_the_passive_codes(wide_encoder, cancer):
    X, _ = cancer
    codes = wide_encoder.transform(X)
    remover = PassiveVariableRemover().fit(codes)
    restored = remover.inverse_transform(remover.transform(codes))
    full, pruned = wide_encoder.inverse_transform(codes), wide_encoder.inverse_transform(restored)
    assert np.mean((full - pruned) ** 2) < 0.2 * np.mean((full - X) ** 2)


def test_sampled_codes_are_pruned_by_their_variances(cancer):
    X, _ = cancer
    params = {"n_components": 16, "max_steps": 1000, "add_variance": True}
    by_kind = {}
    for output in ("mean", "sampled"):
        encoder = small_encoder(output=output, **params).set_output(transform="pandas")
        remover = PassiveVariableRemover(criterion="variance", threshold=0.2)
        out = make_pipeline(encoder, remover).set_output(transform="pandas").fit_transform(X)
        assert out.shape[1] == np.sum(remover.variable_types_ != "passive") < 16
        by_kind[output] = remover.variable_types_
    np.testing.assert_array_equal(by_kind["mean"], by_kind["sampled"])


def test_sampled_codes_without_variances_are_refused(cancer):
    X, _ = cancer
    pipe = make_pipeline(small_encoder(output="sampled"), PassiveVariableRemover())
    with pytest.raises(ValueError, match=r"add_variance=True.*criterion=\"variance\""):
        pipe.set_output(transform="pandas").fit(X)


def test_table_of_mixed_columns_goes_through_a_column_transformer():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    data = pd.DataFrame(
        {
            "size": y + rng.standard_normal(400),
            "weight": 2 * y + rng.standard_normal(400),
            "colour": np.where(rng.random(400) < 0.2 + 0.6 * y, "red", "blue"),
        }
    )
    pipe = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
                ("words", OneHotEncoder(sparse_output=False), ["colour"]),
            ]
        ),
        small_encoder(max_steps=500),
        PassiveVariableRemover(),
        LogisticRegression(),
    )
    assert pipe.fit(data, y).score(data, y) > 0.8
