"""Fitted models that many tests look at: fitted once, never changed."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from passive_pruner import VAEEncoder
from passive_pruner.vae import MLP

# The networks of the tests are so small that a second thread costs more than it computes.
torch.set_num_threads(1)


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
