"""Likelihoods for values in [0, 1]: binary data and intensities."""

import math
from typing import ClassVar

import numpy as np
import torch
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution

from passive_pruner.vae._likelihoods._base import (
    Likelihood,
    LikelihoodModule,
    cell_error,
    extremes,
    first_cell,
)

# Half-logits below which closed forms that divide by them are replaced by a series. There both
# are at their best in float32: the closed form of the mean loses two digits to cancellation, the
# terms that the series leaves out are below its rounding error.
SERIES_BELOW = 0.25


def _check_unit_interval(X, name):
    low, high = extremes(X)
    if low < 0 or high > 1:
        value, column = first_cell(X, (X < 0) | (X > 1))  # NaN compares as False
        raise cell_error(
            f"The {name} likelihood takes values in [0, 1], but X has {value:.6g} in {{column}}. "
            "Scale X, for example with sklearn.preprocessing.MinMaxScaler(clip=True), or choose "
            "likelihood='gaussian'.",
            column,
        )


class Bernoulli(Likelihood):
    """Bernoulli likelihood for binary data, with the decoder's output as logit.

    Values between 0 and 1, such as grey levels, are accepted as probabilities, as in most VAEs for
    images. The cross-entropy is then not a log-density, although it has its minimum at the same
    mean. Use :class:`ContinuousBernoulli` for a density of such data.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from passive_pruner import VAEEncoder
    >>> X = (load_digits().data > 8).astype("float32")
    >>> encoder = VAEEncoder(likelihood="bernoulli", max_steps=200, random_state=0).fit(X)
    >>> bool((encoder.inverse_transform(encoder.transform(X)) <= 1).all())
    True
    """

    def check_data(self, X: np.ndarray) -> None:
        _check_unit_interval(X, "Bernoulli")

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return BernoulliModule(missing=allow_missing)


class BernoulliModule(LikelihoodModule):
    def distribution(self, outputs):
        return BernoulliDistribution(logits=outputs, validate_args=False)


class ContinuousBernoulli(Likelihood):
    r"""Continuous Bernoulli likelihood, a density on [0, 1], for grey levels and proportions.

    With the decoder's output :math:`\eta` the density of :math:`x \in [0, 1]` is

    .. math:: p(x) = \frac{\eta}{e^\eta - 1} e^{\eta x}

    which is the :class:`Bernoulli` likelihood multiplied by the constant that makes it integrate to
    one. Without the constant the model is biased: values near 0 or 1 are fitted less closely than
    the density warrants. Use :class:`Bernoulli` if all values are exactly 0 or 1, for which a
    density is unbounded.

    References
    ----------
    Loaiza-Ganem and Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error in
    variational autoencoders", NeurIPS, arXiv 1907.06845.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from passive_pruner import VAEEncoder
    >>> X = load_digits().data / 16
    >>> encoder = VAEEncoder(likelihood="continuous_bernoulli", max_steps=200, random_state=0)
    >>> drawn = encoder.fit(X).sample(5)
    >>> bool(((0 <= drawn) & (drawn <= 1)).all())
    True
    """

    def check_data(self, X: np.ndarray) -> None:
        _check_unit_interval(X, "continuous Bernoulli")

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return _ContinuousBernoulliModule(missing=allow_missing)


class _ContinuousBernoulliModule(LikelihoodModule):
    def distribution(self, outputs):
        return _ContinuousBernoulliDistribution(outputs)


class _ContinuousBernoulliDistribution(Distribution):
    r"""The continuous Bernoulli distribution for logits of any size.

    :class:`torch.distributions.ContinuousBernoulli` works on the probability and clamps it to
    the precision of float32: no mean is then below 1/16, so that black stays dark grey, and the
    density of larger logits does not integrate to one. In terms of half the logit :math:`h`

    .. math:: \ln p(x) = (2x - 1) h - \ln \frac{\sinh h}{h},
              \qquad E[x] = \tfrac12 + \tfrac12 (\coth h - \tfrac1h)

    nothing needs a clamp.
    """

    arg_constraints: ClassVar[dict] = {}

    def __init__(self, logits: torch.Tensor):
        self.half = 0.5 * logits
        super().__init__(logits.shape, validate_args=False)

    def _split(self):
        """Return where the series is used, and an argument that is safe for either form.

        Both forms are computed everywhere, and the gradient of the one that is not chosen must
        be finite, too.
        """
        near = self.half.abs() < SERIES_BELOW
        small = torch.where(near, self.half, 0.0)
        return near, small, small.square(), torch.where(near, 1.0, self.half)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        near, _, square, h = self._split()
        series = square * (1 / 6 - square * (1 / 180 - square / 2835))
        h = h.abs()
        closed = h + torch.log1p(-torch.exp(-2 * h)) - math.log(2) - torch.log(h)
        return (2 * value - 1) * self.half - torch.where(near, series, closed)

    @property
    def mean(self) -> torch.Tensor:
        near, small, square, h = self._split()
        series = small * (1 / 3 - square * (1 / 45 - square * 2 / 945))
        return 0.5 + 0.5 * torch.where(near, series, 1 / torch.tanh(h) - 1 / h)

    def sample(self, sample_shape=torch.Size()) -> torch.Tensor:  # noqa: B008
        # Inverse of F(x) = (e^(eta x) - 1) / (e^eta - 1) for eta < 0, where no exponential
        # overflows; 1 - x has the distribution of x with the sign of eta changed.
        logits = (2 * self.half).expand(self._extended_shape(sample_shape))
        eta = -logits.abs().clamp(min=1e-6)
        x = torch.log1p(torch.rand_like(eta) * torch.expm1(eta)) / eta
        return torch.where(logits < 0, x, 1 - x).clamp(0, 1)
