"""What latent variables explain: PCA and brute force as oracles, and codes in these units."""

import pickle

import numpy as np
import pytest
import torch
from conftest import small_encoder
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_low_rank_matrix
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import nn

from passive_pruner import VAEEncoder
from passive_pruner._explained import EXPLAINED
from passive_pruner.vae import BetaVAE, Gaussian, Mixed
from passive_pruner.vae._explained import Explained, explain
from passive_pruner.vae._likelihoods._gaussian import GaussianModule
from passive_pruner.vae._network import VAE


def table(n, p, seed):
    X = make_low_rank_matrix(n, p, effective_rank=3, tail_strength=0.3, random_state=seed)
    return StandardScaler().fit_transform(X)


def network_of(pca, X, scale):
    """PCA as a network whose codes are divided by `scale`; the posterior variance does nothing."""
    d, p = pca.components_.shape
    encoder, decoder = nn.Linear(p, 2 * d), nn.Linear(d, p)
    with torch.no_grad():
        weight = np.vstack([pca.components_ / scale[:, None], np.zeros((d, p))])
        encoder.weight.copy_(torch.from_numpy(weight))
        encoder.bias.zero_()
        decoder.weight.copy_(torch.from_numpy(pca.components_.T * scale))
        decoder.bias.zero_()
    return VAE(encoder, decoder, GaussianModule(X, "shared", missing=False)).float().eval()


@pytest.mark.parametrize("seed", range(4))
def test_a_linear_network_explains_what_pca_does(seed):
    X = table(300, 12, seed)
    pca = PCA(5).fit(X)
    scale = np.random.default_rng(seed).uniform(0.01, 10, 5)
    x = torch.from_numpy(X.astype(np.float32))
    found = explain(network_of(pca, X, scale), x.split(70))
    variance = pca.explained_variance_ * (len(X) - 1) / len(X)  # of the population
    assert_allclose(found.change, variance, rtol=1e-4)
    assert_allclose(found.ratio, variance / variance.sum(), rtol=1e-4)
    assert_allclose(found.square, variance / scale**2, rtol=1e-4)
    assert_allclose(found.scale, scale, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_probabilistic_pca_explains_its_shrunken_eigenvalues(seed):
    X = table(400, 10, seed)
    encoder = VAEEncoder(
        3,
        init="factor_analysis",
        likelihood=Gaussian("shared"),
        early_stopping=False,
        max_steps=1,
        learning_rate=1e-9,
        random_state=seed,
    ).fit(X)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, ddof=0))[::-1]
    noise = eigenvalues[3:].mean()
    expected = (eigenvalues[:3] - noise) ** 2 / eigenvalues[:3]
    assert_allclose(np.sort(encoder.explained_variance_)[::-1], expected, rtol=0.02)
    assert_allclose(encoder.explained_variance_ratio_.sum(), 1, rtol=1e-3)


LIKELIHOODS = {
    "gaussian": lambda rng, z: z,
    "poisson": lambda rng, z: rng.poisson(np.exp(z)),
    "negative_binomial": lambda rng, z: rng.poisson(np.exp(z)),
    "bernoulli": lambda rng, z: z > 0,
    "continuous_bernoulli": lambda rng, z: 1 / (1 + np.exp(-z)),
    "categorical": lambda rng, z: z == z.max(axis=1, keepdims=True),
    "mixed": lambda rng, z: np.hstack([z[:, :3], rng.poisson(np.exp(z[:, 3:]))]),
}


@pytest.fixture(scope="module", params=LIKELIHOODS)
def fitted(request):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(200, 6))
    X = LIKELIHOODS[request.param](rng, z).astype(np.float32)
    likelihood = request.param
    if likelihood == "mixed":
        likelihood = Mixed([("gaussian", [0, 1, 2]), ("poisson", [3, 4, 5])])
    encoder = small_encoder(likelihood=likelihood, objective=BetaVAE(0.1), max_steps=150)
    return encoder.fit(X), X


def test_it_is_the_mean_squared_change_of_the_standardised_decoded_rows(fitted):
    encoder, X = fitted
    standardization = encoder.to_torch().likelihood.standardization(X.shape[1])

    def decode(codes):
        rows = encoder.inverse_transform(codes)
        rows = np.where(standardization.logged, np.log1p(np.maximum(rows, 0)), rows)
        return (rows - standardization.location) / standardization.scale

    codes = encoder.transform(X)
    decoded = decode(codes)
    for j in range(4):
        without = codes.copy()
        without[:, j] = 0
        change = np.sum((decode(without) - decoded) ** 2, axis=1).mean()
        assert_allclose(encoder.explained_variance_[j], change, rtol=1e-3, atol=1e-6)
    total = decoded.var(axis=0).sum()
    assert_allclose(encoder.explained_variance_ratio_, encoder.explained_variance_ / total, 1e-3)


def test_unwhitened_columns_have_the_mean_square_that_they_explain(fitted):
    encoder, X = fitted
    unwhitened = pickle.loads(pickle.dumps(encoder)).set_params(whiten=False)
    codes = unwhitened.transform(X)
    assert_allclose((codes**2).mean(axis=0), encoder.explained_variance_, rtol=1e-4, atol=1e-6)
    decoded = encoder.inverse_transform(encoder.transform(X))
    assert_allclose(unwhitened.inverse_transform(codes), decoded, rtol=1e-4, atol=1e-5)
    assert_array_equal(unwhitened.posterior(X).mean, encoder.posterior(X).mean)


def test_draws_and_variances_have_the_same_units(fitted_encoder, cancer):
    X, _ = cancer
    encoder = pickle.loads(pickle.dumps(fitted_encoder)).set_params(random_state=3)
    scale = encoder.code_scale_.astype(np.float32)
    for output in ("mean", "sampled"):
        whitened = encoder.set_params(output=output, whiten=True).transform(X)
        unwhitened = encoder.set_params(whiten=False).transform(X)
        codes, variances = np.split(whitened, 2, axis=1)
        assert_allclose(unwhitened, np.hstack([codes * scale, variances * scale**2]), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_distances_between_codes_are_those_between_decoded_rows_of_a_linear_model(seed):
    X = table(300, 8, seed)
    encoder = VAEEncoder(
        4,
        init="factor_analysis",
        likelihood=Gaussian("shared"),
        early_stopping=False,
        max_steps=1,
        learning_rate=1e-9,
        whiten=False,
        random_state=seed,
    ).fit(X)
    codes = encoder.transform(X)
    decoded = encoder.inverse_transform(codes)
    between_codes = np.linalg.norm(codes[:, None] - codes[None], axis=2)
    between_rows = np.linalg.norm((decoded[:, None] - decoded[None]), axis=2)
    assert_allclose(between_codes, between_rows, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_units_of_the_columns_do_not_matter(seed):
    X = table(200, 6, seed).astype(np.float32)
    # Powers of two leave every digit as it is.
    units = np.float32(2) ** np.random.default_rng(seed).integers(-8, 9, 6)
    params = {"likelihood": Gaussian("per_feature"), "random_state": seed}
    a, b = (small_encoder(**params).fit(rows) for rows in (X, X * units))
    for name in EXPLAINED:
        assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-3)


def test_rows_are_drawn_by_the_seed(cancer):
    X = np.vstack([cancer[0]] * 2)
    a, b, c = (small_encoder(random_state=seed, max_steps=20).fit(X) for seed in (0, 0, 1))
    for name in EXPLAINED:
        assert_array_equal(getattr(a, name), getattr(b, name))
    assert np.all(a.explained_variance_ != c.explained_variance_)


def test_passive_variables_neither_blow_up_nor_vanish():
    """A variable that decodes into nothing, one that is never used, and one far below rounding."""
    change = np.array([4.0, 0.0, 0.0, 1e-14])
    square = np.array([1.0, 1.0, 0.0, 1e-20])
    scale = Explained(change, square, 5.0).scale
    assert_allclose(scale[0], 2)
    assert np.all(scale[1:] > 0)
    assert np.all(scale[1:] ** 2 <= 1e-5 * 5)
    nothing = Explained(np.zeros(2), np.zeros(2), 0.0)
    assert_array_equal(nothing.ratio, [0, 0])
    assert np.all(nothing.scale > 0)


@pytest.mark.parametrize("seed", range(3))
def test_variables_that_start_passive_explain_nothing(seed):
    X = table(300, 6, seed)
    encoder = VAEEncoder(8, init="factor_analysis", max_steps=25, random_state=seed).fit(X)
    passive = encoder.posterior(X).mean.var(axis=0) < 1e-3
    assert passive.any()
    assert np.all(encoder.explained_variance_ratio_[passive] < 1e-3)
    draws = encoder.set_params(whiten=False, output="sampled").transform(X)
    assert np.all(draws[:, passive].var(axis=0) < 0.01 * encoder.explained_variance_.max())


def test_pruning_keeps_what_the_kept_variables_explain(fitted_encoder, cancer):
    encoder = pickle.loads(pickle.dumps(fitted_encoder)).set_params(
        whiten=False, add_variance=False
    )
    keep = [5, 1, 2]
    pruned = encoder.pruned(keep)
    for name in EXPLAINED:
        assert_array_equal(getattr(pruned, name), getattr(encoder, name)[keep])
    expected = encoder.transform(cancer[0])[:, keep]
    assert_allclose(pruned.transform(cancer[0]), expected, rtol=1e-3, atol=1e-4)


def test_a_file_of_weights_says_what_they_explain(cancer, tmp_path):
    X, _ = cancer
    a = small_encoder(random_state=0, whiten=False).fit(X)
    b = small_encoder(random_state=1, whiten=False).fit(X[:300])
    a.save_weights(tmp_path / "weights.safetensors")
    b.load_weights(tmp_path / "weights.safetensors")
    assert_array_equal(b.transform(X), a.transform(X))
    for name in EXPLAINED:
        assert_array_equal(getattr(b, name), getattr(a, name))


def test_weights_that_do_not_say_leave_it_unknown(cancer, tmp_path):
    from safetensors.torch import save_file

    X, _ = cancer
    encoder = small_encoder().fit(X)
    save_file(encoder.to_torch().state_dict(), tmp_path / "weights.safetensors")
    encoder.load_weights(tmp_path / "weights.safetensors")
    assert not any(hasattr(encoder, name) for name in EXPLAINED)
    encoder.transform(X)
    with pytest.raises(ValueError, match="call partial_fit"):
        encoder.set_params(whiten=False).transform(X)
    assert np.isfinite(encoder.partial_fit(X).transform(X)).all()


def test_encoders_that_were_saved_before_load_as_whitened(cancer):
    encoder = small_encoder().fit(cancer[0])
    codes = encoder.transform(cancer[0])
    state = encoder.__getstate__()
    for name in ("whiten", *EXPLAINED):
        del state[name]
    old = VAEEncoder.__new__(VAEEncoder)
    old.__setstate__(state)
    assert old.whiten
    assert_array_equal(old.transform(cancer[0]), codes)
    assert old.pruned([0, 1]).transform(cancer[0]).shape[1] == 2


@pytest.mark.parametrize("seed", range(3))
def test_every_pass_of_partial_fit_looks_again(cancer, seed):
    X, _ = cancer
    encoder = small_encoder(random_state=seed, whiten=False).partial_fit(X)
    before = encoder.explained_variance_
    for _ in range(20):
        encoder.partial_fit(X)
    assert encoder.explained_variance_.sum() > 2 * before.sum()
    square = (encoder.transform(X) ** 2).mean(axis=0)
    assert_allclose(square.sum(), encoder.explained_variance_.sum(), rtol=0.5)


def test_dask_codes_are_in_the_same_units(cancer):
    da = pytest.importorskip("dask.array")
    X, _ = cancer
    encoder = small_encoder(whiten=False).fit(X)
    lazy = encoder.transform(da.from_array(X, chunks=(200, -1)))
    assert_allclose(lazy.compute(), encoder.transform(X), rtol=1e-4, atol=1e-5)
    assert_allclose(
        encoder.inverse_transform(lazy).compute(),
        encoder.inverse_transform(encoder.transform(X)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_the_width_that_is_found_explains(cancer):
    encoder = small_encoder(n_components="auto", max_steps=200).fit(cancer[0])
    assert encoder.explained_variance_.shape == (encoder.n_components_,)
    assert np.all(encoder.explained_variance_ >= 0)
