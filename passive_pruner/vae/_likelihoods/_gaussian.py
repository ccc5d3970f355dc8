"""Gaussian likelihood, for real numbers."""

import math
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.distributions import Normal

from passive_pruner._common._sample_weight import effective_number
from passive_pruner.vae._likelihoods._base import (
    STRETCH,
    Likelihood,
    LikelihoodModule,
    Standardization,
    column_moments,
)

# A learned variance starts at a tenth of that of the data. Started there, before anything is
# reconstructed, the KL divergence would outweigh the gain of using a latent variable, and
# variables collapse that stay unused afterwards.
START = 0.1
# A column that can be reproduced exactly (a constant one) has no finite optimal variance. This
# floor, relative to the starting value, is the precision of float32.
LOG_FLOOR = 2 * math.log(np.finfo(np.float32).eps)
# A variance of its own lets a column that others determine exactly, such as their sum, gain half a
# nat whenever its variance is divided by e, without end and without telling the codes any more.
# This floor leaves it a standard deviation of one hundredth of the column's.
FLOOR_PER_FEATURE = 1e-4
COLUMNS_AT_A_TIME = 64


class Gaussian(Likelihood):
    """Gaussian likelihood with the decoder's output as mean.

    Parameters
    ----------
    variance : {"per_feature", "shared"} or float, default="per_feature"
        Variance of the likelihood: one learned number per feature, one learned number shared by
        all features, or a fixed number from 1e-30 to 1e30. A fixed number, in squared units of the
        data, sets the weight of reconstruction errors relative to the KL divergence: 1.0 on data of
        unit variance collapses latent variables that PCA would keep, without a warning.

    Notes
    -----
    With a shared variance the columns of largest scale dominate the codes, as in PCA: standardise
    the data first if all columns should have equal weight. With a variance per feature the model
    does not depend on the units of the columns.

    The noise of a column that has the same value in nearly all rows is hard to estimate. If k rows
    differ from the others, the variance per feature is therefore at least 1 / (k + 2) of the
    variance of the column, times the share of the other rows. It is also at least 1e-4 of the
    variance of the column, because it would tend to 0 for a column that is determined exactly by
    others.

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
            # Its logarithm and its inverse, times squares of values, are numbers of float32.
            Interval(Real, 1e-30, 1e30, closed="both"),
        ],
    }

    def __init__(self, variance: str | float = "per_feature") -> None:
        self.variance = variance

    def shiftable(self, n_features: int) -> np.ndarray:
        return np.ones(n_features, dtype=bool)

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return GaussianModule(X, self.variance, missing=allow_missing, sample_weight=sample_weight)


class GaussianModule(LikelihoodModule):
    location: torch.Tensor
    scale: torch.Tensor
    start: torch.Tensor
    log_floor: torch.Tensor

    def __init__(
        self,
        X: np.ndarray,
        variance: str | float,
        *,
        missing: bool,
        sample_weight: np.ndarray | None = None,
    ):
        super().__init__(missing=missing)
        # The network sees standardised columns and predicts them: the model stays the same, but
        # its weights are of the size that Adam's steps suit, whatever the units of the data.
        column_mean, column_variance = column_moments(X, sample_weight)
        self._register("location", column_mean)
        self._register("scale", np.sqrt(column_variance))
        if variance == "per_feature":
            start = column_variance
        else:
            start = np.full(1, column_variance.mean() if variance == "shared" else float(variance))
        self._register("start", np.log(start))
        floor = np.full(len(start), LOG_FLOOR)
        if variance == "per_feature":
            floor = np.log(np.maximum(least_noise(X, sample_weight), FLOOR_PER_FEATURE))
        self._register("log_floor", floor)
        learned = isinstance(variance, str)
        log_ratio = math.log(START) / STRETCH if learned else 0.0
        log_ratios = torch.full((len(start),), log_ratio, dtype=torch.float32, device="cpu")
        self.log_ratio = nn.Parameter(log_ratios, requires_grad=learned)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        # Weights that were saved before columns had floors of their own.
        floor = torch.full_like(self.log_floor, LOG_FLOOR)
        state_dict.setdefault(f"{prefix}log_floor", floor)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def standardize(self, x):
        return (x - self.location) / self.scale

    def standardization(self, n_features):
        return Standardization.of(n_features, location=self.location, scale=self.scale)

    @property
    def noise_kind(self) -> str:
        """Whether the noise variance is "fixed", "shared" or one "per_feature"."""
        if not self.log_ratio.requires_grad:
            return "fixed"
        return "shared" if len(self.start) == 1 else "per_feature"

    @property
    def noise_units(self) -> torch.Tensor:
        """Units of standardised values in which their noise variance is exp(STRETCH log_ratio)."""
        return self.scale * torch.exp(-0.5 * self.start)

    @torch.no_grad()
    def set_noise(self, ratio: np.ndarray) -> None:
        """Set the noise variance, in the units of `noise_units`, per feature."""
        ratio = ratio[: len(self.log_ratio)]
        self.log_ratio.copy_(torch.from_numpy(np.log(ratio) / STRETCH))

    def variance(self):
        """Variance of the data given the code, per feature or one for all."""
        return self._log_variance().exp()

    def standardized_mean(self, outputs):
        return outputs  # without the rounding of a large location

    def distribution(self, outputs):
        # Half the logarithm before its exponential: the variance of columns in units of 1e-25 or
        # 1e25 leaves the range of float32, its root does not.
        scale = torch.exp(0.5 * self._log_variance())
        mean = self.location + self.scale * outputs
        return _Normal(mean, scale.expand_as(outputs), validate_args=False)

    def _log_variance(self):
        return self.start + (STRETCH * self.log_ratio).clamp(min=self.log_floor)


def least_noise(X: np.ndarray, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Least noise that some rows can tell of columns, as a share of their variance.

    A column that has one value in all rows but k can be reproduced in all of these, as a network
    has weights enough for that. The next such row has a chance of 1 / (k + 2) to be none of them,
    by Laplace's rule of succession, and then its whole deviation is noise. Of a column without a
    value that is frequent, this says nothing: the bound is multiplied by the share of the rows
    that have the most frequent value.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        NaN where a cell is missing.
    sample_weight : ndarray of shape (n_samples,), optional
        Weights of the rows, of which there are as many as their effective number.

    Returns
    -------
    share : ndarray of shape (n_features,)
        At least 0, and below 1 / 2.
    """
    # Sorting takes several times the memory of what is sorted.
    blocks = gen_batches(X.shape[1], COLUMNS_AT_A_TIME)
    if sample_weight is not None:
        weights = sample_weight / sample_weight.sum() * effective_number(sample_weight)
        return np.concatenate([_least_noise_of_weighted(X[:, block], weights) for block in blocks])
    return np.concatenate([_least_noise(X[:, block]) for block in blocks])


def _least_noise_of_weighted(X, weights):
    order = np.argsort(X, axis=0)
    values = np.take_along_axis(X, order, axis=0)
    weights = np.where(np.isnan(values), 0.0, weights[order])
    n = weights.sum(axis=0)
    n = np.where(n > 0, n, 1.0)
    places = np.arange(len(X))[:, np.newaxis]
    is_new = np.vstack([np.ones((1, X.shape[1]), bool), values[1:] != values[:-1]])
    first = np.maximum.accumulate(np.where(is_new, places, 0), axis=0)
    total = np.cumsum(weights, axis=0)
    run = total - np.take_along_axis(total - weights, first, axis=0)
    # Of f rows with the same value one does not tell that it is frequent.
    repeated = np.max(run * (1 - 1 / (places - first + 1)), axis=0)
    rest = np.maximum(n - np.max(run, axis=0), 0.0)
    return np.where(rest > 1e-9 * n, repeated / n / (rest + 2), 0.0)


def _least_noise(X):
    # Equal values stand together in a sorted column, and NaN, which equals nothing, at its end.
    values = np.sort(X, axis=0)
    places = np.arange(1, len(X))[:, np.newaxis]
    is_new = values[1:] != values[:-1]
    run = places - np.maximum.accumulate(np.where(is_new, places, 0), axis=0)
    frequent = 1 + run.max(axis=0, initial=0)
    n = np.maximum(np.sum(~np.isnan(X), axis=0), 1)
    return np.where(frequent < n, (frequent - 1) / n / (n - frequent + 2), 0.0)


class _Normal(Normal):
    """The normal distribution for data in any units of float32: it squares no deviation in them."""

    def log_prob(self, value):
        z = (value - self.loc) / self.scale
        return -0.5 * z.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
