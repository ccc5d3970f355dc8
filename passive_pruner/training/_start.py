"""Where training starts: at a factor analysis of the data."""

from typing import Any, cast

import numpy as np
import torch

from passive_pruner._common._rows import Rows
from passive_pruner._common._sample_weight import weighted
from passive_pruner.training._counterpart import counterparts
from passive_pruner.training._covariance import (
    Moments,
    moments,
    moments_with_missing,
    sample,
    weighted_sample,
)
from passive_pruner.training._factor_analysis import (
    NOISE_FLOOR,
    Factors,
    factor_analysis,
    pooled,
)
from passive_pruner.vae._architectures import MLP, Architecture, WithLinearPath
from passive_pruner.vae._likelihoods import Likelihood, LikelihoodModule
from passive_pruner.vae._network import VAE

# Largest standard deviations of an output over the prior that are tried where the factor analysis
# is an expansion around the column means, which says little far from them: a column that is 1 in
# two rows of thousands, and equal to another one there, would get a slope that no other row bears.
SPREADS = (4.0, 2.0, 1.0, 0.5, 0.0)
# Training rows on which they are compared where none are held out.
N_BOUND_ROWS = 1024
# Rounds in which noise and linear posterior find each other where cells are missing.
NOISE_ROUNDS = 6


def obstacle_to_factor_analysis(
    likelihood: Likelihood, architecture: Architecture, n_features: int
) -> str | None:
    """Tell what keeps an encoder from starting at a factor analysis of the data.

    Parameters
    ----------
    likelihood, architecture : Likelihood, Architecture
        The components in use; the likelihood is resolved for the table.
    n_features : int
        Number of columns.

    Returns
    -------
    name : {"architecture", "likelihood"} or None
        The component that stands in the way; None if nothing does.
    """
    if type(architecture) is not MLP or not architecture.linear_path:
        return "architecture"
    module = likelihood.build(np.zeros((1, n_features), dtype=np.float32))
    return None if counterparts(module, n_features) else "likelihood"


class FactorAnalysisStart:
    """What networks need to start at a factor analysis of some rows, which are read once.

    Parameters
    ----------
    likelihood : LikelihoodModule
        Of any of the networks, with a counterpart.
    X : Rows of shape (n_samples, n_features)
        Data.
    rows, held_out : ndarray of int
        Numbers of the rows that the factors are fitted to, and of others, which take part in the
        noise alone. A column that is 0 in nearly all rows can be reproduced exactly where it was
        seen and be far off elsewhere.
    allow_missing : bool
        Whether cells may be missing.
    beta : float
        Weight of the divergence.
    """

    def __init__(
        self,
        likelihood: LikelihoodModule,
        X: Rows,
        rows: np.ndarray,
        held_out: np.ndarray,
        *,
        allow_missing: bool,
        beta: float,
    ):
        self.beta = beta
        self.n_features = X.shape[1]
        model = LinearModel(likelihood, self.n_features, 0)
        self._held_out = model.values(X[held_out])
        self._held_out_weights = X.weights_of(held_out)
        self._pass_weight = X.pass_weight(rows)
        self._table = self._table_weights = self._moments = None
        if not allow_missing:
            self._moments = moments(X, rows, model.values)
        elif X.weights is None:
            self._table = model.values(sample(X, rows))
        else:
            drawn, self._table_weights = weighted_sample(X, rows)
            self._table = model.values(drawn)
        if model.is_expansion:
            compared = held_out if len(held_out) else rows[:N_BOUND_ROWS]
            self._compared = torch.from_numpy(X[compared]), X.weights_of(compared)

    @torch.no_grad()
    def write(self, network: VAE, max_factors: int | None = None) -> int:
        """Set the weights of a network so that it is the factor analysis.

        The linear paths hold the factor analysis, and the last layers of the perceptrons beside
        them are 0 but for their biases: at ``beta=1`` and with a Gaussian likelihood the ELBO of a
        row without missing cells is then its log-likelihood under the factor analysis. Variables
        for which the data shows no factor have the prior as their posterior, and are decoded into
        nothing.

        Parameters
        ----------
        network : VAE
            On the CPU, of two halves with linear paths.
        max_factors : int, optional
            Most factors, by default as many as there are variables.

        Returns
        -------
        n_factors : int
            Number of variables that are not passive.
        """
        decoder = cast(WithLinearPath, network.decoder)
        max_factors = decoder.linear.in_features if max_factors is None else max_factors
        model = LinearModel(network.likelihood, self.n_features, max_factors)
        factors, of_rows = self._fit(model)
        bound = np.inf
        if model.is_expansion:
            elbos = []
            for spread in SPREADS:
                bounded = model.bounded(factors, of_rows, spread)
                _write(network, model, bounded, of_rows, self.beta)
                elbos.append(_elbo(network, *self._compared))
            bound = SPREADS[int(np.argmax(np.nan_to_num(elbos, nan=-np.inf)))]
        bounded = model.bounded(factors, of_rows, bound)
        return _write(network, model, bounded, of_rows, self.beta)

    def _fit(self, model):
        """Fit factors to the rows, and return them with the moments of the rows."""
        if self._moments is not None:
            table, weights, of_rows = self._held_out, self._held_out_weights, self._moments
            if weights is None:  # of blocks, moments alone know the number of rows
                share = len(table) / (of_rows.n_samples + len(table))
            else:
                share = weights.sum() / (self._pass_weight[0] + weights.sum())
            factors = model.fit(of_rows)
            return model.with_noise_of(table, share, of_rows, factors, weights), of_rows
        weights = self._table_weights
        of_rows = moments_with_missing(self._table, model.fit, weights)
        factors = model.fit(of_rows)
        # No linear map is the posterior of every row, so there is more noise than in the factor
        # analysis: as much as the codes leave. With more of it, the best map is another one.
        table = np.concatenate([self._table, self._held_out])
        if weights is not None:
            total, n_rows = self._pass_weight
            weights = np.concatenate([weights, self._held_out_weights * (n_rows / total)])
        for _ in range(NOISE_ROUNDS if np.isnan(table).any() else 1):
            factors = model.with_noise_of(table, 1.0, of_rows, factors, weights)
        return factors, of_rows


class LinearModel:
    """Factor analysis of what the encoder sees, with the noise that a likelihood has there.

    Columns whose likelihood has no counterpart take no part: their loadings are 0.

    Parameters
    ----------
    likelihood : LikelihoodModule
    n_features, max_factors : int
        Numbers of columns, and of factors at most.
    """

    def __init__(self, likelihood: LikelihoodModule, n_features: int, max_factors: int):
        self.likelihood = likelihood
        self.max_factors = max_factors
        self.parts = counterparts(likelihood, n_features)
        self.is_expansion = any(part.is_expansion for part, _, _ in self.parts)
        # Columns of one number have one noise variance, and that of columns of -1 is fixed.
        self.groups = np.full(n_features, -1)
        for part, columns, _ in self.parts:
            of_kind = {"fixed": -1, "shared": columns[0], "per_feature": columns}
            self.groups[columns] = of_kind[part.noise_kind]

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Return what the encoder sees of rows, in float64, with NaN in missing cells."""
        return self.likelihood.standardize(torch.from_numpy(rows)).double().numpy()

    def fit(self, of_rows: Moments) -> Factors:
        """Fit factors to moments."""
        units = self._noise_units(of_rows)
        takes_part = np.isfinite(units)
        used, units = np.flatnonzero(takes_part), units[takes_part]
        factors = factor_analysis(
            of_rows.covariance[np.ix_(used, used)] / np.outer(units, units),
            of_rows.n_samples,
            self.max_factors,
            noise_kind=self.groups[used],
        )
        loadings = np.zeros((len(takes_part), len(factors.gain)))
        loadings[used] = factors.loadings * units[:, np.newaxis]
        noise = np.where(takes_part, 1.0, of_rows.covariance.diagonal() + 1.0)
        noise[used] = factors.noise * units**2
        return Factors(loadings, noise, factors.gain)

    def with_noise_of(
        self,
        table: np.ndarray,
        share: float,
        of_rows: Moments,
        factors: Factors,
        weights: np.ndarray | None = None,
    ) -> Factors:
        """Give learned noise a share of what the codes leave of a table.

        Parameters
        ----------
        table : ndarray of shape (n_samples, n_features)
            Values, with NaN in missing cells.
        share : float
            The share.
        of_rows, factors
            Moments, and the factors that were fitted to them.
        weights : ndarray of shape (n_samples,), optional
            Weights of the rows of the table.

        Returns
        -------
        factors : Factors
            With other noise.
        """
        factors = factors.rotated(of_rows.present)
        present = ~np.isnan(table)
        centred = np.where(present, table - of_rows.mean, 0.0)
        left = centred - centred @ factors.posterior_map().T @ factors.loadings.T
        n_present = np.sum(weighted(present, weights), axis=0)
        square = np.sum(weighted(left**2, weights), axis=0, where=present)
        square /= np.where(n_present > 0, n_present, 1)
        # Over the posterior of a row the codes vary, and what is left with them.
        of_table = square + factors.loadings**2 @ (1 / (1 + factors.gain))
        variance = of_rows.covariance.diagonal()
        of_table = np.maximum(of_table, NOISE_FLOOR * np.where(variance > 0, variance, 1.0))
        share = np.where(n_present > 0, share, 0.0)
        noise = (1 - share) * factors.noise + share * of_table
        units = np.where(self.groups < 0, 1.0, self._noise_units(of_rows)) ** 2
        noise = pooled(noise / units, self.groups) * units
        return Factors(
            factors.loadings, np.where(self.groups < 0, factors.noise, noise), factors.gain
        )

    def bounded(self, factors: Factors, of_rows: Moments, spread: float) -> Factors:
        """Shorten the loadings of outputs that would vary by more, over the prior, than `spread`.

        What learned noise there is grows by what they lose. Gaussian columns have no bound.
        """
        loadings = factors.loadings.copy()
        for part, columns, _ in self.parts:
            if part.is_expansion:
                slope = part.slope(of_rows.mean[columns], of_rows.n_samples)
                current = np.sqrt(np.sum(loadings[columns] ** 2, axis=1)) / slope
                share = spread / np.maximum(current, max(spread, np.finfo(float).tiny))
                loadings[columns] *= share[:, np.newaxis]
        lost = np.sum(factors.loadings**2 - loadings**2, axis=1)
        noise = factors.noise + np.where(self.groups < 0, 0.0, lost)
        return Factors(loadings, noise, factors.gain).rotated(of_rows.present)

    def outputs(self, factors: Factors, of_rows: Moments, n_outputs: int):
        """Set the noise of the likelihood, and return the decoder's loadings and biases."""
        weight = np.zeros((n_outputs, len(factors.gain)))
        bias = np.zeros(n_outputs)
        for part, columns, outputs in self.parts:
            mean, n = of_rows.mean[columns], of_rows.n_samples
            weight[outputs] = factors.loadings[columns] / part.slope(mean, n)[:, np.newaxis]
            spread = np.sqrt(np.sum(weight[outputs] ** 2, axis=1))
            bias[outputs] = part.offset(mean, spread, n)
            part.set_noise(mean, factors.noise[columns], n)
        return weight, bias

    def _noise_units(self, of_rows):
        units = np.full(len(of_rows.mean), np.inf)
        for part, columns, _ in self.parts:
            units[columns] = part.noise_units(of_rows.mean[columns], of_rows.n_samples)
        return units


def _write(network, model, factors, of_rows, beta):
    """Set encoder, decoder and noise, and return the number of variables that are not passive."""
    _write_encoder(network, factors, of_rows, max(beta, 1e-6))  # 0 would leave no variance
    weight, bias = model.outputs(factors, of_rows, network.decoder.linear.out_features)
    _write_half(network.decoder, weight, bias)
    return int(np.sum(factors.gain > 0))


def _elbo(network, x, weights):
    """Mean ELBO of some rows, or with weights a sum in proportion to it."""
    generator = torch.Generator("cpu").manual_seed(0)
    d = network.decoder.linear.in_features
    noise = torch.randn(1, len(x), d, generator=generator, dtype=torch.float32, device="cpu")
    elbo = network.elbo(x, noise)
    return elbo.mean().item() if weights is None else float(weights @ elbo.numpy())


def _write_encoder(network, factors, of_rows, beta):
    """Set the encoder to the posterior of a row, where cells are missing that of a typical one.

    A missing cell is read as 0 and has a 0 in its column of the mask, of which a weight makes it
    count as the mean. Its row has a lower precision, 1 + the sum of w^2 / psi over the cells that
    are present; the log-variance follows that to first order.
    """
    encoder = cast(WithLinearPath, network.encoder)
    k, p = len(factors.gain), len(of_rows.mean)
    n_outputs, n_inputs = encoder.linear.weight.shape
    d = n_outputs // 2
    to_mean = factors.posterior_map(beta)
    weight, bias = np.zeros((n_outputs, n_inputs)), np.zeros(n_outputs)
    weight[:k, :p] = to_mean
    bias[d : d + k] = np.log(beta / (beta + factors.gain))
    if network.allow_missing:
        weight[:k, p:] = -to_mean * of_rows.mean
        information = (factors.loadings**2 / factors.noise[:, np.newaxis]).T
        weight[d : d + k, p:] = -information / (beta + factors.gain[:, np.newaxis])
        bias[d : d + k] -= weight[d : d + k, p:] @ of_rows.present
    else:
        bias[:k] = -to_mean @ of_rows.mean
    _write_half(encoder, weight, bias)


def _write_half(half: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    """Make a perceptron with a linear path the linear map of a weight and a bias."""
    k = weight.shape[1]
    half.linear.weight.zero_()
    half.linear.weight[:, :k] = torch.from_numpy(weight)
    last = half.perceptron[-1]
    last.weight.zero_()
    last.bias.copy_(torch.from_numpy(bias))
