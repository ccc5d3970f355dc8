"""Truths about the model card: it says what the fitted pipeline, and linear models, say."""

import sys

import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, model_card

skops_card = pytest.importorskip("skops.card", reason="the extra persistence is not installed")


def section(card, title):
    return card.select(title).content


def table_of(text):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return dict(rows[1:])


def test_it_says_what_pipeline_and_linear_models_say(fitted_pipe, tmp_path):
    pipe, X = fitted_pipe
    train, test = X[:400], X[400:]
    card = model_card(pipe, train, X_test=test)
    assert pipe["prune"].summary() in section(card, "What was removed, and why")
    assert pipe["enc"].summary() in section(card, "Training")
    assert "400 rows, 30 columns." in section(card, "Data")
    assert "column 29" in section(card, "Data")
    values = table_of(section(card, "How well it describes the data"))
    scaled_train, scaled_test = map(pipe["scale"].transform, (train, test))
    unit = scaled_train.std(axis=0)
    for name, score in {
        "VAEEncoder, ELBO": pipe["enc"].score(scaled_test),
        "factor analysis of width 8, log-likelihood": FactorAnalysis(8)
        .fit(scaled_train)
        .score(scaled_test),
        "PCA of width 8, log-likelihood": PCA(8).fit(scaled_train / unit).score(scaled_test / unit)
        - np.log(unit).sum(),
    }.items():
        assert float(values[name]) == pytest.approx(score, abs=0.006)
    types = card.select("Latent variables").format()
    assert types.count("active") == np.sum(pipe["prune"].variable_types_ == "active")
    card.add(**{"Intended use": "None."})
    card.save(tmp_path / "README.md")
    assert "# Intended use" in (tmp_path / "README.md").read_text()


def test_tables_with_categories_are_not_compared_with_linear_models():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"plan": rng.choice(["a", "b"], 80), "calls": rng.poisson(3.0, 80)})
    card = model_card(small_encoder(n_components=2, max_steps=20).fit(X), X)
    assert "negative_binomial" in section(card, "Data")
    text = section(card, "How well it describes the data")
    assert "Mean over the training data" in text
    assert "not compared: the likelihood is Mixed" in text
    assert section(card, "What was removed, and why").startswith("Nothing")


def test_linear_models_read_any_units_and_no_constants(cancer):
    X = cancer[0][:, :4]
    encoder = small_encoder(n_components=2, max_steps=50)
    in_units = [model_card(encoder.fit(Z), Z) for Z in (X, X * [1e12, 1e-12, 1, 1])]
    one, other = (table_of(section(c, "How well it describes the data")) for c in in_units)
    assert len(one) == 3
    for name, score in one.items():
        assert float(other[name]) == pytest.approx(float(score), abs=0.02)
    X = np.hstack([X, np.ones((len(X), 1))])
    text = section(model_card(encoder.fit(X), X), "How well it describes the data")
    assert "not compared: a column is constant" in text


def test_an_encoder_from_elsewhere_has_no_density(cancer):
    codes = np.hstack([cancer[0][:, :3] * [1.0, 0.6, 0.1], np.full((len(cancer[0]), 3), 0.5)])
    pipe = make_pipeline(PretrainedEncoder(second_output="variance"), PassiveVariableRemover())
    card = model_card(pipe.fit(codes), codes)
    assert "no decoder" in section(card, "How well it describes the data")


def test_errors_say_what_is_missing(cancer, monkeypatch):
    with pytest.raises(ValueError, match="model_card needs a fitted encoder with a posterior"):
        model_card(StandardScaler().fit(cancer[0]), cancer[0])
    monkeypatch.setitem(sys.modules, "skops.card", None)
    with pytest.raises(ImportError, match=r"passive_pruner\[persistence\]"):
        model_card(small_encoder(), cancer[0])


def test_lists_are_rows_as_arrays_are(fitted_encoder, cancer):
    X = cancer[0][:50].astype(float)
    card = model_card(fitted_encoder, X.tolist(), X_test=X[:9].tolist())
    for title in ("Data", "How well it describes the data"):
        assert section(card, title) == section(model_card(fitted_encoder, X, X_test=X[:9]), title)


def test_a_pruned_encoder_was_cut_before(fitted_encoder, cancer):
    card = model_card(fitted_encoder.pruned([1, 3]), cancer[0])
    removed = section(card, "What was removed, and why")
    assert removed.startswith("The encoder was cut down to these variables")


def test_a_frozen_remover_is_one(fitted_encoder, cancer):
    encoder = fitted_encoder.pruned(range(8)).set_params(add_variance=False)
    remover = PassiveVariableRemover().fit(encoder.transform(cancer[0]))
    cards = [
        model_card(make_pipeline(encoder, step), cancer[0])
        for step in (remover, FrozenEstimator(remover))
    ]
    removed = [section(card, "What was removed, and why") for card in cards]
    assert remover.summary() in removed[0] == removed[1]
