"""The command: what it trains, what it leaves behind, what it concludes."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder

from passive_pruner._common._files import write_whole
from passive_pruner.study import _sweep
from passive_pruner.study.__main__ import main
from passive_pruner.study._config import OBJECTIVES, PRESETS, STRENGTHS, Settings, load_settings
from passive_pruner.study._data import DATASETS, load
from passive_pruner.study._summary import check_claims

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


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("content", ["text", b"bytes"])
def test_a_file_is_complete_or_as_it_was(tmp_path, monkeypatch, error, content):
    path = tmp_path / "a.json"
    write_whole(path, content)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    (tmp_path / "other").unlink()
    before = path.read_bytes()

    def fails(*_):
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(type(error)) as raised:
        write_whole(path, "other" * 1000)
    assert isinstance(error, KeyboardInterrupt) or str(path) in str(raised.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_ends_models_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(tmp_path) == 1
    output = capsys.readouterr().out
    assert output.count("failed: [Errno 28] No space left on device: ") == 2
    assert list((tmp_path / "out" / "models").iterdir()) == []


def test_a_file_that_is_no_result_is_named_and_blocks_nothing(finished, capsys, monkeypatch):
    before = (finished / "out" / "subsets.csv").read_bytes()
    models = finished / "out" / "models"
    first, second = (next(models.glob(f"wine-beta_vae-{s}-*.json")) for s in (1, 4))
    first.write_bytes(b"")
    assert run(finished) == 0
    output = capsys.readouterr().out
    assert f"{first} does not hold the results of its model" in output
    assert "1 models trained, 1 kept, 0 failed" in output
    assert (finished / "out" / "subsets.csv").read_bytes() == before

    settings = load_settings(path=finished / "tiny.toml", datasets=["wine"], n_seeds=1,
                             objectives=["beta_vae"])  # fmt: skip
    result = json.loads(first.read_text())
    monkeypatch.setattr(_sweep, "_train_and_evaluate", lambda *_: result)
    half, other = first.read_bytes()[:5000], second.read_bytes()
    for content in (half, other, b"[]", b"\xff", b"{}", b'{"model": {}}', b"[" * 100_000):
        first.write_bytes(content)
        lines = []
        assert len(_sweep.read_results(settings, finished / "out")[0]) == 1
        assert _sweep.run_sweep(settings, finished / "out", log=lines.append) == (1, 0)
        assert str(first) in lines[0] and "trained again" in lines[0]
        assert len(_sweep.read_results(settings, finished / "out")[0]) == 2


def test_a_sweep_without_passive_variables_says_so_and_draws_no_blank_figures(tmp_path):
    config = tmp_path / "one.toml"
    config.write_text(TINY.replace("[1, 4]", "[0.001]").replace("= 4", "= 2"))
    out = tmp_path / "out"
    assert main(["--config", str(config), "--datasets", "wine", "--objectives", "beta_vae",
                 "--seeds", "1", "--output", str(out)]) == 0  # fmt: skip
    assert pd.read_csv(out / "models.csv")["passive"].tolist() == [0]
    assert [p.name for p in out.glob("*.png")] == ["total_correlation_wine.png"]
    summary = (out / "summary.md").read_text()
    assert "nan" not in summary
    assert summary.count("No model has passive variables") >= 3


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


def test_the_schedule_of_the_capacity_ends_within_training():
    """Whatever the number of steps; a warning, as of a schedule that does not end, is an error."""
    settings = Settings(
        datasets=("wine",), objectives=("annealed_vae",), small_steps=2, boosting=False
    )
    assert _sweep._train_and_evaluate(settings.models()[0], settings)["model"]["steps"] == 2
    for preset in PRESETS:
        for model in load_settings(preset).models():
            objective = OBJECTIVES[model.objective](model.strength, model.steps, (8,))
            assert getattr(objective, "iteration_threshold", 0) < model.steps


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
        (["--datasets", "wine", "wine"], "datasets has 'wine' more than once"),
        (["--seeds", "0"], "n_seeds=0 must be at least 1"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--n-jobs", "0"], "--n-jobs must be at least 1"),
        (["--quick", "--output", __file__], "test_study_sweep.py"),
        (["--quick", "--output", "/proc/study"], "/proc/study"),
    ],
)
def test_mistakes_are_named_in_one_line(options, message, capsys):
    assert main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step = 5", "unknown setting 'step'; choose from architecture"),
        ("n_seeds = 'x'", "n_seeds='x' must be a whole number"),
        ("small_steps = 1.5", "small_steps=1.5 must be a whole number"),
        ("n_components = true", "n_components=True must be a whole number"),
        ("n_examples = -5", "n_examples=-5 must be at least 1"),
        ("datasets = []", "datasets is empty; choose from sprites"),
        ("datasets = 'wine'", "datasets='wine' must be a list"),
        ("datasets = [['wine']]", "datasets: unknown ['wine']"),
        ("hidden_layer_sizes = 16", "hidden_layer_sizes=16 must be a list"),
        ("discriminator = [8, 0]", "discriminator=0 must be at least 1"),
        ("strengths = 5", "strengths=5 must be a table"),
        ("strengths = {beta_vae = 5}", "strengths.beta_vae=5 must be a list"),
        ("strengths = {beta_vae = []}", "strengths.beta_vae is empty"),
        ("strengths = {beta_vae = ['a']}", "strengths.beta_vae='a' must be a finite number"),
        ("strengths = {beta_vae = [nan]}", "strengths.beta_vae=nan must be a finite number"),
        ("strengths = {beta_vae = [1, 1.0]}", "strengths.beta_vae has 1.0 more than once"),
        ("strengths = {vae = [1]}", "strengths: unknown 'vae'; choose from beta_vae"),
        ("sprites = {size = 64}", "sprites: unknown 'size'; choose from image_size"),
        ("sprites = {image_size = 'big'}", "sprites.image_size='big' must be a whole number"),
        ("learning_rate = 0", "learning_rate=0 must be above 0"),
        ("boosting = 'no'", "boosting='no' must be true or false"),
        ("architecture = ['mlp']", "architecture=('mlp',) must be 'mlp' or 'conv'"),
        ("not TOML", "is not a TOML file"),
    ],
)
def test_wrong_settings_are_named_with_their_file(text, message, tmp_path, capsys):
    path = tmp_path / "a.toml"
    path.write_text(text)
    assert main(["--config", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}") and message in line


@pytest.mark.parametrize("name", [d for d in DATASETS if d != "mnist5k"])
def test_data_sets_are_ready_for_training(name):
    sprites = {"image_size": 16, "n_scales": 2, "n_orientations": 2, "n_positions": 2}
    for n_images in (5, 100) if name == "sprites" else (5,):
        X, factors, _ = load(name, sprites, n_images)
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
    assert not [c.numbers for c in claims if "nan" in c.numbers]
