"""Processes that are killed or forked, and memory that does not grow."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")

WEIGHTS = """
import numpy as np
from pathlib import Path
from passive_pruner._common._weights import write_weights
weights = {f"w{j}": np.full((300, 300), float(j), np.float32) for j in range(8)}
n = 0
while True:
    write_weights({k: v + n for k, v in weights.items()}, "weights.safetensors", {})
    n += 1
    if n == 1:
        Path("ready").touch()
"""

GRID = """
import sys
import numpy as np
from pathlib import Path
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from passive_pruner import PassiveVariableRemover, VAEEncoder
rng = np.random.default_rng(0)
X = rng.standard_normal((90, 2)) @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal((90, 5))
y = (X[:, 0] > 0).astype(int)
pipe = make_pipeline(VAEEncoder(3, max_steps=40, random_state=0), PassiveVariableRemover(),
                     LogisticRegression(), memory=sys.argv[1])
Path("ready").touch()
grid = {"passivevariableremover__threshold": [0, 0.1], "vaeencoder__batch_size": [32, 64, 128]}
search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
print([float(score) for score in search.cv_results_["mean_test_score"]])
"""

STUDY = """
import sys
from passive_pruner.study.__main__ import main
sys.exit(main(["--config", "tiny.toml", "--output", "out"]))
"""

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


def start(code, folder, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_after(process, folder, seconds):
    """Kill a process so many seconds after it is ready."""
    ready = folder / "ready"
    until = time.monotonic() + 120
    while not ready.exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    ready.unlink()


def test_weights_are_those_of_one_save_whenever_the_process_is_killed(tmp_path):
    import safetensors.numpy

    for seconds in (0.003, 0.017):
        process = start(WEIGHTS, tmp_path)
        kill_after(process, tmp_path, seconds)
        weights = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
        first = weights["w0"].flat[0]
        assert all((weights[f"w{j}"] == first + j).all() for j in range(8))
        # A file that has its name and not yet its place may be left, in an instant of a second.
        assert len(list(tmp_path.iterdir())) <= 2


def test_a_cached_grid_is_the_same_after_a_kill(tmp_path):
    expected = start(GRID, tmp_path, str(tmp_path / "other")).communicate(timeout=300)[0]
    assert expected.startswith("[")
    kill_after(start(GRID, tmp_path, str(tmp_path / "cache")), tmp_path, 0.3)
    assert start(GRID, tmp_path, str(tmp_path / "cache")).communicate(timeout=300)[0] == expected


def test_a_study_goes_on_after_a_kill(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    process = start(STUDY, tmp_path)
    models, until = tmp_path / "out" / "models", time.monotonic() + 300
    while not list(models.glob("*.json")) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()
    finished = {path: path.stat().st_mtime_ns for path in models.glob("*.json")}
    process = start(STUDY, tmp_path)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"{len(finished)} kept, 0 failed" in output
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())
    assert len(list(models.glob("*.json"))) == 2
    assert not list(models.glob(".*"))


def test_a_fork_after_a_fit_with_several_threads_encodes(tmp_path):
    """What libgomp leaves to a forked child cannot compute in parallel, and waits for ever."""
    code = """
import os, sys
import numpy as np
import torch
from passive_pruner import VAEEncoder
torch.set_num_threads(2)
X = np.random.default_rng(0).standard_normal((3000, 20)).astype("f4")
encoder = VAEEncoder(3, max_steps=30, random_state=0).fit(X)
codes = encoder.transform(X)
child = os.fork()
if child == 0:
    os._exit(int(not np.array_equal(encoder.transform(X), codes)))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment, cwd=tmp_path, timeout=120, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_memory_does_not_grow_over_fits_and_transforms(tmp_path):
    code = """
import gc
import numpy as np
from pathlib import Path
from passive_pruner import VAEEncoder
from passive_pruner.vae import MLP
X = np.random.default_rng(0).standard_normal((300, 10)).astype("f4")
def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
def work(n):
    for seed in range(n):
        encoder = VAEEncoder(3, architecture=MLP((256, 256)), max_steps=5, random_state=seed).fit(X)
        for _ in range(10):
            encoder.transform(X)
        encoder.score(X[:10])
work(20)
before = resident()
work(80)
print(resident() - before)
"""
    output, errors = start(code, tmp_path).communicate(timeout=300)
    # One network is half a megabyte: 80 that were kept would be 40.
    assert float(output) < 20, errors
