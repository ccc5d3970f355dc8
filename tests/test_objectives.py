"""Objectives: their values, gradients and invariants, and training with each of them."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_encoder
from sklearn.model_selection import GridSearchCV, train_test_split

from passive_pruner.exceptions import DivergenceWarning, ScheduleWarning
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.regime import LatentMoments
from passive_pruner.training._discriminator import Discriminator, discriminator_loss, permute_codes
from passive_pruner.training._training import Loss, regularizer_weight
from passive_pruner.vae import (
    DIPVAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    Codes,
    FactorVAE,
    Objective,
    _objectives,
    kl_per_variable,
)
from passive_pruner.vae._objectives import kl_divergence, minibatch_total_correlation

DATA = Path(__file__).parent / "data"

# Name in the file of reference figures -> the same setting here, and the step.
REFERENCE = {
    "beta_vae beta=1": (BetaVAE(1), 0),
    "beta_vae beta=4": (BetaVAE(4), 0),
    "beta_vae beta=8": (BetaVAE(8), 0),
    "beta_tcvae beta=1": (BetaTCVAE(1), 0),
    "beta_tcvae beta=4": (BetaTCVAE(4), 0),
    "beta_tcvae beta=8": (BetaTCVAE(8), 0),
    "dip_vae_i lambda_od=1 lambda_d=10": (DIPVAE("i", 1), 0),
    "dip_vae_i lambda_od=10 lambda_d=100": (DIPVAE("i", 10), 0),
    "dip_vae_i lambda_od=50 lambda_d=500": (DIPVAE("i", 50, 500), 0),
    "dip_vae_ii lambda_od=1 lambda_d=1": (DIPVAE("ii", 1), 0),
    "dip_vae_ii lambda_od=10 lambda_d=10": (DIPVAE("ii", 10), 0),
    "dip_vae_ii lambda_od=50 lambda_d=50": (DIPVAE("ii", 50, 50), 0),
    "annealed_vae gamma=1000 c_max=5 step=25000 of 100000": (AnnealedVAE(c_max=5), 25_000),
    "annealed_vae gamma=1000 c_max=25 step=25000 of 100000": (AnnealedVAE(c_max=25), 25_000),
    "annealed_vae gamma=1000 c_max=100 step=25000 of 100000": (AnnealedVAE(c_max=100), 25_000),
    "factor_vae gamma=10": (FactorVAE(10), 0),
    "factor_vae gamma=100": (FactorVAE(100), 0),
}


@pytest.fixture(scope="module")
def figures():
    """What the reference implementation computed."""
    return json.loads((DATA / "reference.json").read_text())["objectives"]


@pytest.fixture(scope="module")
def batch():
    """What it was given: posterior, draws and logits of a discriminator."""
    names = ("mean", "log_variance", "sample", "discriminator_logits")
    with np.load(DATA / "reference.npz") as arrays:
        return Codes(*(torch.from_numpy(arrays[f"objective_{name}"]) for name in names))


@pytest.fixture(scope="module")
def codes(batch):
    """The same without the logits."""
    return Codes(*batch[:3])


def test_every_reference_figure_has_its_objective(figures):
    assert set(REFERENCE) == set(figures["regularizer"])


@pytest.mark.parametrize("name", REFERENCE)
def test_regularizer_equals_the_reference(name, batch, figures):
    objective, step = REFERENCE[name]
    value = objective.validated().regularizer(batch, step=step).item()
    np.testing.assert_allclose(value, figures["regularizer"][name], rtol=1e-4)


def test_parts_equal_the_reference(codes, figures):
    kl = kl_divergence(codes.mean, codes.log_variance).item()
    np.testing.assert_allclose(kl, figures["kl"], rtol=1e-4)
    total_correlation = minibatch_total_correlation(*codes[:3]).item()
    np.testing.assert_allclose(total_correlation, figures["total_correlation_minibatch"], rtol=1e-4)


@pytest.mark.parametrize(
    "objective",
    [
        BetaVAE(4.0),
        AnnealedVAE(gamma=3.0, c_max=1.0, iteration_threshold=10),
        FactorVAE(5.0),
        DIPVAE("i"),
        DIPVAE("ii"),
        BetaTCVAE(4.0),
    ],
    ids=repr,
)
def test_gradient_is_that_of_finite_differences(objective):
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 3), (6, 3), (6, 3), (6, 2)]
    inputs = [
        torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes
    ]

    def regularizer(mean, log_variance, sample, logits):
        return objective.regularizer(Codes(mean, log_variance, sample, logits), step=5)

    assert torch.autograd.gradcheck(regularizer, inputs)


# What each regulariser means


def test_the_capacity_grows_linearly_and_stops_at_c_max(codes):
    objective = AnnealedVAE(gamma=2.0, c_max=8.0, iteration_threshold=400)
    assert [objective.capacity(step) for step in (0, 100, 400, 1000)] == [0, 2, 8, 8]
    kl = kl_divergence(codes.mean, codes.log_variance).item()
    for step in (0, 100, 400, 1000):
        expected = 2 * abs(kl - objective.capacity(step))
        np.testing.assert_allclose(objective.regularizer(codes, step=step), expected, rtol=1e-6)


def test_total_correlation_counts_beta_times(codes):
    kl = kl_divergence(codes.mean, codes.log_variance)
    assert BetaTCVAE(beta=1).regularizer(codes) == kl
    np.testing.assert_allclose(
        BetaTCVAE(beta=3).regularizer(codes),
        kl + 2 * minibatch_total_correlation(*codes[:3]),
        rtol=1e-6,
    )


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_total_correlation_of_gaussian_codes(correlation):
    # With Gaussian means and one posterior variance for all rows the aggregate posterior is
    # Gaussian, here of unit variances, and its total correlation -ln det(corr) / 2.
    n_rows, variance = 2000, 0.1
    rng = np.random.default_rng(0)
    covariance = np.array([[1, correlation], [correlation, 1]])
    mean = rng.multivariate_normal(np.zeros(2), covariance - variance * np.eye(2), n_rows)
    sample = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
    mean, sample = torch.from_numpy(mean), torch.from_numpy(sample)
    log_variance = torch.full_like(mean, np.log(variance))
    parts = BetaTCVAE().parts(Codes(mean, log_variance, sample))
    expected = -0.5 * np.linalg.slogdet(covariance)[1]
    # Every sample lies near the mean of its own row, which inflates a finite batch a little.
    assert abs(parts["total_correlation"].item() - expected) < 0.05


def test_total_correlation_of_few_pairs_at_a_time_is_the_same(codes, monkeypatch):
    inputs = [value.clone().requires_grad_() for value in codes[:3]]
    at_once = minibatch_total_correlation(*inputs)
    gradient = torch.autograd.grad(at_once, inputs)
    monkeypatch.setattr(_objectives, "PAIRWISE_ELEMENTS", 5 * inputs[0].numel())
    in_chunks = minibatch_total_correlation(*inputs)
    torch.testing.assert_close(in_chunks, at_once)
    torch.testing.assert_close(torch.autograd.grad(in_chunks, inputs), gradient)


def orthogonal_columns(n_rows, n_columns):
    """Columns whose covariance (ddof 0) is the identity."""
    x = np.random.default_rng(0).standard_normal((n_rows, n_columns))
    return np.sqrt(n_rows) * np.linalg.qr(x - x.mean(axis=0))[0]


def test_dip_penalty_vanishes_where_the_covariance_is_the_identity():
    mean = torch.from_numpy(orthogonal_columns(50, 3))
    log_variance = torch.log(torch.rand(50, 3, dtype=torch.float64) + 0.1) - 1
    kl = kl_divergence(mean, log_variance)
    np.testing.assert_allclose(DIPVAE("i").regularizer(Codes(mean, log_variance, mean)), kl)
    # Of kind "ii" the variance of the mean has to leave room for the posterior variance.
    mean = mean * (1 - log_variance.exp().mean(dim=0)).sqrt()
    kl = kl_divergence(mean, log_variance)
    np.testing.assert_allclose(DIPVAE("ii").regularizer(Codes(mean, log_variance, mean)), kl)
    assert DIPVAE("i").regularizer(Codes(mean, log_variance, mean)) > kl + 1


def test_dip_penalises_the_covariance_of_means_or_of_codes(codes):
    mean, log_variance = codes.mean.numpy(), codes.log_variance.numpy()
    covariance_of_means = np.cov(mean.T, ddof=0)
    covariance_of_codes = covariance_of_means + np.diag(np.exp(log_variance).mean(axis=0))
    for kind, covariance in (("i", covariance_of_means), ("ii", covariance_of_codes)):
        parts = DIPVAE(kind).parts(codes)
        squares = (covariance - np.eye(len(covariance))) ** 2
        np.testing.assert_allclose(parts["diagonal"], np.trace(squares), rtol=1e-4)
        np.testing.assert_allclose(
            parts["off_diagonal"], squares.sum() - np.trace(squares), rtol=1e-4
        )


def test_dip_of_kind_two_leaves_passive_variables_alone():
    active = torch.from_numpy(orthogonal_columns(50, 2))
    mean = torch.cat([active, torch.zeros(50, 3)], dim=1)
    log_variance = torch.cat([torch.full_like(active, -30), torch.zeros(50, 3)], dim=1)
    diagonal = {
        k: DIPVAE(k).parts(Codes(mean, log_variance, mean))["diagonal"] for k in ("i", "ii")
    }
    np.testing.assert_allclose(diagonal["i"], 3)
    np.testing.assert_allclose(diagonal["ii"], 0, atol=1e-12)


def test_factor_vae_without_a_discriminator_says_so(codes):
    with pytest.raises(ValueError, match="needs the discriminator_logits"):
        FactorVAE().regularizer(codes)


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (AnnealedVAE(iteration_threshold=0), "iteration_threshold"),
        (BetaTCVAE(beta=-1), "beta"),
        (DIPVAE("iii"), "kind"),
        (FactorVAE(gamma="large"), "gamma"),
        (FactorVAE(discriminator_layer_sizes=(8, 0)), "discriminator_layer_sizes"),
    ],
    ids=repr,
)
def test_parameters_outside_their_range_are_named(objective, name, cancer):
    X, _ = cancer
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {type(objective).__name__}"):
        small_encoder(objective=objective).fit(X)


# The discriminator


def correlated_codes(correlation, n_rows):
    codes = torch.randn(n_rows, 2)
    codes[:, 1] = correlation * codes[:, 0] + (1 - correlation**2) ** 0.5 * codes[:, 1]
    return codes


def test_permuted_codes_keep_the_marginals_and_lose_the_dependence():
    torch.manual_seed(0)
    codes = correlated_codes(0.99, 5000)
    permuted = permute_codes(codes, torch.Generator().manual_seed(0))
    torch.testing.assert_close(permuted.sort(dim=0).values, codes.sort(dim=0).values)
    assert abs(torch.corrcoef(permuted.T)[0, 1]) < 5 / np.sqrt(5000)


def test_the_loss_is_the_cross_entropy_of_two_equal_classes():
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(2).repeat_interleave(10)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(discriminator_loss(*logits.chunk(2)), expected)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_discriminator_learns_the_total_correlation(correlation):
    torch.manual_seed(0)
    network = FactorVAE(discriminator_layer_sizes=(64, 64)).build_discriminator(2)
    discriminator = Discriminator(network, torch.device("cpu"), torch.Generator().manual_seed(0))
    for _ in range(1000):
        discriminator.train_step(correlated_codes(correlation, 256))
    codes = correlated_codes(correlation, 20_000)
    logits = discriminator.logits(codes)
    estimate = FactorVAE().parts(Codes(codes, codes, codes, logits))
    expected = -0.5 * np.log(1 - correlation**2)
    assert abs(estimate["total_correlation"].item() - expected) < 0.1
    recognised = [
        logits.argmax(dim=1) == 0,
        network(permute_codes(codes, discriminator.generator)).argmax(dim=1) == 1,
    ]
    accuracy = torch.cat(recognised).float().mean()
    assert accuracy > 0.7 if correlation else accuracy < 0.55


def test_the_default_discriminator_is_that_of_the_paper():
    network = FactorVAE().build_discriminator(10)
    widths = [layer.out_features for layer in network if isinstance(layer, torch.nn.Linear)]
    assert widths == [1000] * 6 + [2]
    assert sum(isinstance(layer, torch.nn.LeakyReLU) for layer in network) == 6


class RecordedFactorVAE(FactorVAE):
    """Keeps the discriminators it builds, with the weights they start from."""

    built: list = []  # noqa: RUF012

    def build_discriminator(self, n_components):
        network = super().build_discriminator(n_components)
        self.built.append((network, torch.nn.utils.parameters_to_vector(network.parameters())))
        return network


@pytest.fixture
def recorded():
    """An objective, and a function that tells how far each discriminator is from a start."""
    RecordedFactorVAE.built = []

    def distance(which, start):
        network = RecordedFactorVAE.built[which][0]
        weights = torch.nn.utils.parameters_to_vector(network.parameters())
        return (weights - RecordedFactorVAE.built[start][1]).abs().max().item()

    return RecordedFactorVAE(discriminator_layer_sizes=(32,)), distance


def test_the_discriminator_has_an_optimiser_of_its_own(recorded, cancer, monkeypatch):
    X, _ = cancer
    objective, distance = recorded
    encoder = small_encoder(objective=objective).fit(X)
    # Adam moves no weight by much more than its learning rate in a step.
    assert 1e-3 < distance(0, start=0) < 2 * encoder.n_steps_ * 1e-4
    assert {name.split(".")[0] for name in encoder.weights_} == {"encoder", "decoder", "likelihood"}
    monkeypatch.setattr(Discriminator, "train_step", lambda self, codes: None)
    small_encoder(objective=objective).fit(X)
    assert distance(1, start=1) == 0


def test_partial_fit_keeps_the_discriminator_and_fit_starts_a_new_one(recorded, cancer):
    X, _ = cancer
    objective, distance = recorded
    encoder = small_encoder(objective=objective, warm_start=True)
    encoder.partial_fit(X).partial_fit(X)
    assert distance(1, start=0) < 2 * encoder.n_steps_ * 1e-4
    encoder.fit(X)
    assert distance(2, start=0) > 0.1


@pytest.mark.parametrize("objective", [BetaVAE(), FactorVAE(discriminator_layer_sizes=(32,))])
@pytest.mark.parametrize("after_fit", [False, True])
def test_a_copy_goes_on_as_the_original_would(objective, after_fit, cancer):
    X, _ = cancer
    encoder = small_encoder(objective=objective)
    if after_fit:
        encoder.fit(X)
        assert not hasattr(encoder, "training_state_")
    encoder.partial_fit(X).partial_fit(X)
    copies = [pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)]
    expected = encoder.partial_fit(X).transform(X)
    for other in copies:
        np.testing.assert_array_equal(other.partial_fit(X).transform(X), expected)


def test_a_failed_pass_leaves_the_state_of_training_as_it_was(cancer):
    X, _ = cancer
    encoder, untouched = (small_encoder(objective=FactorVAE()) for _ in range(2))
    for other in (encoder, untouched):
        other.set_params(objective__discriminator_layer_sizes=(16,))
        other.partial_fit(X).partial_fit(X)
    with pytest.raises(ValueError, match="non-finite"):
        encoder.set_params(learning_rate=1e30).partial_fit(X)
    encoder.set_params(learning_rate=untouched.learning_rate).partial_fit(X)
    np.testing.assert_array_equal(encoder.transform(X), untouched.partial_fit(X).transform(X))


# Training

TRAINED = [
    BetaVAE(),
    AnnealedVAE(gamma=10.0, c_max=10.0, iteration_threshold=150),
    FactorVAE(gamma=5.0, discriminator_layer_sizes=(64, 64)),
    DIPVAE("i"),
    DIPVAE("ii", lambda_od=5.0, lambda_d=2.0),
    BetaTCVAE(),
]


@pytest.mark.parametrize("objective", TRAINED, ids=repr)
def test_training_is_reproducible_and_survives_pickling(objective, cancer):
    X, _ = cancer
    first, again = (small_encoder(objective=objective, max_steps=150).fit(X) for _ in range(2))
    codes = first.transform(X)
    assert np.isfinite(codes).all()
    np.testing.assert_array_equal(again.transform(X), codes)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).transform(X), codes)
    assert b"torch" not in pickle.dumps(first.weights_)
    assert first.history_[-1]["reconstruction"] < first.history_[0]["reconstruction"]


def regularizer_from(record, objective, n_rows, n_components):
    """Put the regulariser together again from the parts in a record."""
    if isinstance(objective, AnnealedVAE):
        return objective.gamma * abs(record["kl"] - objective.c_max)
    if isinstance(objective, FactorVAE):
        return record["kl"] + objective.gamma * record["total_correlation"]
    if isinstance(objective, DIPVAE):
        lambda_d = objective.lambda_d or 10 * objective.lambda_od
        penalty = objective.lambda_od * record["off_diagonal"] + lambda_d * record["diagonal"]
        return record["kl"] + penalty
    if isinstance(objective, BetaTCVAE):
        constant = (n_components - 1) * np.log(n_rows)
        return record["kl"] + (objective.beta - 1) * (record["total_correlation"] - constant)
    return objective.beta * record["kl"]


@pytest.mark.parametrize("objective", TRAINED, ids=repr)
def test_the_history_records_the_parts(objective, cancer):
    X, _ = cancer
    encoder = small_encoder(
        objective=objective, max_steps=300, early_stopping=False, kl_warmup_steps=200
    ).fit(X)
    for record in encoder.history_:
        # At full weight with finished schedules, in the middle of warm-up and schedule too.
        expected = regularizer_from(record, objective, len(X), encoder.n_components_)
        np.testing.assert_allclose(record["regularizer"], expected, rtol=1e-4)
        np.testing.assert_allclose(
            record["objective"], record["reconstruction"] + record["regularizer"]
        )
        assert record["n_active"] == np.sum(record["variance_of_mean"] > 0.1)
        assert all(type(value) in (float, int, np.ndarray) for value in record.values())
    if isinstance(objective, AnnealedVAE):
        capacities = [record["capacity"] for record in encoder.history_]
        np.testing.assert_allclose(capacities, [20 / 3, 10, 10])


def test_the_kl_divergence_follows_the_capacity(cancer):
    X, _ = cancer
    objective = AnnealedVAE(gamma=100.0, c_max=12.0, iteration_threshold=1000)
    encoder = small_encoder(objective=objective, max_steps=500, early_stopping=False)
    with pytest.warns(ScheduleWarning, match=r"ends after 1000 .* at most 500"):
        encoder.fit(X)
    for record in encoder.history_:
        assert abs(record["kl"] - record["capacity"]) < 1
    assert encoder.history_[-1]["capacity"] == pytest.approx(0.5 * 12)


def test_early_stopping_waits_for_a_capacity_that_grows(cancer):
    X, _ = cancer
    objective = AnnealedVAE(gamma=100.0, c_max=12.0, iteration_threshold=600)
    encoder = small_encoder(objective=objective, max_steps=600, n_iter_no_change=1).fit(X)
    assert encoder.n_steps_ == 600


def total_correlation_after_training(objective, X):
    encoder = small_encoder(objective=objective, max_steps=400, early_stopping=False).fit(X)
    moments = LatentMoments.from_batch(*encoder.posterior(X))
    return gaussian_total_correlation(moments.sampled_covariance)


@pytest.fixture(scope="module")
def total_correlation_of_the_elbo(cancer):
    return total_correlation_after_training(BetaVAE(), cancer[0])


@pytest.mark.parametrize(
    "objective",
    [
        FactorVAE(gamma=30.0, discriminator_layer_sizes=(64, 64)),
        DIPVAE("i", lambda_od=50.0),
        DIPVAE("ii", lambda_od=50.0),
        BetaTCVAE(10.0),
    ],
    ids=repr,
)
def test_codes_depend_less_than_with_the_elbo(objective, total_correlation_of_the_elbo, cancer):
    total_correlation = total_correlation_after_training(objective, cancer[0])
    assert total_correlation < 0.5 * total_correlation_of_the_elbo


@pytest.mark.parametrize(
    ("objective", "name", "values"),
    [
        (FactorVAE(discriminator_layer_sizes=(16,)), "gamma", [1.0, 300.0]),
        (DIPVAE(), "lambda_od", [0.1, 300.0]),
    ],
    ids=["FactorVAE", "DIPVAE"],
)
def test_grids_reach_the_parameters_of_an_objective(objective, name, values, cancer):
    X, _ = cancer
    grid = GridSearchCV(small_encoder(objective=objective), {f"objective__{name}": values}, cv=2)
    # The score is the ELBO, from which the larger weight leads away.
    assert grid.fit(X).best_params_ == {f"objective__{name}": values[0]}
    assert getattr(grid.best_estimator_.objective_, name) == values[0]


class FreeBits(Objective):
    """The KL divergence, of which every variable has some nats for free."""

    def __init__(self, free_nats=0.5):
        self.free_nats = free_nats

    def regularizer(self, codes, *, step=0):
        return (
            kl_per_variable(codes.mean, codes.log_variance)
            .mean(dim=0)
            .clamp(min=self.free_nats)
            .sum()
        )


def test_an_objective_of_the_user_needs_one_method(cancer):
    X, _ = cancer
    encoder = small_encoder(objective=FreeBits(2.0), max_steps=400, early_stopping=False).fit(X)
    assert encoder.history_[-1]["regularizer"] >= 4 * 2.0
    # No variable gains by using less than what it has for free.
    mean, variance = map(torch.from_numpy, encoder.posterior(X))
    assert kl_per_variable(mean, variance.log()).mean(dim=0).min() > 1.5


class DivergesOnce(BetaVAE):
    """Becomes NaN from step 150 until step 200."""

    def regularizer(self, codes, *, step=0):
        kl = super().regularizer(codes)
        return kl * float("nan") if 150 <= step < 200 else kl


def test_training_goes_on_after_a_divergence(cancer):
    X, _ = cancer
    encoder = small_encoder(objective=DivergesOnce(), max_steps=200, early_stopping=False)
    with pytest.warns(DivergenceWarning, match="kept step 100"):
        encoder.fit(X)
    encoder.partial_fit(X)
    assert encoder.n_steps_ == 100 + 9
    assert np.isfinite(encoder.transform(X)).all()


# Warm-up


def test_the_weight_of_the_warm_up_grows_linearly_to_one():
    assert [regularizer_weight(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert regularizer_weight(0, 0) == 1


def test_warm_up_changes_training_and_not_evaluation(fitted_encoder, cancer):
    X, _ = cancer
    module, x = fitted_encoder.to_torch(), torch.from_numpy(cancer[0])
    noise = torch.zeros(len(X), 8)
    plain, warming = (Loss(BetaVAE(), kl_warmup_steps=n) for n in (0, 10))
    for training, ratio in ((True, 0.3), (False, 1)):
        (_, full, _), (_, weighted, _) = (
            criterion.train(training)(module, x, step=2, noise=noise)
            for criterion in (plain, warming)
        )
        torch.testing.assert_close(weighted, ratio * full)


def test_warm_up_counts_the_steps_of_earlier_calls(cancer):
    X, _ = cancer
    codes = []
    for in_second_call in (99, 0, 199):
        encoder = small_encoder(kl_warmup_steps=99, warm_start=True, early_stopping=False).fit(X)
        encoder.set_params(kl_warmup_steps=in_second_call).fit(X)
        codes.append(encoder.transform(X))
    np.testing.assert_array_equal(codes[0], codes[1])
    assert np.abs(codes[0] - codes[2]).max() > 0.01


def test_warm_up_keeps_variables_that_would_collapse(cancer):
    X, _ = cancer
    params = {"objective": BetaVAE(4.0), "n_components": 8, "max_steps": 500}
    n_active = [
        small_encoder(kl_warmup_steps=n, early_stopping=False, **params)
        .fit(X)
        .history_[-1]["n_active"]
        for n in (0, 400)
    ]
    assert n_active[1] > n_active[0]


@pytest.mark.parametrize(("kl_warmup_steps", "n_epochs"), [(0, 2), (300, 3)])
def test_early_stopping_begins_after_the_warm_up(kl_warmup_steps, n_epochs, cancer):
    X, _ = cancer
    # No improvement is large enough to count: patience ends with the first epoch that counts.
    encoder = small_encoder(
        max_steps=600, kl_warmup_steps=kl_warmup_steps, tol=1e6, n_iter_no_change=1
    ).fit(X)
    assert encoder.n_iter_ == n_epochs


@pytest.mark.parametrize("seed", range(3))
def test_a_warm_up_does_not_wreck_the_model(seed, cancer):
    X, _ = cancer
    train, test = train_test_split(X, random_state=seed)
    scores = [
        small_encoder(n_components=16, max_steps=2000, kl_warmup_steps=n, random_state=seed)
        .fit(train)
        .score(test)
        for n in (0, 300, 1500)
    ]
    assert min(scores) > scores[0] - 3


def test_the_model_is_that_of_the_best_epoch_and_says_which(cancer):
    X, _ = cancer
    encoder = small_encoder(max_steps=3000, learning_rate=1e-2, n_components=16).fit(X)
    objectives = {record["epoch"]: record["objective"] for record in encoder.history_}
    assert encoder.best_epoch_ < encoder.n_iter_
    assert objectives[encoder.best_epoch_] <= min(objectives.values()) + encoder.tol


@pytest.mark.parametrize("kl_warmup_steps", [100, 5000])
def test_a_warm_up_beyond_the_budget_is_named(kl_warmup_steps, cancer):
    X, _ = cancer
    with pytest.warns(ScheduleWarning, match=rf"={kl_warmup_steps} is not below the 100 "):
        small_encoder(kl_warmup_steps=kl_warmup_steps).fit(X)
