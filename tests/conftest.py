"""Fitted models that many tests look at: fitted once, never changed."""

import multiprocessing
import warnings

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP

# Property tests: few examples, the same in every run; and as many as one has the patience for, by
# python -m pytest tests/test_properties_*.py --hypothesis-profile=long
_COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile(
    "suite", max_examples=10, derandomize=True, phases=[Phase.generate], **_COMMON
)
settings.register_profile("long", max_examples=1000, print_blob=True, **_COMMON)
settings.load_profile("suite")

# Checked by type checkers, never run.
collect_ignore = ["data/typed_script.py"]

# The networks of the tests are so small that a second thread costs more than it computes.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def processes():
    """Context of processes that know nothing of this one.

    Where that is possible all are forked from one that has done nothing but imports, which take
    seconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["conftest", "passive_pruner.study.__main__"])
    return context


@pytest.fixture(scope="session")
def cancer():
    """Breast cancer, standardised: X (569, 30) float32, y (569,)."""
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X).astype("float32"), y


@pytest.fixture(scope="session")
def fitted_encoder(cancer):
    """An encoder with active and passive variables; add_variance is on."""
    X, _ = cancer
    return small_encoder(n_components=8, max_steps=1500, add_variance=True).fit(X)


def small_encoder(**params):
    """An encoder that trains in a fraction of a second."""
    defaults = {
        "n_components": 4,
        "architecture": MLP((32,)),
        "max_steps": 100,
        "learning_rate": 5e-3,
        "batch_size": 64,
        "random_state": 0,
    }
    return VAEEncoder(**{**defaults, **params})


def save_torchscript(module, path):
    """Write a TorchScript file, of which newer versions of torch warn, and return its path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit")
        torch.jit.script(module).save(path)
    return path


@pytest.fixture(scope="session")
def fitted_pipe(cancer, fitted_encoder):
    """A scaler, an encoder, a remover and a classifier fitted on named columns, and these."""
    X, y = cancer
    X = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    remover = PassiveVariableRemover(criterion="variance", threshold=0.2)
    codes = fitted_encoder.transform(X.to_numpy())
    steps = [
        ("scale", StandardScaler().fit(X)),
        ("enc", fitted_encoder),
        ("prune", remover.fit(codes)),
        ("clf", LogisticRegression().fit(remover.transform(codes), y)),
    ]
    return Pipeline(steps), X


@pytest.fixture
def agg_and_closed_figures():
    """Draw into memory, whatever backend is set, and close the figures of the test."""
    import matplotlib.pyplot as plt

    backend = plt.get_backend()
    before = set(plt.get_fignums())
    plt.switch_backend("agg")
    yield
    for number in set(plt.get_fignums()) - before:
        plt.close(number)
    plt.switch_backend(backend)


def render(display):
    """Draw everything; an artist that cannot be drawn fails here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(display.figure_).draw()
    return display
