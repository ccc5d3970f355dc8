"""The command: what it trains, what it leaves behind, what it concludes."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from passive_pruner.study import _sweep
from passive_pruner.study.__main__ import main
from passive_pruner.study._config import OBJECTIVES, PRESETS, STRENGTHS, Settings, load_settings
from passive_pruner.study._data import DATASETS, load
from passive_pruner.study._summary import check_claims
from tests.conftest import small_encoder

TINY = """
small_steps = 60
n_checkpoints = 3
hidden_layer_sizes = [16]
n_components = 4
learning_rate = 0.005
boosting = false
strengths = {beta_vae = [1, 4]}
"""


def run(folder, *options):
    config = folder / "tiny.toml"
    config.write_text(TINY)
    return main(["--config", str(config), "--datasets", "wine", "--objectives", "beta_vae",
                 "--seeds", "1", "--output", str(folder / "out"), *options])  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    assert run(folder) == 0
    return folder


def test_the_command_leaves_tables_figures_and_a_summary(finished):
    out = finished / "out"
    models = pd.read_csv(out / "models.csv")
    assert models["strength"].tolist() == [1, 4]
    assert (models[["active", "mixed", "passive"]].sum(axis=1) == 4).all()
    assert set(pd.read_csv(out / "subsets.csv")["subset"]) >= {"full", "random"}
    assert pd.read_csv(out / "correlations.csv")["step"].max() == 60
    summary = (out / "summary.md").read_text()
    assert "2 of 2 models" in summary
    for figure in ("total_correlation_wine.png", "scores.png", "correlation_in_training.png"):
        assert f"({figure})" in summary
        assert (out / figure).stat().st_size > 1000


def test_a_finished_model_is_not_trained_again(finished, monkeypatch, capsys):
    trained = []
    original = _sweep._train_and_evaluate
    monkeypatch.setattr(
        _sweep, "_train_and_evaluate", lambda m, s: trained.append(m.strength) or original(m, s)
    )
    before = (finished / "out" / "subsets.csv").read_bytes()
    next((finished / "out" / "models").glob("wine-beta_vae-4-*.json")).unlink()
    assert run(finished) == 0
    assert trained == [4]
    assert "1 models trained, 1 kept, 0 failed" in capsys.readouterr().out
    # The same model again, to the last digit.
    assert (finished / "out" / "subsets.csv").read_bytes() == before
    assert run(finished) == 0
    assert trained == [4]


@pytest.mark.parametrize("failing", [{4}, {1, 4}])
def test_models_that_fail_are_reported_and_leave_no_results(tmp_path, monkeypatch, capsys, failing):
    original = _sweep._train_and_evaluate

    def diverge(model, settings):
        if model.strength in failing:
            raise ValueError("training diverged")
        return original(model, settings)

    monkeypatch.setattr(_sweep, "_train_and_evaluate", diverge)
    assert run(tmp_path) == 1
    output = "".join(capsys.readouterr())
    assert "failed: training diverged" in output
    n_trained = 2 - len(failing)
    assert f"{n_trained} models trained, 0 kept, {len(failing)} failed" in output
    assert len(list((tmp_path / "out" / "models").iterdir())) == n_trained


def test_a_file_of_results_is_complete_or_absent(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        _sweep._write_atomically(tmp_path / "a.json", "{}")
    assert not list(tmp_path.glob("*.json"))


def test_training_passes_through_its_checkpoints(cancer):
    states = _sweep._train(small_encoder(), cancer[0], 300, 2)
    assert {steps: state.n_steps_ for steps, state in states.items()} == {3: 3, 300: 300}


def test_images_reach_convolutions():
    settings = Settings(
        datasets=("digits",), architecture="conv", small_steps=2, n_examples=300, boosting=False
    )
    result = _sweep._train_and_evaluate(settings.models()[0], settings)
    assert result["model"]["steps"] == 2
    assert np.shape(result["moments"]["mean_covariance"]) == (10, 10)


def test_the_built_in_grid():
    settings = load_settings("paper")
    assert len(settings.models()) == 5 * 6 * 5
    assert "dip_vae_i" not in settings.objectives
    assert set(OBJECTIVES) == set(STRENGTHS)
    assert Settings().chosen_strengths("beta_vae") == [1, 4, 16]
    assert Settings(n_strengths=1).chosen_strengths("beta_vae") == [1]
    for preset in PRESETS:
        keys = [m.key for m in load_settings(preset).models()]
        assert len(set(keys)) == len(keys)


def test_a_model_is_known_by_what_its_results_depend_on():
    def keys(**changes):
        return {m.name for m in load_settings("quick", **changes).models()}

    assert keys() < keys(n_seeds=2)
    assert keys() == keys(steps=5)  # of sprites, which --quick has not
    assert not keys() & keys(small_steps=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objectives", "vae"], "objectives: unknown 'vae'; choose from beta_vae"),
        (["--datasets", "iris"], "datasets: unknown 'iris'; choose from sprites"),
        (["--seeds", "0"], "n_seeds=0 must be at least 1"),
        (["--config", "absent.toml"], "absent.toml"),
    ],
)
def test_mistakes_are_named(options, message, capsys):
    assert main(options) == 2
    assert message in capsys.readouterr().err


def test_unknown_settings_are_named(tmp_path):
    (tmp_path / "a.toml").write_text("step = 5")
    with pytest.raises(ValueError, match="unknown setting 'step'; choose from architecture"):
        load_settings(path=tmp_path / "a.toml")


@pytest.mark.parametrize("name", [d for d in DATASETS if d != "mnist5k"])
def test_data_sets_are_ready_for_training(name):
    sprites = {"image_size": 16, "n_scales": 2, "n_orientations": 2, "n_positions": 2}
    for n_images in (5, 100) if name == "sprites" else (5,):
        X, factors, _ = load(name, tuple(sprites.items()), n_images)
        assert len(X) == len(factors)
        assert np.isfinite(X).all()
        assert (X.dtype == np.uint8) == (X.ndim > 2)


def results(*, gap, mean_correlation, passive, effect):
    """Totals, subsets and correlations of two models that differ in strength."""
    totals, subsets, correlations = [], [], []
    for strength, n_passive in zip((1, 4), passive, strict=True):
        label = {"dataset": "d", "objective": "beta_vae", "strength": strength, "seed": 0}
        counts = {"active": 10 - n_passive, "mixed": 0, "passive": n_passive}
        totals.append({**label, **counts, "mean_full": 3.0, "sampled_full": 0.1,
                       "mean_no_passive": 0.1 + gap, "sampled_no_passive": 0.1})  # fmt: skip
        for standardised in (False, True):
            for subset, value in {
                "full": 0.8, "active+mixed": 0.8 + effect, "passive": 0.3,
            }.items():  # fmt: skip
                subsets.append({**label, "representation": "mean", "subset": subset,
                                "standardised": standardised, "metric": "test_score",
                                "estimator": "logistic_regression", "value": value})  # fmt: skip
        for representation, value in {"mean": mean_correlation, "sampled": 0.01}.items():
            correlations.append({**label, "step": 9, "representation": representation,
                                 "type_1": "active", "type_2": "passive", "n_pairs": 2,
                                 "mean_absolute_correlation": value})  # fmt: skip
    return tuple(map(pd.DataFrame, (totals, subsets, correlations)))


PAPER = {"gap": 0.05, "mean_correlation": 0.4, "passive": (2, 5), "effect": 0.0}


@pytest.mark.parametrize(
    ("change", "refuted"),
    [
        ({}, None),
        ({"gap": 2.0}, 1),
        ({"mean_correlation": 0.02}, 2),
        ({"passive": (5, 2)}, 3),
        ({"effect": -0.05}, 4),
    ],
)
def test_claims_are_decided_by_the_numbers(change, refuted):
    claims = check_claims(*results(**{**PAPER, **change}))
    assert [c.confirmed for c in claims] == [i != refuted for i in range(5)]
    assert all(any(digit.isdigit() for digit in c.numbers) for c in claims)


def test_claims_without_data_are_left_open():
    claims = check_claims(*results(**{**PAPER, "passive": (0, 0)}))
    assert claims[0].confirmed is None
    assert json.dumps([c.numbers for c in claims])
