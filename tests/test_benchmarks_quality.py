"""The parts of ``python -m benchmarks.quality`` measure what they say."""

import io
import math
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from benchmarks import _hand_loop, quality
from benchmarks import _quality_data as data
from benchmarks._hand_loop import hand_loop, held_out_elbo, held_out_order
from benchmarks._quality_checks import factor_table, print_factors, print_pipelines
from benchmarks._quality_report import first_near, margin, print_report
from benchmarks._results import Results
from passive_pruner import VAEEncoder
from passive_pruner.vae import Gaussian

WINE = StandardScaler().fit_transform(load_wine().data).astype(np.float32)


@pytest.mark.parametrize("n_components", [1, 4])
def test_elbo_of_probabilistic_pca_is_its_log_likelihood(n_components):
    """Tipping and Bishop (1999): with the principal axes as loadings the posterior is diagonal."""
    pca = PCA(n_components).fit(WINE)
    eigenvalues = torch.tensor(pca.explained_variance_, dtype=torch.float32)
    axes = torch.tensor(pca.components_, dtype=torch.float32)
    signal = torch.sqrt(eigenvalues - pca.noise_variance_)
    likelihood = Gaussian(float(pca.noise_variance_)).build(WINE)

    def encode(x):
        mean = (x - torch.tensor(pca.mean_)) @ axes.T * signal / eigenvalues
        return mean, torch.log(pca.noise_variance_ / eigenvalues).expand_as(mean)

    def decoder(z):
        return likelihood.standardize(z * signal @ axes + torch.tensor(pca.mean_))

    network = SimpleNamespace(encode=encode, decoder=decoder, likelihood=likelihood)
    elbo = held_out_elbo(network, WINE)
    assert elbo.shape == (len(WINE),)
    assert elbo.mean() == pytest.approx(pca.score(WINE), abs=0.05)


@pytest.mark.parametrize("variance", ["shared", "per_feature"])
def test_loop_by_hand_ends_with_its_best_look(variance, monkeypatch):
    monkeypatch.setattr(_hand_loop, "LOOK_STEPS", 10)

    def train():
        return hand_loop(WINE[:120], WINE[120:], 2, Gaussian(variance), seed=0, max_steps=30)

    network, looks = train()
    assert [look["step"] for look in looks] == [10, 20, 30]
    assert looks[0]["cpu"] < looks[1]["cpu"] < looks[2]["cpu"]
    best = [look["elbo"] for look in looks if look["is_best"]][-1]
    assert held_out_elbo(network, WINE[120:]).mean() == best
    assert [look["elbo"] for look in train()[1]] == [look["elbo"] for look in looks]


@pytest.mark.parametrize("seed", range(3))
def test_loop_by_hand_holds_out_the_rows_of_the_encoder(seed):
    """The record of the best epoch was measured on these rows, with the weights that were kept."""
    encoder = VAEEncoder(2, max_steps=10, random_state=seed).fit(WINE)
    (record,) = [r for r in encoder.history_ if r["epoch"] == encoder.best_epoch_]
    rows = WINE[held_out_order(len(WINE), seed)[: math.ceil(0.1 * len(WINE))]]
    variance = encoder.posterior(rows)[0].var(axis=0)
    np.testing.assert_allclose(record["variance_of_mean"], variance, rtol=1e-3)


@pytest.mark.parametrize("name", ["wine", "angle", "curved surface", "counts", "binary", "mixed"])
def test_tables_are_what_their_likelihood_describes(name):
    table = data.TABLES[name]
    train, test, y_train, y_test = table.split(0)
    assert len(test) == pytest.approx(data.TEST_SHARE * (len(train) + len(test)), abs=1)
    assert (len(y_train), len(y_test)) == (len(train), len(test))
    if table.is_gaussian:
        np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-5)
    else:
        likelihood = table.likelihood(None).validated().resolve(train.shape[1])
        likelihood.check_data(np.vstack([train, test]))
    assert not np.array_equal(table.split(1)[0], train)


def test_large_table_has_all_its_rows_in_every_chunk(monkeypatch):
    monkeypatch.setattr(data, "CHUNK_ROWS", 300)
    X, y = data.large(n_rows=1000)
    assert X.shape == (1000, 64) and X.dtype == np.float32
    assert (X[-100:].std(axis=0) > 0.1).all()
    assert set(y) == set(range(5))


@pytest.mark.parametrize("noise", ["equal", "unequal"])
@pytest.mark.parametrize("seed", range(5))
def test_factors_stand_out_of_the_noise(noise, seed):
    """As many eigenvalues as factors exceed the largest that noise alone has (Marchenko-Pastur)."""
    n_factors, n_rows = 2 + seed, 2000
    X = factor_table(n_factors, n_rows, noise, seed)
    eigenvalues = np.linalg.eigvalsh(X.T @ X / n_rows)
    edge = (1 + np.sqrt(X.shape[1] / n_rows)) ** 2
    assert (eigenvalues > edge).sum() == n_factors


def looks(*elbos, best):
    return [
        {"step": 100 * i, "cpu": 1.0 * i, "seconds": 2.0 * i, "is_best": i <= best, "elbo": elbo}
        for i, elbo in enumerate(elbos, start=1)
    ]


def test_report_compares_with_the_better_rival():
    models = {
        "PCA": {"elbo": -8.0, "codes": {}},
        "FactorAnalysis": {"elbo": -6.0, "codes": {}},
        "by hand, shared noise": {"elbo": -7.0, "looks": looks(-9, -7, -6, best=2)},
        "by hand, noise per column": {"elbo": -5.0, "looks": looks(-8, -5.05, -5, -4, best=3)},
        "default": {"elbo": -5.5, "cpu": 1.0, "seconds": 1.0, "steps": 250, "codes": {}},
    }
    assert margin(models, ["PCA", "FactorAnalysis"]) == 0.5
    assert margin(models, ["unknown"]) is None
    assert first_near(models, ["by hand, shared noise"])["step"] == 200
    assert first_near(models, ["by hand, shared noise", "by hand, noise per column"])["step"] == 200
    results = [{"table": "t", "seed": 0, "model": name, **value} for name, value in models.items()]
    output = io.StringIO()
    with redirect_stdout(output):
        print_report(results)
    assert "+0.50, +0.50 | -0.50, -0.50 |" in output.getvalue()
    assert "| 2.00 (200) | 0.50, 0.50 |" in output.getvalue()


def test_results_go_on_where_a_run_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "MODELS", {"PCA": quality.MODELS["PCA"]})
    path = tmp_path / "results.jsonl"
    Results(path).add("wine", 0, "PCA", elbo=1.0, seconds=0.0)
    with redirect_stdout(io.StringIO()):
        quality.run_tables(["wine"], 2, Results(path), again=[])
    known = Results(path).known
    assert list(known) == [("wine", 0, "PCA"), ("wine", 1, "PCA")]
    assert known["wine", 0, "PCA"]["elbo"] == 1.0
    assert known["wine", 1, "PCA"]["elbo"] < -10
    with redirect_stdout(io.StringIO()):
        quality.run_tables(["wine"], 1, Results(path), again=["PCA"])
    assert Results(path).known["wine", 0, "PCA"]["elbo"] < -10


def test_factors_and_pipelines_are_counted_by_setting(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    for run, (n_factors, by_kl) in enumerate([(2, 2), (3, 3), (2, 5)]):
        setting = {"n_factors": n_factors, "noise": "equal", "n_rows": 500}
        results.add("factors", run, "default", **setting, counts={"kl": by_kl, "variance": 2})
    for seed, (raw, scaled) in enumerate([(0.75, 1.0), (1.0, 0.75)]):
        results.add("pipeline, wine", seed, "raw", score=raw, kept=1)
        results.add("pipeline, wine", seed, "scaled", score=scaled, kept=8)
    output = io.StringIO()
    with redirect_stdout(output):
        print_factors(results.of("factors"))
        print_pipelines(results)
    text = output.getvalue()
    assert "| tables | runs | kl | variance | all of them |" in text
    assert "| all | 3 | 2 | 2 | 1 |" in text
    assert "| n_factors 2 | 2 | 1 | 2 | 1 |" in text
    assert "| wine | 0.875 | 0.875 | +0.000, -0.250 | 1.0 | 8.0 |" in text
