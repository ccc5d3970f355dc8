"""What variables are worth: the definition, closed forms of the linear model, and who reads it."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import small_encoder
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from scipy.optimize import brentq
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, prune_pipeline
from passive_pruner.regime import ablate
from passive_pruner.vae import MLP, Conv, Likelihood, LikelihoodModule
from passive_pruner.vae._likelihoods._gaussian import GaussianModule
from passive_pruner.vae._network import VAE
from passive_pruner.vae._objective import kl_per_variable


class AtPrior(nn.Module):
    """An encoder whose posterior of one variable is the prior."""

    def __init__(self, encoder, j):
        super().__init__()
        self.encoder, self.j = encoder, j

    def forward(self, x):
        out = self.encoder(x).clone()
        out[:, [self.j, self.j + out.shape[1] // 2]] = 0
        return out


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "bernoulli", "missing"])
def test_a_gain_is_the_elbo_minus_that_with_the_prior(likelihood, cancer):
    X = cancer[0].copy()
    params = {"likelihood": likelihood}
    if likelihood == "missing":
        X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
        params = {"allow_missing": True}
    elif likelihood != "gaussian":
        X = np.round(np.abs(X)) if likelihood == "poisson" else (X > 0).astype("float32")
    network = small_encoder(**params).fit(X).to_torch()
    x, noise = torch.from_numpy(X[:40]), torch.randn(6, 40, 4, generator=torch.Generator())
    with torch.no_grad():
        gains = network.gains(x, noise)
        for j in range(4):
            without = VAE(
                AtPrior(network.encoder, j),
                network.decoder,
                network.likelihood,
                network.allow_missing,
            )
            expected = network.elbo(x, noise) - without.elbo(x, noise)
            assert_allclose(gains[:, j], expected, rtol=1e-3, atol=2e-3)


class Linear:
    """The VAE with loadings W and noise psi whose posterior is exact, and its closed forms.

    `stretch` multiplies posterior variances, which only the divergence and the noise see.
    """

    def __init__(self, seed, strengths, n_features=12, stretch=1.0):
        rng = np.random.default_rng(seed)
        self.psi = rng.uniform(0.3, 2, n_features)
        orthogonal = np.linalg.qr(rng.standard_normal((n_features, len(strengths))))[0]
        self.g = np.asarray(strengths)
        # W' psi^-1 W = diag(g), for which the posterior is diagonal.
        self.W = np.sqrt(self.psi)[:, None] * orthogonal * np.sqrt(self.g)
        self.variance = stretch / (1 + self.g)
        self.encode = self.W.T / self.psi / (1 + self.g)[:, None]
        self.rng = rng

    def draw(self, n):
        z = self.rng.standard_normal((n, len(self.g)))
        noise = np.sqrt(self.psi) * self.rng.standard_normal((n, len(self.psi)))
        return z @ self.W.T + noise

    def network(self):
        p, d = self.W.shape
        likelihood = GaussianModule(np.zeros((2, p)), "per_feature", missing=False)
        likelihood.set_noise(self.psi)
        encoder, decoder = nn.Linear(p, 2 * d), nn.Linear(d, p)
        with torch.no_grad():
            encoder.weight.copy_(torch.from_numpy(np.vstack([self.encode, np.zeros((d, p))])))
            encoder.bias.copy_(torch.from_numpy(np.r_[np.zeros(d), np.log(self.variance)]))
            decoder.weight.copy_(torch.from_numpy(self.W))
            decoder.bias.zero_()
        network = VAE(encoder, decoder, likelihood).double().eval()
        assert_allclose(network.likelihood.variance().detach(), self.psi, rtol=1e-4)
        return network


def closed_form(X, mean, variance, W, psi, offset=0.0):
    """Gain of each row of a linear decoder, as the page on theory has it."""
    c = (X - offset - mean @ W.T) / psi @ W
    g = (W**2 / psi[:, None]).sum(axis=0)
    kl = (mean**2 + variance - 1 - np.log(variance)) / 2
    return c * mean + g / 2 * (mean**2 + 1 - variance) - kl


def gains_of(network, X, seed, n_points=16):
    generator = torch.Generator().manual_seed(seed)
    half = torch.randn(n_points // 2, len(X), network.decoder.in_features, generator=generator)
    with torch.no_grad():
        return network.gains(torch.from_numpy(X), torch.cat([half, -half]).double()).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_factor_analysis_gains_its_closed_form(seed):
    model = Linear(seed, [8.0, 2.0, 0.5, 0.1, 0.0])
    X = model.draw(4000)
    gains = gains_of(model.network(), X, seed)
    expected = closed_form(X, X @ model.encode.T, model.variance, model.W, model.psi)
    error = gains - expected
    assert (abs(error.mean(axis=0)) <= 4 * error.std(axis=0) / np.sqrt(len(X)) + 1e-6).all()
    # Over rows of the model itself the rows add up to a function of g alone.
    standard_error = gains.std(axis=0) / np.sqrt(len(X))
    on_average = model.g - np.log(1 + model.g) / 2
    assert (abs(gains.mean(axis=0) - on_average) <= 4 * standard_error + 1e-6).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_gains_of_a_fitted_linear_encoder_are_its_closed_form(seed, cancer):
    X, _ = cancer
    encoder = small_encoder(architecture=MLP(()), max_steps=400, random_state=seed).fit(X)
    network, (mean, variance) = encoder.to_torch(), encoder.posterior(X)
    with torch.no_grad():
        offset = network.mean(torch.zeros(1, 4)).numpy()
        W = (network.mean(torch.eye(4)).numpy() - offset).T
        psi = network.likelihood.variance().numpy()
    expected = closed_form(X, mean, variance, W, psi, offset)
    gains = encoder.gain_samples(X)
    error = gains - expected
    assert (abs(error.mean(axis=0)) < 4 * error.std(axis=0) / np.sqrt(len(X))).all()
    # The points say more about a row than rows differ.
    assert (error.std(axis=0) < 0.6 * expected.std(axis=0)).all()


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_what_is_not_read_or_not_written_gains_nothing(fitted_encoder, cancer, size):
    network = fitted_encoder.to_torch().double()
    last = [m for m in network.encoder.modules() if isinstance(m, nn.Linear)]
    first = [m for m in network.decoder.modules() if isinstance(m, nn.Linear)]
    x = torch.from_numpy(cancer[0]).double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, len(x), 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for layer in first:
            if layer.in_features == 8:
                layer.weight[:, 0] = 0  # not read, whatever is written into it
                layer.weight[:, 1] = size  # read, but at the prior
        for layer in last:
            if layer.out_features == 16:
                layer.weight[0] *= size
                layer.weight[[1, 9]] = 0
                layer.bias[[1, 9]] = 0
        gains, kl = network.gains(x, noise), kl_per_variable(*network.encode(x))
    assert_array_equal(gains[:, 0], -kl[:, 0])
    assert_array_equal(gains[:, 1], 0)
    assert kl[:, 0].max() > 0


def test_a_gain_belongs_to_its_row(fitted_encoder, cancer):
    X = cancer[0][:300]
    gains = fitted_encoder.gain_samples(X)
    order = np.random.default_rng(0).permutation(300)
    assert_allclose(fitted_encoder.gain_samples(X[order]), gains[order], atol=1e-9)
    assert_allclose(fitted_encoder.gain_samples(X[7:9]), gains[7:9], atol=1e-9)
    for container in (sparse.csr_matrix, pd.DataFrame):
        assert_array_equal(fitted_encoder.gain_samples(container(X)), gains)
    other = copy.deepcopy(fitted_encoder).set_params(output="sampled", whiten=False, random_state=3)
    assert_array_equal(other.gain_samples(X), gains)


def test_equal_rows_have_points_of_their_own(fitted_encoder, cancer):
    X = np.repeat(cancer[0][:3], 50, axis=0)
    gains = fitted_encoder.gain_samples(X)
    assert_allclose(gains[::50], fitted_encoder.gain_samples(cancer[0][:3]), atol=1e-9)
    assert len(np.unique(gains[:50, 0])) == 50
    order = np.random.default_rng(0).permutation(150)
    shuffled = fitted_encoder.gain_samples(X[order])
    assert_allclose(np.sort(shuffled, axis=0), np.sort(gains, axis=0), atol=1e-9)


def test_dask_is_read_block_by_block(fitted_encoder, cancer):
    dask = pytest.importorskip("dask.array")
    X = cancer[0][:100].astype(np.float64)
    lazy = fitted_encoder.gain_samples(dask.from_array(X, chunks=(30, -1)))
    assert_allclose(lazy, fitted_encoder.gain_samples(X), atol=1e-9)


def test_images_have_gains():
    X = np.random.default_rng(0).random((40, 8, 8)).astype("float32")
    encoder = small_encoder(
        n_components=2,
        architecture=Conv((8, 8, 1), channels=(4, 4), hidden_size=8),
        likelihood="bernoulli",
        max_steps=5,
    ).fit(X)
    assert encoder.gain_samples(X).shape == (40, 2)
    assert_array_equal(ablate(encoder, X).index, [0, 1])


def test_the_table_is_that_of_scipy(fitted_encoder, cancer):
    X, _ = cancer
    table, gains = ablate(fitted_encoder, X), fitted_encoder.gain_samples(X)
    test = stats.ttest_1samp(gains, 0, alternative="greater")
    assert_allclose(table["gain"], gains.mean(axis=0))
    assert_allclose(table["standard_error"], stats.sem(gains))
    assert_allclose(table["q_value"], stats.false_discovery_control(test.pvalue))
    ratio = table["explained_variance_ratio"]
    assert_array_equal(ratio, fitted_encoder.explained_variance_ratio_)
    assert table.index.name == "variable"


def test_passive_variables_gain_nothing_and_active_ones_do(fitted_encoder, cancer):
    X, _ = cancer
    types = PassiveVariableRemover(criterion="variance").fit(fitted_encoder.transform(X))
    is_passive = types.variable_types_ == "passive"
    assert 0 < is_passive.sum() < 8
    table = ablate(fitted_encoder, X)
    assert (table["gain"][is_passive] < 0.02).all()
    assert (table["q_value"][types.variable_types_ == "active"] < 1e-6).all()


def test_the_false_discovery_rate_holds_where_no_variable_gains():
    # Posteriors so wide that the divergence and the noise cost what the means gain.
    strengths = np.array([3.0, 1.0, 0.3, 0.3])

    def gain(log_stretch, g):
        m, s2 = g / (1 + g), np.exp(log_stretch) / (1 + g)
        return m * (1 + g / 2) + g / 2 * (1 - s2) - (m + s2 - 1 - np.log(s2)) / 2

    stretch = [np.exp(brentq(gain, 0, 4, args=(g,))) for g in strengths]
    model = Linear(0, strengths, stretch=np.array(stretch))
    gains = gains_of(model.network(), model.draw(500 * 100), 0, n_points=4)
    tests = [stats.ttest_1samp(g, 0, alternative="greater") for g in gains.reshape(500, 100, 4)]
    found = [stats.false_discovery_control(test.pvalue).min() <= 0.05 for test in tests]
    # Every discovery is a false one, so that the rate is the share of tables with any.
    assert np.mean(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500)
    assert abs(gains.mean(axis=0)).max() < 0.02


def test_a_table_says_what_is_kept(fitted_encoder, cancer):
    X, _ = cancer
    table = ablate(fitted_encoder, X)
    shown = np.flatnonzero(table["q_value"] <= 0.05)
    assert 0 < len(shown) < 8
    expected = fitted_encoder.pruned(shown)
    by_gain = table.sort_values("gain")
    for given in (table, by_gain, table.loc[shown], by_gain.reset_index()):
        pruned = fitted_encoder.pruned(given)
        assert_array_equal(pruned.variable_numbers_, shown)
        assert_array_equal(pruned.transform(X), expected.transform(X))
    # A mask is one of variables, not of places.
    pruned = fitted_encoder.pruned(by_gain["q_value"] <= 0.05)
    assert_array_equal(pruned.variable_numbers_, shown)
    # What is cut gained nothing: at 0 instead of the prior the model is no worse.
    assert pruned.score(X) > fitted_encoder.score(X) - 0.1


def test_tables_that_say_nothing_are_refused(fitted_encoder, cancer):
    table = ablate(fitted_encoder, cancer[0])
    with pytest.raises(ValueError, match=r"column 'q_value'; this one has \['gain'\]"):
        fitted_encoder.pruned(table[["gain"]])
    with pytest.raises(ValueError, match=r"smallest q_value is 1, above 0\.05"):
        fitted_encoder.pruned(table.assign(q_value=1.0))
    with pytest.raises(ValueError, match=r"a variable 14, but the encoder has variables 0 to 7"):
        fitted_encoder.pruned(table.set_index(table.index + 7))
    with pytest.raises(ValueError, match=r"does not say which variables its rows are"):
        fitted_encoder.pruned(table.sort_values("gain").reset_index(drop=True))
    of_all = table.index < 2  # numbers that the smaller encoder has too, of other variables
    smaller = fitted_encoder.pruned([5, 6, 7])
    with pytest.raises(ValueError, match=r"a variable 7, but the encoder has variables 0 to 2"):
        smaller.pruned(pd.Series(of_all, index=table.index))


def test_a_table_of_polars_needs_the_column_of_variables(fitted_encoder, cancer):
    polars = pytest.importorskip("polars")
    table = ablate(fitted_encoder, cancer[0])
    pruned = fitted_encoder.pruned(polars.from_pandas(table.sort_values("gain").reset_index()))
    assert_array_equal(pruned.variable_numbers_, fitted_encoder.pruned(table).variable_numbers_)
    with pytest.raises(ValueError, match=r"does not say which variables its rows are"):
        fitted_encoder.pruned(polars.from_pandas(table))


def test_what_cannot_be_ablated_is_named(fitted_encoder, cancer):
    X, _ = cancer
    with pytest.raises(ValueError, match="at least 2 rows, X has 1"):
        ablate(fitted_encoder, X[:1])
    with pytest.raises(NotFittedError):
        ablate(small_encoder(), X)
    posteriors = PretrainedEncoder(lambda X: (X, X * 0)).fit(X)
    with pytest.raises(TypeError, match=r"got PretrainedEncoder, of which no likelihood is known"):
        ablate(posteriors, X)
    with pytest.raises(TypeError, match=r"Of a pipeline pass the encoder"):
        ablate(make_pipeline(StandardScaler(), fitted_encoder), X)


class Bounded(Likelihood):
    """A likelihood without density where a decoder output is beyond 50."""

    def build(self, X, *, allow_missing=False):
        return BoundedModule()


class BoundedModule(LikelihoodModule):
    def log_likelihood(self, outputs, x):
        return (-((outputs - x) ** 2)).masked_fill(outputs.abs() > 50, -torch.inf).sum(dim=1)

    def mean(self, outputs):
        return outputs


@pytest.mark.parametrize("log_variance", [-20.0, 0.0])
def test_the_row_or_variable_without_a_finite_gain_is_named(cancer, log_variance):
    X, _ = cancer
    encoder = small_encoder(architecture=MLP(()), likelihood=Bounded(), max_steps=5).fit(X)
    network = encoder.to_torch()
    with torch.no_grad():
        (of_posterior,) = (m for m in network.encoder.modules() if isinstance(m, nn.Linear))
        (of_codes,) = (m for m in network.decoder.modules() if isinstance(m, nn.Linear))
        of_posterior.weight[[1, 5]] = 0
        of_posterior.bias[1], of_posterior.bias[5] = 0, log_variance
        of_codes.weight[:, 1] = 1000
    encoder.weights_ = network.weights()
    # A narrow posterior stays inside where the prior does not; a wide one has no ELBO either.
    what = r"likelihood where variable 1 is drawn" if log_variance < 0 else "code"
    with pytest.raises(ValueError, match=rf"Row \d+ of X has no finite {what}"):
        encoder.gain_samples(X)


def test_weights_that_do_not_say_what_is_explained(fitted_encoder, cancer):
    encoder = pickle.loads(pickle.dumps(fitted_encoder))
    del encoder.explained_variance_ratio_
    assert ablate(encoder, cancer[0])["explained_variance_ratio"].isna().all()


def test_a_pipeline_is_pruned_by_a_table(fitted_pipe, cancer):
    pipe, X = fitted_pipe
    y = cancer[1]
    before = pickle.dumps(pipe)
    table = ablate(pipe["enc"], pipe["scale"].transform(X))
    pruned = prune_pipeline(pipe, table)
    assert [name for name, _ in pruned.steps] == ["scale", "enc", "clf"]
    assert pruned["enc"].n_components_ == (table["q_value"] <= 0.05).sum()
    assert not pruned["enc"].add_variance
    with pytest.raises(NotFittedError):
        pruned.predict(X)
    codes = pruned[:-1].transform(X)
    assert_array_equal(codes, pruned["enc"].transform(pipe["scale"].transform(X)))
    pruned["clf"].fit(codes, y)
    assert pruned.score(X, y) > 0.9
    assert pickle.dumps(pipe) == before


@pytest.mark.parametrize("last", ["passthrough", LogisticRegression()], ids=str)
def test_pruning_by_a_mask_needs_no_remover(fitted_encoder, last):
    pipe = Pipeline([("enc", fitted_encoder), ("last", last)])
    pruned = prune_pipeline(pipe, [2, 0])
    assert pruned["enc"].variable_numbers_.tolist() == [2, 0]
    assert pruned["enc"].add_variance  # nobody said that only a remover reads it
    with pytest.raises(ValueError, match=r"needs one VAEEncoder, but the steps are"):
        prune_pipeline(make_pipeline(StandardScaler(), LogisticRegression()), [0])
