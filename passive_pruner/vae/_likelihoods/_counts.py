"""Likelihoods for counts: Poisson and negative binomial."""

import math
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from torch import nn
from torch.distributions import NegativeBinomial as NegativeBinomialDistribution
from torch.distributions import Poisson as PoissonDistribution

from passive_pruner.vae._likelihoods._base import (
    STRETCH,
    Likelihood,
    LikelihoodModule,
    clamp,
    column_moments,
)

# Rates from 2e-9 to 5e8: beyond the counts that float32 tells apart, and finite.
LOG_RATE_BOUND = 20.0
# An inverse dispersion of 10,000 is a rate that varies by 1% around what the codes say: a Poisson
# distribution for all but huge counts. Of larger ones the log-gamma functions cancel in float32; up
# to here the error of a cell stays within 0.01 nats. One of 1/10,000 is below any in data.
LOG_INVERSE_DISPERSION_BOUND = math.log(1e4)


class _CountLikelihood(Likelihood):
    _parameter_constraints: ClassVar[dict] = {"exposure": [StrOptions({"row_sum"}), None]}

    def __init__(self, exposure=None):
        self.exposure = exposure

    def check_data(self, X):
        # NaN compares as False. A number above its floor has a fraction.
        wrong = X[(X < 0) | (np.floor(X) < X)]
        if len(wrong):
            raise ValueError(
                f"The {type(self).__name__} likelihood takes counts (0, 1, 2, ...), but X has "
                f"{wrong[0]:.6g}. Pass counts that are neither normalised nor log-transformed, or "
                "choose likelihood='gaussian'."
            )


class Poisson(_CountLikelihood):
    """Poisson likelihood for counts, with the decoder's output as log-rate.

    The encoder sees the logarithm of one plus the count, standardised.

    Parameters
    ----------
    exposure : {"row_sum"} or None, default=None
        What the rates are relative to. With "row_sum" the decoder gives the proportions of the
        columns by a softmax, and the rate is the proportion times the sum of the row: the codes
        describe the composition of a row, and not how much was counted in it. Means and samples
        that are decoded from codes alone are for the mean row sum of the training data.

    See Also
    --------
    NegativeBinomial : For counts that vary more than a Poisson distribution allows.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner import VAEEncoder
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.exp(rng.normal(size=(200, 1)) + rng.normal(size=6)))
    >>> encoder = VAEEncoder(2, likelihood="poisson", max_steps=300, random_state=0).fit(X)
    >>> encoder.sample(4).shape
    (4, 6)
    """

    def build(self, X, *, allow_missing=False):
        return _PoissonModule(X, self.exposure, missing=allow_missing)


class NegativeBinomial(_CountLikelihood):
    r"""Negative binomial likelihood for overdispersed counts, such as gene expression.

    The decoder gives the mean :math:`m` as its logarithm; the inverse dispersion :math:`\theta`
    is learned, one per column. The variance is :math:`m + m^2 / \theta`:

    .. math:: p(x) = \frac{\Gamma(x + \theta)}{x! \, \Gamma(\theta)}
              \left(\frac{\theta}{\theta + m}\right)^\theta
              \left(\frac{m}{\theta + m}\right)^x

    The encoder sees the logarithm of one plus the count, standardised.

    Parameters
    ----------
    exposure : {"row_sum"} or None, default=None
        What the means are relative to. With "row_sum" the decoder gives the proportions of the
        columns by a softmax, and the mean is the proportion times the sum of the row: the codes
        describe the composition of a row, and not how much was counted in it. Means and samples
        that are decoded from codes alone are for the mean row sum of the training data.

    See Also
    --------
    Poisson : Without overdispersion.

    References
    ----------
    Lopez, Regier, Cole, Jordan and Yosef (2018), "Deep generative modeling for single-cell
    transcriptomics", Nature Methods 15; ``exposure="row_sum"`` is its model with the observed
    library size and no zero inflation.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.vae import NegativeBinomial
    >>> rng = np.random.default_rng(0)
    >>> mean = np.exp(rng.normal(size=(200, 1)) * rng.normal(size=6) + 1)
    >>> X = rng.negative_binomial(2, 2 / (2 + mean))
    >>> likelihood = NegativeBinomial(exposure="row_sum")
    >>> encoder = VAEEncoder(2, likelihood=likelihood, max_steps=300, random_state=0).fit(X)
    >>> decoded = encoder.inverse_transform(encoder.transform(X))
    >>> bool(np.allclose(decoded.sum(axis=1), X.sum(axis=1).mean(), rtol=1e-3))
    True
    """

    def build(self, X, *, allow_missing=False):
        return _NegativeBinomialModule(X, self.exposure, missing=allow_missing)


class _CountModule(LikelihoodModule):
    def __init__(self, X: np.ndarray, exposure: str | None, *, missing: bool):
        super().__init__(missing=missing)
        self.exposure = exposure
        log_mean, log_variance = column_moments(np.log1p(X))
        # One scale for all columns: logarithms are without units, and dividing by the deviation of
        # each column would blow up the noise of rare counts.
        self._register("log_mean", log_mean)
        self._register("log_scale", np.sqrt(log_variance.mean()))
        # A column without a count gets the rate of half a count in all rows.
        column_mean = np.maximum(column_moments(X)[0], 0.5 / len(X))
        self._register("location", np.log(column_mean))
        # With missing cells the sums of rows are too small, but that of the column means is not.
        self._register("mean_row_sum", column_mean.sum())

    def standardize(self, x):
        # The logarithm of a negative number, which is no count, would make NaN of all codes.
        return (x.clamp(min=0).log1p() - self.log_mean) / self.log_scale

    def log_rate(self, outputs, x=None):
        """Logarithm of the rate of every cell; without data for the mean row sum."""
        log_rate = self.location + outputs
        if self.exposure == "row_sum":
            if x is None:
                row_sum = self.mean_row_sum
            elif self.missing:
                # Given the sum over the cells that are present, the model of these cells is the
                # same with their proportions among themselves. Minus infinity would make the
                # softmax of a row without any cell NaN.
                log_rate = log_rate.masked_fill(x.isnan(), -1e9)
                row_sum = x.nansum(dim=1, keepdim=True)
            else:
                row_sum = x.sum(dim=1, keepdim=True)
            # An empty row says nothing: nearly no rate, and no infinite logarithm.
            log_rate = log_rate.log_softmax(dim=1) + row_sum.clamp(min=1e-6).log()
        return clamp(log_rate, -LOG_RATE_BOUND, LOG_RATE_BOUND)

    def log_likelihood(self, outputs, x):
        return self._sum_log_prob(self.distribution(outputs, x), x)


class _PoissonModule(_CountModule):
    def distribution(self, outputs, x=None):
        return PoissonDistribution(self.log_rate(outputs, x).exp(), validate_args=False)


class _NegativeBinomialModule(_CountModule):
    def __init__(self, X: np.ndarray, exposure: str | None, *, missing: bool):
        super().__init__(X, exposure, missing=missing)
        # Method of moments, the outputs of the decoder being zero: E[(x - m)^2 - m] = m^2 / theta.
        x = torch.from_numpy(np.asarray(X, dtype=np.float32))
        mean = self.log_rate(torch.zeros_like(x), x).double().exp().numpy()
        excess = np.nansum((X - mean) ** 2 - mean, axis=0)
        square = np.sum(mean**2, axis=0, where=~np.isnan(X))
        dispersion = np.maximum(excess, 0) / np.maximum(square, np.finfo(np.float64).tiny)
        bound = math.exp(LOG_INVERSE_DISPERSION_BOUND)
        self._register("start", -np.log(np.clip(dispersion, 1 / bound, bound)))
        self.log_ratio = nn.Parameter(torch.zeros(X.shape[1]))

    def distribution(self, outputs, x=None):
        log_inverse_dispersion = clamp(
            self.start + STRETCH * self.log_ratio,
            -LOG_INVERSE_DISPERSION_BOUND,
            LOG_INVERSE_DISPERSION_BOUND,
        )
        return NegativeBinomialDistribution(
            log_inverse_dispersion.exp().expand_as(outputs),
            logits=self.log_rate(outputs, x) - log_inverse_dispersion,
            validate_args=False,
        )
