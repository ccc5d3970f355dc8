"""What all likelihoods have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import nn
from torch.distributions import Distribution

from passive_pruner.vae._component import Component

# Adam moves a parameter by about the learning rate per step, whatever its gradient: a log-variance
# would need thousands of steps to follow the squared error that it estimates, and the latent
# variables would collapse while it lags. Storing a tenth of it makes the same step ten times
# longer.
STRETCH = 10.0
# Columns whose moments are taken at a time.
COLUMNS = 64


class LikelihoodModule(nn.Module):
    """Decoder outputs -> distribution of the data; holds the likelihood's own parameters.

    Parameters
    ----------
    missing : bool, default=False
        Whether the data may have NaN. A NaN cell then adds nothing to the log-likelihood and no
        gradient: what is left is the likelihood of the cells that are present, exact when cells
        are missing at random.
    """

    def __init__(self, *, missing: bool = False):
        super().__init__()
        self.missing = missing

    def standardize(self, x: torch.Tensor) -> torch.Tensor:
        """Bring the data to the scale on which the encoder works; NaN stays NaN."""
        return x

    def distribution(self, outputs: torch.Tensor) -> Distribution:
        """Distribution of every cell, of batch shape (batch, n_features)."""
        raise NotImplementedError

    def log_likelihood(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of each row, in nats, summed over features; shape (batch,)."""
        return self._sum_log_prob(self.distribution(outputs), x)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean of the data, (batch, n_features)."""
        return self.distribution(outputs).mean

    def sample(self, outputs: torch.Tensor) -> torch.Tensor:
        """Draw one row per row of `outputs`, (batch, n_features)."""
        return self.distribution(outputs).sample()

    def _sum_log_prob(self, distribution: Distribution, x: torch.Tensor) -> torch.Tensor:
        if not self.missing:
            return distribution.log_prob(x).sum(dim=1)
        # Masking alone would not do: the gradient of log_prob(NaN) is NaN, and zero times NaN is
        # NaN again. Zero, which every support contains, stands in for the cell before it is masked.
        missing = x.isnan()
        log_prob = distribution.log_prob(x.masked_fill(missing, 0.0))
        return log_prob.masked_fill(missing, 0.0).sum(dim=1)

    def _register(self, name, value):
        self.register_buffer(name, torch.tensor(value, dtype=torch.float32))


class Likelihood(Component):
    """Base class of likelihoods: implement :meth:`build`."""

    def resolve(self, n_features: int, feature_names: Sequence[str] | None = None) -> Self:
        """Return the likelihood for a table of `n_features` columns; called first in fit.

        Parameters
        ----------
        n_features : int
            Number of columns.
        feature_names : sequence of str or None, default=None
            Their names, if they have any.
        """
        return self

    def n_outputs(self, n_features: int) -> int:
        """Count the decoder outputs that `n_features` columns need."""
        return n_features

    def shiftable(self, n_features: int) -> np.ndarray:
        """Tell for which columns a constant may be subtracted from the data.

        Parameters
        ----------
        n_features : int
            Number of columns.

        Returns
        -------
        mask : ndarray of shape (n_features,), bool
            True where the model of the column is the same whatever its origin.
        """
        return np.zeros(n_features, dtype=bool)

    def check_data(self, X: np.ndarray) -> None:
        """Raise a ValueError if these rows have values that the likelihood gives no density to.

        NaN is ignored: whether values may be missing is not the likelihood's to decide.
        """

    @abstractmethod
    def build(self, X: np.ndarray, *, allow_missing: bool = False) -> LikelihoodModule:
        """Make the torch module, its parameters started from the training data.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Training data, or rows drawn from it.
        allow_missing : bool, default=False
            Whether this data, or any given later, may have NaN.
        """


def column_moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the values that are present; 0 and 1 where there are none.

    A constant column too has a variance of 1, so that it can be divided by.
    """
    mean, variance = np.empty((2, X.shape[1]))
    # In blocks of columns: the temporary arrays are in float64 and several times as large as X.
    for columns in gen_batches(X.shape[1], COLUMNS):
        block = X[:, columns]
        n_present = np.maximum(np.sum(~np.isnan(block), axis=0), 1)
        mean[columns] = np.nansum(block, axis=0, dtype=np.float64) / n_present
        variance[columns] = np.nansum((block - mean[columns]) ** 2, axis=0) / n_present
    variance[variance == 0] = 1.0
    return mean, variance


def clamp(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Clamp the value and pass the gradient unchanged.

    The gradient of an ordinary clamp is zero outside its range: what has left never returns.
    """
    if not x.requires_grad:
        return x.clamp(low, high)
    return x.detach().clamp(low, high) + (x - x.detach())
