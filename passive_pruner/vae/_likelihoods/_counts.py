"""Likelihoods for counts: Poisson and negative binomial."""

import math
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions
from torch import nn
from torch.distributions import NegativeBinomial as NegativeBinomialDistribution
from torch.distributions import Poisson as PoissonDistribution

from passive_pruner._common._sample_weight import effective_number, weighted
from passive_pruner.vae._likelihoods._base import (
    STRETCH,
    Likelihood,
    LikelihoodModule,
    Standardization,
    cell_error,
    clamp,
    column_moments,
    extremes,
    first_cell,
)

# Rates from 2e-9 to 5e8, whose products with anything of ordinary size are finite in float32.
LOG_RATE_BOUND = 20.0
# Above 2**24 float32 rounds counts, by less than one part in ten million: much less than any
# distribution of counts varies there. They are taken up to the largest rate.
MAX_COUNT = math.exp(LOG_RATE_BOUND)
# An inverse dispersion of 10,000 is a rate that varies by 1% around what the codes say: a Poisson
# distribution for all but huge counts. One of 1/10,000 is below any in data.
LOG_INVERSE_DISPERSION_BOUND = math.log(1e4)


class _CountLikelihood(Likelihood):
    _parameter_constraints: ClassVar[dict] = {"exposure": [StrOptions({"row_sum"}), None]}

    def __init__(self, exposure: str | None = None) -> None:
        self.exposure = exposure

    def check_data(self, X: np.ndarray) -> None:
        kind = f"The {type(self).__name__} likelihood"
        low, high = extremes(X)
        # NaN compares as False. A number above its floor has a fraction.
        if low < 0 or (np.floor(X) < X).any():
            value, column = first_cell(X, (X < 0) | (np.floor(X) < X))
            raise cell_error(
                f"{kind} takes counts (0, 1, 2, ...), but X has {value:.6g} in {{column}}. Pass "
                "counts that are neither normalised nor log-transformed, or choose "
                "likelihood='gaussian'.",
                column,
            )
        advice = "For larger ones pass np.log1p(X) with likelihood='gaussian'."
        if high > MAX_COUNT:
            value, column = first_cell(X, X > MAX_COUNT)
            raise cell_error(
                f"{kind} takes counts up to {MAX_COUNT:.0f}, but X has {value:.10g} in {{column}}. "
                f"{advice}",
                column,
            )
        if self.exposure == "row_sum" and high * X.shape[1] > MAX_COUNT:
            largest = np.nansum(X, axis=1, dtype=np.float64).max()
            if largest > MAX_COUNT:
                raise ValueError(
                    f"{kind} with exposure='row_sum' takes rows that sum to at most "
                    f"{MAX_COUNT:.0f}, but a row of X sums to {largest:.10g}. {advice}"
                )


class Poisson(_CountLikelihood):
    """Poisson likelihood for counts, with the decoder's output as log-rate.

    The encoder sees the logarithm of one plus the count, standardised. Counts, and with an exposure
    the sums of rows, may be up to exp(20), about 4.85e8.

    Parameters
    ----------
    exposure : {"row_sum"} or None, default=None
        Exposure that the rates are relative to. With "row_sum" the decoder returns the proportions
        of the columns by a softmax, and the rate is the proportion times the sum of the row: the
        codes describe the composition of a row, not its total count. Means and samples that are
        decoded from codes alone are for the mean row sum of the training data.

    See Also
    --------
    NegativeBinomial : Likelihood for overdispersed counts.

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

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return PoissonModule(X, self.exposure, missing=allow_missing, sample_weight=sample_weight)


class NegativeBinomial(_CountLikelihood):
    r"""Negative binomial likelihood for overdispersed counts, such as gene expression.

    The decoder returns the logarithm of the mean :math:`m`; one inverse dispersion :math:`\theta`
    is learned per column. The variance is :math:`m + m^2 / \theta`:

    .. math:: p(x) = \frac{\Gamma(x + \theta)}{x! \, \Gamma(\theta)}
              \left(\frac{\theta}{\theta + m}\right)^\theta
              \left(\frac{m}{\theta + m}\right)^x

    The encoder sees the logarithm of one plus the count, standardised. Counts, and with an exposure
    the sums of rows, may be up to exp(20), about 4.85e8.

    Parameters
    ----------
    exposure : {"row_sum"} or None, default=None
        Exposure that the means are relative to. With "row_sum" the decoder returns the proportions
        of the columns by a softmax, and the mean is the proportion times the sum of the row: the
        codes describe the composition of a row, not its total count. Means and samples that are
        decoded from codes alone are for the mean row sum of the training data.

    See Also
    --------
    Poisson : Likelihood for counts without overdispersion.

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

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return NegativeBinomialModule(
            X, self.exposure, missing=allow_missing, sample_weight=sample_weight
        )


class _CountModule(LikelihoodModule):
    def __init__(
        self,
        X: np.ndarray,
        exposure: str | None,
        *,
        missing: bool,
        sample_weight: np.ndarray | None = None,
    ):
        super().__init__(missing=missing)
        self.exposure = exposure
        log_mean, log_variance = column_moments(np.log1p(X), sample_weight)
        # One scale for all columns: logarithms are without units, and dividing by the deviation of
        # each column would blow up the noise of rare counts.
        self._register("log_mean", log_mean)
        self._register("log_scale", np.sqrt(log_variance.mean()))
        # A column without a count gets the rate of half a count in all rows.
        n_rows = len(X) if sample_weight is None else effective_number(sample_weight)
        column_mean = np.maximum(column_moments(X, sample_weight)[0], 0.5 / n_rows)
        self._register("location", np.log(column_mean))
        # With missing cells the sums of rows are too small, but that of the column means is not.
        self._register("mean_row_sum", column_mean.sum())

    def standardize(self, x):
        # The logarithm of a negative number, which is no count, would make NaN of all codes.
        return (x.clamp(min=0).log1p() - self.log_mean) / self.log_scale

    def standardization(self, n_features):
        return Standardization.of(
            n_features, logged=True, location=self.log_mean, scale=self.log_scale
        )

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

    def sample(self, outputs):
        # At the largest rate half of the draws are larger, and would be no data.
        return super().sample(outputs).clamp(max=MAX_COUNT)


class PoissonModule(_CountModule):
    def distribution(self, outputs, x=None):
        return _Poisson(self.log_rate(outputs, x))


class NegativeBinomialModule(_CountModule):
    def __init__(
        self,
        X: np.ndarray,
        exposure: str | None,
        *,
        missing: bool,
        sample_weight: np.ndarray | None = None,
    ):
        super().__init__(X, exposure, missing=missing, sample_weight=sample_weight)
        # Method of moments, the outputs of the decoder being zero: E[(x - m)^2 - m] = m^2 / theta.
        x = torch.from_numpy(np.asarray(X, dtype=np.float32))
        mean = self.log_rate(torch.zeros_like(x), x).double().exp().numpy()
        excess = np.nansum(weighted((X - mean) ** 2 - mean, sample_weight), axis=0)
        square = np.sum(weighted(mean**2, sample_weight), axis=0, where=~np.isnan(X))
        dispersion = np.maximum(excess, 0) / np.maximum(square, np.finfo(np.float64).tiny)
        bound = math.exp(LOG_INVERSE_DISPERSION_BOUND)
        self._register("start", -np.log(np.clip(dispersion, 1 / bound, bound)))
        self.log_ratio = nn.Parameter(torch.zeros(X.shape[1], dtype=torch.float32, device="cpu"))

    def distribution(self, outputs, x=None):
        log_inverse_dispersion = clamp(
            self.start + STRETCH * self.log_ratio,
            -LOG_INVERSE_DISPERSION_BOUND,
            LOG_INVERSE_DISPERSION_BOUND,
        )
        return _NegativeBinomial(
            log_inverse_dispersion.exp().expand_as(outputs),
            logits=self.log_rate(outputs, x) - log_inverse_dispersion,
            validate_args=False,
        )


# The textbook forms of both log-probabilities add terms of the size x ln x that cancel: at a count
# of a million float32 is left with an error of several nats. With g(v) = ln Gamma(v + 1) - v ln v
# + v, which grows as slowly as ln(v) / 2, and deviance terms that are small near the mode, none is
# large. The form is that of Loader (2000), "Fast and accurate computation of binomial
# probabilities".


class _Poisson(PoissonDistribution):
    def __init__(self, log_rate):
        super().__init__(log_rate.exp(), validate_args=False)
        self.log_rate = log_rate

    def log_prob(self, value):
        positive = value.clamp(min=1)
        return _deviance(value, positive, self.log_rate - positive.log()) - _log_gamma_rest(value)


class _NegativeBinomial(NegativeBinomialDistribution):
    def log_prob(self, value):
        # With n = x + theta, the expected parts of n are n theta / (theta + m) and n m / (theta +
        # m); their logarithms relative to theta and x are what the deviance is made of.
        theta, positive = self.total_count[:1], value.clamp(min=1)  # one theta for all rows
        log_n_ratio = torch.log1p(value / theta)
        of_theta = log_n_ratio - torch.log1p(self.logits.exp())
        of_value = self.logits + theta.log() - positive.log() + of_theta
        deviance = _deviance(value, positive, of_value) + theta * (of_theta - of_theta.expm1())
        rest = _log_gamma_rest(theta + value) - _log_gamma_rest(theta) - _log_gamma_rest(value)
        return deviance + rest - log_n_ratio


def _deviance(value, positive, log_ratio):
    """Return x ln(e / x) + x - e for ratios e / max(x, 1); it is -e at x = 0."""
    return value * log_ratio - positive * log_ratio.expm1() + (value - positive)


def _log_gamma_rest(v):
    """Return g(v) = ln Gamma(v + 1) - v ln v + v, at several times the speed of lgamma.

    The Stirling series of g has an error of 3e-9 from w = v + 4 on, and Gamma(w + 1) = (v + 1)
    (v + 2) (v + 3) w Gamma(v + 1).
    """
    w, v = v + 4, v.clamp(min=1e-20)  # whose product with its logarithm is 0, not NaN
    u = w.reciprocal()
    square = u * u
    series = u * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    factors = (1 - 3 * u) * (1 - 2 * u) * (1 - u)  # (v + 1) (v + 2) (v + 3) / w^3
    return v * torch.log1p(4 / v) - 4 + series + torch.log(torch.sqrt(2 * math.pi * w) / factors)
