"""Processes that are killed or forked, and memory that does not grow."""

import gc
import itertools
import os
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner._common._weights import write_weights
from passive_pruner.study.__main__ import main
from passive_pruner.vae import MLP

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")

TINY = """
datasets = ["wine"]
objectives = ["beta_vae"]
n_strengths = 2
n_seeds = 1
n_components = 3
hidden_layer_sizes = [8]
small_steps = 40
n_checkpoints = 2
n_examples = 100
boosting = false
[strengths]
beta_vae = [1, 4]
"""


def start(processes, function, *arguments):
    process = processes.Process(target=function, args=arguments)
    process.start()
    return process


def finish(process):
    process.join(300)
    assert process.exitcode == 0


def kill_after(process, ready, seconds):
    """Kill a process so many seconds after it is ready."""
    until = time.monotonic() + 120
    while not ready.exists():
        assert process.is_alive() and time.monotonic() < until
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    process.join()
    ready.unlink()


def save_again_and_again(folder):
    weights = {f"w{j}": np.full((300, 300), float(j), np.float32) for j in range(8)}
    for n in itertools.count():
        write_weights({k: v + n for k, v in weights.items()}, folder / "weights.safetensors", {})
        if n == 0:
            (folder / "ready").touch()


def test_weights_are_those_of_one_save_whenever_the_process_is_killed(processes, tmp_path):
    for seconds in (0.003, 0.017, 0.05):
        process = start(processes, save_again_and_again, tmp_path)
        kill_after(process, tmp_path / "ready", seconds)
        weights = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
        first = weights["w0"].flat[0]
        assert all((weights[f"w{j}"] == first + j).all() for j in range(8))
        # A file that has its name and not yet its place may be left, in an instant of a second.
        assert len(list(tmp_path.iterdir())) <= 2
        for path in tmp_path.iterdir():
            path.unlink()


def search(cache, scores):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 2)) @ rng.standard_normal((2, 5))
    X += 0.3 * rng.standard_normal((90, 5))
    pipe = make_pipeline(
        VAEEncoder(3, max_steps=40, random_state=0),
        PassiveVariableRemover(),
        LogisticRegression(),
        memory=str(cache),
    )
    scores.with_suffix(".ready").touch()
    grid = {"passivevariableremover__threshold": [0, 0.1], "vaeencoder__batch_size": [32, 64]}
    with warnings.catch_warnings(action="ignore"):  # after so few steps some collapse
        found = GridSearchCV(pipe, grid, cv=2).fit(X, (X[:, 0] > 0).astype(int))
    np.save(scores, found.cv_results_["mean_test_score"])


def test_a_cached_grid_is_the_same_after_a_kill(processes, tmp_path):
    cache, scores, expected = tmp_path / "cache", tmp_path / "scores.npy", tmp_path / "expected.npy"
    finish(start(processes, search, tmp_path / "other", expected))
    kill_after(start(processes, search, cache, scores), scores.with_suffix(".ready"), 0.3)
    finish(start(processes, search, cache, scores))
    np.testing.assert_array_equal(np.load(scores), np.load(expected))


def run_study(folder):
    arguments = ["--config", str(folder / "tiny.toml"), "--output", str(folder / "out")]
    with (
        warnings.catch_warnings(action="ignore"),
        (folder / "printed").open("w") as printed,
        redirect_stdout(printed),
    ):
        status = main(arguments)
    sys.exit(status)


def test_a_study_goes_on_after_a_kill(processes, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    process = start(processes, run_study, tmp_path)
    models, until = tmp_path / "out" / "models", time.monotonic() + 300
    while not list(models.glob("*.json")) and process.is_alive():
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.join()
    finished = {path: path.stat().st_mtime_ns for path in models.glob("*.json")}
    finish(start(processes, run_study, tmp_path))
    assert f"{len(finished)} kept, 0 failed" in (tmp_path / "printed").read_text()
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())
    assert len(list(models.glob("*.json"))) == 2
    assert not list(models.glob(".*"))


def encode_in_a_fork():
    torch.set_num_threads(2)
    X = np.random.default_rng(0).standard_normal((3000, 20)).astype("f4")
    encoder = VAEEncoder(3, max_steps=30, random_state=0).fit(X)
    codes = encoder.transform(X)
    child = os.fork()
    if child == 0:
        os._exit(int(not np.array_equal(encoder.transform(X), codes)))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_a_fork_after_a_fit_with_several_threads_encodes(processes):
    """What libgomp leaves to a forked child cannot compute in parallel, and waits for ever."""
    finish(start(processes, encode_in_a_fork))


def resident():
    """Memory of the process in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_growth(result):
    X = np.random.default_rng(0).standard_normal((300, 10)).astype("f4")

    def work(n):
        for seed in range(n):
            architecture = MLP((256, 256))
            params = {"architecture": architecture, "max_steps": 5, "random_state": seed}
            encoder = VAEEncoder(3, **params).fit(X)
            for _ in range(5):
                encoder.transform(X)
            encoder.score(X[:10])

    with warnings.catch_warnings(action="ignore"):
        work(10)
        before = resident()
        work(40)
    result.write_text(str(resident() - before))


def test_memory_does_not_grow_over_fits_and_transforms(processes, tmp_path):
    finish(start(processes, measure_growth, tmp_path / "growth"))
    # One network is half a megabyte: 40 that were kept would be 20.
    assert float((tmp_path / "growth").read_text()) < 10
