"""Likelihoods: what the decoder's outputs say about the data.

A likelihood is a plain component. It builds a torch module that turns decoder outputs into a
:class:`torch.distributions.Distribution` over the cells of the table, and that holds whatever
the likelihood itself learns, such as the variance of a Gaussian.
"""

import math
from abc import abstractmethod
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution, Normal

from passive_pruner.vae._component import Component


class LikelihoodModule(nn.Module):
    """Decoder outputs -> distribution of the data; holds the likelihood's own parameters."""

    def standardize(self, x: torch.Tensor) -> torch.Tensor:
        """Bring the data to the scale on which the encoder works."""
        return x

    def distribution(self, outputs: torch.Tensor) -> Distribution:
        """Distribution of every cell, of batch shape (batch, n_features)."""
        raise NotImplementedError

    def log_likelihood(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Log-likelihood of each row, in nats, summed over features; shape (batch,)."""
        return self.distribution(outputs).log_prob(x).sum(dim=1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean of the data, (batch, n_features)."""
        return self.distribution(outputs).mean

    def sample(self, outputs: torch.Tensor) -> torch.Tensor:
        """Draw one row per row of `outputs`, (batch, n_features)."""
        return self.distribution(outputs).sample()


class Likelihood(Component):
    """Base class of likelihoods: implement :meth:`build`."""

    def n_outputs(self, n_features: int) -> int:
        """Count the decoder outputs that `n_features` columns need."""
        return n_features

    def check_data(self, X: np.ndarray) -> None:
        """Raise a ValueError if `X` has values that the likelihood gives no density to."""

    @abstractmethod
    def build(self, X: np.ndarray) -> LikelihoodModule:
        """Make the torch module, its parameters started from the training data.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Training data, or rows drawn from it.
        """


class Gaussian(Likelihood):
    """Gaussian likelihood with the decoder's output as mean.

    Parameters
    ----------
    variance : {"shared", "per_feature"} or float, default="shared"
        Variance of the likelihood: one learned number shared by all features, one learned number
        per feature, or a fixed positive number. A fixed number sets the price of a
        reconstruction error against the KL divergence, in the units of the data: 1.0 on data of
        unit variance silently collapses latent variables that PCA would keep.

    Notes
    -----
    With a shared variance the columns of largest scale decide what is encoded, as in PCA:
    standardise the data first if all columns should count alike.

    The learned, shared variance is the sigma-VAE of Rybkin, Daniilidis and Levine (2021),
    "Simple and Effective VAE Training with Calibrated Decoders", arXiv 2006.13202, section 4.1.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.vae import Gaussian
    >>> X = StandardScaler().fit_transform(load_wine().data)
    >>> encoder = VAEEncoder(likelihood=Gaussian("per_feature"), max_steps=500, random_state=0)
    >>> encoder.fit_transform(X).shape
    (178, 10)
    """

    _parameter_constraints: ClassVar[dict] = {
        "variance": [
            StrOptions({"shared", "per_feature"}),
            Interval(Real, 0, None, closed="neither"),
        ],
    }

    def __init__(self, variance="shared"):
        self.variance = variance

    def build(self, X):
        return _GaussianModule(X, self.variance)


class _GaussianModule(LikelihoodModule):
    # Adam moves a parameter by about the learning rate per step, whatever its gradient: a
    # log-variance would need thousands of steps to follow the squared error that it estimates,
    # and the latent variables would collapse while it lags. Storing a tenth of it makes the same
    # step ten times longer.
    _STRETCH = 10.0
    # A learned variance starts at a tenth of that of the data. Started there, before anything is
    # reconstructed, the KL divergence would outweigh the gain of using a latent variable, and
    # variables collapse that stay unused afterwards.
    _START = 0.1
    # A column that can be reproduced exactly (a constant one) has no finite optimal variance.
    # This floor, relative to the starting value, is the precision of float32.
    _LOG_FLOOR = 2 * math.log(np.finfo(np.float32).eps)

    def __init__(self, X: np.ndarray, variance: str | float):
        super().__init__()
        # For the same reason the network sees standardised columns and predicts them: the model
        # stays the same, but its weights are of the size that Adam's steps suit, whatever the
        # units of the data.
        column_variance = X.var(axis=0, dtype=np.float64)
        column_variance[column_variance == 0] = 1.0
        self._register("location", X.mean(axis=0, dtype=np.float64))
        self._register("scale", np.sqrt(column_variance))
        if variance == "per_feature":
            start = column_variance
        else:
            start = np.full(1, column_variance.mean() if variance == "shared" else float(variance))
        self._register("start", np.log(start))
        learned = isinstance(variance, str)
        log_ratio = math.log(self._START) / self._STRETCH if learned else 0.0
        self.log_ratio = nn.Parameter(torch.full((len(start),), log_ratio), requires_grad=learned)

    def _register(self, name, value):
        self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    def standardize(self, x):
        return (x - self.location) / self.scale

    def distribution(self, outputs):
        log_ratio = (self._STRETCH * self.log_ratio).clamp(min=self._LOG_FLOOR)
        deviation = torch.exp(0.5 * (self.start + log_ratio))
        return Normal(
            self.location + self.scale * outputs,
            deviation.expand_as(outputs),
            validate_args=False,
        )


class Bernoulli(Likelihood):
    """Bernoulli likelihood for binary data, with the decoder's output as logit.

    Values between 0 and 1, such as grey levels, are accepted as probabilities, as most VAEs for
    images do; the cross-entropy is then no log-density, though it is minimal at the same place.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from passive_pruner import VAEEncoder
    >>> X = (load_digits().data > 8).astype("float32")
    >>> encoder = VAEEncoder(likelihood="bernoulli", max_steps=200, random_state=0).fit(X)
    >>> bool((encoder.inverse_transform(encoder.transform(X)) <= 1).all())
    True
    """

    def check_data(self, X):
        low, high = X.min(), X.max()
        if low < 0 or high > 1:
            raise ValueError(
                f"The Bernoulli likelihood takes values in [0, 1], but X ranges from {low:.6g} to "
                f"{high:.6g}. Scale X, for example with sklearn.preprocessing.MinMaxScaler"
                "(clip=True), or choose likelihood='gaussian'."
            )

    def build(self, X):
        return _BernoulliModule()


class _BernoulliModule(LikelihoodModule):
    def distribution(self, outputs):
        return BernoulliDistribution(logits=outputs, validate_args=False)


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}
