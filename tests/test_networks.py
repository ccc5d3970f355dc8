"""Networks of the user train as torch would train them; warnings and errors point at the user."""

import copy
import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from conftest import small_encoder
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from passive_pruner import VAEEncoder
from passive_pruner.exceptions import CollapseWarning, FirstBatchWarning, ScheduleWarning
from passive_pruner.vae import MLP, AnnealedVAE, BetaVAE, FromFactory

SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(201, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(201, 6))


def encoder_of(factory, **params):
    params = {"n_components": 3, "objective": BetaVAE(0.1), "max_steps": 60} | params
    return small_encoder(architecture=FromFactory(factory), **params)


# Layers that look like those of the package and are not


def shared_layer(n_inputs, n_components, n_outputs):
    middle = nn.Linear(8, 8)
    encoder = nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), middle, nn.ReLU(), nn.Linear(8, 6))
    decoder = nn.Sequential(nn.Linear(n_components, 8), nn.ReLU(), middle, nn.ReLU())
    return encoder, decoder.append(nn.Linear(8, n_outputs))


def spectral(n_inputs, n_components, n_outputs):
    first = torch.nn.utils.spectral_norm(nn.Linear(n_inputs, 8))
    return nn.Sequential(first, nn.ReLU(), nn.Linear(8, 6)), nn.Linear(n_components, n_outputs)


def parametrised(n_inputs, n_components, n_outputs):
    first = nn.utils.parametrizations.weight_norm(nn.Linear(n_inputs, 8))
    last = nn.utils.parametrizations.orthogonal(nn.Linear(8, 6))
    return nn.Sequential(first, nn.ReLU(), last), nn.Linear(n_components, n_outputs)


def double(module, inputs, outputs):
    return 2 * outputs


def hooked(n_inputs, n_components, n_outputs):
    first = nn.Linear(n_inputs, 8)
    first.register_forward_hook(double)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(8, 6)), nn.Linear(n_components, n_outputs)


def frozen_encoder(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Linear(8, 6))
    return encoder.requires_grad_(False), nn.Linear(n_components, n_outputs)


def frozen_decoder(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Linear(8, 6))
    return encoder, nn.Linear(n_components, n_outputs).requires_grad_(False)


def dropout(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.3), nn.Linear(8, 6))
    return encoder, nn.Linear(n_components, n_outputs)


def batch_norm(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6))
    return encoder, nn.Linear(n_components, n_outputs)


FACTORIES = [
    shared_layer,
    spectral,
    parametrised,
    hooked,
    frozen_encoder,
    frozen_decoder,
    dropout,
    batch_norm,
]


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("factory", [shared_layer, parametrised, hooked])
def test_the_first_step_goes_down_the_gradient_of_autograd(factory, seed, data):
    # The first step of Adam moves every parameter by the learning rate against the sign of its
    # gradient. One batch of all rows, and next to no noise in what is learned from it.
    params = {"random_state": seed, "early_stopping": False, "batch_size": 1000}
    params |= {"objective": BetaVAE(0.0), "learning_rate": 1e-5, "max_steps": 1}
    encoder = encoder_of(factory, **params)
    after = encoder.fit(data).to_torch()
    before = encoder.set_params(learning_rate=1e-30).fit(data).to_torch()
    moved = {
        name: p.detach() - dict(before.named_parameters())[name].detach()
        for name, p in after.named_parameters()
    }
    x = torch.tensor(data, dtype=torch.float32)
    gradient = {}
    generator = torch.Generator().manual_seed(0)
    before.train()
    for _ in range(60):  # the gradient that is expected over the noise
        outputs, *_ = before(x, torch.randn(len(x), 3, generator=generator))
        before.zero_grad()
        (-before.likelihood.log_likelihood(outputs, x).mean()).backward()
        for name, p in before.named_parameters():
            gradient.setdefault(name, []).append(p.grad.clone())
    n_checked = 0
    for name, samples in gradient.items():
        samples = torch.stack(samples)
        is_sure = samples.mean(dim=0).abs() > 4 * samples.std(dim=0)
        signs = torch.sign(samples.mean(dim=0))
        assert (torch.sign(moved[name]) == -signs)[is_sure].all(), name
        n_checked += int(is_sure.sum())
    assert n_checked > 20


@pytest.mark.parametrize("factory", FACTORIES)
def test_networks_train_and_are_used_everywhere(factory, data):
    encoder = encoder_of(factory, max_steps=100).fit(data)
    untrained = encoder_of(factory, max_steps=1, learning_rate=1e-30).fit(data)
    for name, parameter in encoder.to_torch().named_parameters():
        moved = np.abs(encoder.weights_[name] - untrained.weights_[name]).max() > 1e-4
        is_frozen = not parameter.requires_grad or name.endswith("original0")
        assert moved or is_frozen, name
    assert encoder.score(data) > untrained.score(data)
    codes = encoder.transform(data)
    np.testing.assert_allclose(encoder.transform(data[:1]), codes[:1], atol=1e-5)
    np.testing.assert_array_equal(encoder.transform(data), codes)
    np.testing.assert_array_equal(copy.deepcopy(encoder).transform(data), codes)
    np.testing.assert_array_equal(encoder.score_samples(data), encoder.score_samples(data))
    again = encoder_of(factory, max_steps=100).fit(data)
    np.testing.assert_array_equal(again.transform(data), codes)
    unpickled = pickle.loads(pickle.dumps(encoder))
    encoder.partial_fit(data)
    unpickled.partial_fit(data)
    np.testing.assert_array_equal(unpickled.transform(data), encoder.transform(data))


@pytest.mark.parametrize("factory", [frozen_encoder, frozen_decoder])
def test_a_frozen_half_stays_and_the_other_learns(factory, data):
    half, other = ("encoder", "decoder")[:: 1 if factory is frozen_encoder else -1]
    short, long = (encoder_of(factory, max_steps=steps).fit(data).weights_ for steps in (1, 60))
    for name in short:
        if name.startswith(half):
            np.testing.assert_array_equal(long[name], short[name])
        elif name.startswith(other):
            assert np.abs(long[name] - short[name]).max() > 1e-3


def test_hooks_act_in_training(data):
    rows = []

    def counting(module, inputs, outputs):
        rows.append(len(outputs))

    def factory(n_inputs, n_components, n_outputs):
        encoder, decoder = frozen_decoder(n_inputs, n_components, n_outputs)
        encoder[0].register_forward_hook(counting)
        return encoder, decoder

    encoder_of(factory, max_steps=7, early_stopping=False, batch_size=1000).fit(data)
    assert rows.count(len(data)) >= 7


@pytest.mark.parametrize("n_rows", [2, 3, 65, 129, 201])
@pytest.mark.parametrize("batch_size", [2, 3, 64])
def test_batch_normalisation_meets_no_batch_of_one_row(n_rows, batch_size, data):
    params = {"early_stopping": False, "batch_size": batch_size, "max_steps": 12}
    encoder = encoder_of(batch_norm, **params).fit(data[:n_rows])
    assert encoder.n_steps_ == 12
    assert np.isfinite(encoder.transform(data)).all()
    encoder.partial_fit(data[:n_rows])


def test_statistics_of_batch_normalisation_are_those_of_training_rows(data):
    encoder = encoder_of(batch_norm, max_steps=200).fit(data)
    network = encoder.to_torch()
    x = network.encoder_inputs(torch.tensor(data, dtype=torch.float32))
    hidden = network.encoder[0](x).detach()
    running = network.encoder[1].running_mean
    assert ((running - hidden.mean(dim=0)).abs() < 0.3 * hidden.std(dim=0)).all()
    assert (
        int(network.encoder[1].num_batches_tracked)
        == encoder.history_[encoder.best_epoch_ - 1]["step"]
    )


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_model_of_a_missing_device_is_used_on_the_cpu(device, data):
    if torch.cuda.device_count() > 7 or (device != "cuda:7" and torch.accelerator.is_available()):
        pytest.skip("the device is there")
    encoder = encoder_of(dropout).fit(data)
    codes, score = encoder.transform(data), encoder.score(data)
    moved = pickle.loads(pickle.dumps(copy.deepcopy(encoder).set_params(device=device)))
    np.testing.assert_array_equal(moved.transform(data), codes)
    assert moved.score(data) == score
    assert moved.sample(2).shape == moved.inverse_transform(codes[:2]).shape
    for train in (moved.fit, moved.partial_fit):
        with pytest.raises(ValueError, match=rf"device='{device}' is not available.*'auto'"):
            train(data)
    np.testing.assert_array_equal(moved.transform(data), codes)


# Schedules and warnings


def seen_by(function):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        function()
    return seen


@pytest.mark.parametrize(
    ("params", "numbers"),
    [
        ({"kl_warmup_steps": 500}, ["500", "60"]),
        ({"kl_warmup_steps": 60}, ["60"]),
        ({"objective": AnnealedVAE(1.0, 1.0, iteration_threshold=700)}, ["700", "60"]),
    ],
    ids=["warm-up", "warm-up of all steps", "capacity"],
)
def test_schedules_beyond_training_name_both_numbers(params, numbers, data):
    encoder = small_encoder(**{"objective": BetaVAE(0.1), "max_steps": 60} | params)
    (warning,) = [w for w in seen_by(lambda: encoder.fit(data)) if w.category is ScheduleWarning]
    assert all(number in str(warning.message) for number in numbers)
    assert warning.filename == __file__


def test_schedules_within_training_are_silent(data):
    objective = AnnealedVAE(1.0, 5.0, iteration_threshold=100)
    params = {"max_steps": 100, "kl_warmup_steps": 99, "objective": objective}
    encoder = small_encoder(**params, warm_start=True)
    assert not [w for w in seen_by(lambda: encoder.fit(data)) if w.category is ScheduleWarning]
    # Steps of earlier calls count.
    encoder.set_params(kl_warmup_steps=150)
    assert not [w for w in seen_by(lambda: encoder.fit(data)) if w.category is ScheduleWarning]


COLLAPSED = {"objective": BetaVAE(1e4), "max_steps": 200}


@pytest.mark.parametrize(
    "fit",
    [
        lambda encoder, X: encoder.fit(X),
        lambda encoder, X: encoder.fit_transform(X),
        lambda encoder, X: make_pipeline(FunctionTransformer(), encoder).fit(X),
        lambda encoder, X: make_pipeline(encoder, FunctionTransformer()).fit(X),
        lambda encoder, X: GridSearchCV(
            make_pipeline(FunctionTransformer(), encoder), {"vaeencoder__n_components": [2]}, cv=2
        ).fit(X),
    ],
    ids=["fit", "fit_transform", "last step", "first step", "grid"],
)
@pytest.mark.parametrize(
    ("params", "category"),
    [(COLLAPSED, CollapseWarning), ({"max_steps": 50, "kl_warmup_steps": 50}, ScheduleWarning)],
)
def test_warnings_point_at_the_line_of_the_user(fit, params, category, data):
    seen = [
        w for w in seen_by(lambda: fit(small_encoder(**params), data)) if w.category is category
    ]
    assert seen
    assert {w.filename for w in seen} == {__file__}


def test_a_first_batch_of_few_rows_is_named(data):
    for n_rows in (1, 9):
        encoder = small_encoder()
        seen = seen_by(lambda encoder=encoder, n=n_rows: encoder.partial_fit(data[:n]))
        (warning,) = [w for w in seen if w.category is FirstBatchWarning]
        assert f"{n_rows} rows" in str(warning.message)
        assert warning.filename == __file__
        assert not seen_by(lambda encoder=encoder: encoder.partial_fit(data[:1]))
    assert not seen_by(lambda: small_encoder().partial_fit(data[:10]))


# Objectives


class OldRegularizer(BetaVAE):
    def regularizer(self, mean, log_variance, sample, *, step=0, discriminator_logits=None):
        return mean.square().mean()


class OldParts(BetaVAE):
    def parts(self, mean, log_variance, sample, *, step=0, discriminator_logits=None):
        return {}


@pytest.mark.parametrize(
    ("objective", "name"),
    [(OldRegularizer(), "OldRegularizer.regularizer"), (OldParts(), "OldParts.parts")],
)
def test_objectives_of_the_former_signature_are_refused(objective, name, data):
    encoder = VAEEncoder(2, objective=objective, architecture=MLP((4,)), max_steps=5)
    with pytest.raises(TypeError, match=rf"{name} takes mean and log_variance.*\(codes, step=step"):
        encoder.fit(data)
    assert not [name for name in vars(encoder) if name.endswith("_")]


# Rows that stand for the table


def hourly(n=6_000, seed=0):
    """Sun, temperature and pressure: every 24th row is midnight, when the sun does not shine."""
    rng = np.random.default_rng(seed)
    hour = np.arange(n) % 24
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * rng.uniform(300, 1000, n)
    return np.c_[sun, 0.2 * sun + rng.normal(0, 5, n), rng.normal(15, 8, n)]


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("order", ["by the hour", "sorted"])
def test_the_order_of_rows_does_not_matter(order, early_stopping):
    X = hourly()
    rows = np.random.default_rng(1).permutation(len(X))
    ordered = X if order == "by the hour" else X[np.argsort(X[:, 0], kind="stable")]
    params = {"n_components": 2, "max_steps": 500, "early_stopping": early_stopping}
    fits = [small_encoder(**params).fit(table) for table in (ordered, X[rows])]
    scores = [encoder.score(X[:3000]) for encoder in fits]
    assert abs(scores[0] - scores[1]) < 1
    # What is measured in training is measured on rows like all others.
    for encoder, score in zip(fits, scores, strict=True):
        record = encoder.history_[encoder.best_epoch_ - 1]
        assert abs(record["elbo"] - score) < 1


class Fourier(nn.Module):
    """Random features, whose frequencies are a buffer or nothing that is saved."""

    def __init__(self, n_in, n_out, *, is_buffer):
        super().__init__()
        frequencies = torch.randn(n_in, 16)
        if is_buffer:
            self.register_buffer("frequencies", frequencies)
        else:
            self.frequencies = frequencies
        self.linear = nn.Linear(16, n_out)

    def forward(self, x):
        return self.linear(torch.cos(x @ self.frequencies))


def with_frequencies(n_inputs, n_components, n_outputs, *, is_buffer):
    encoder = Fourier(n_inputs, 2 * n_components, is_buffer=is_buffer)
    return encoder, nn.Linear(n_components, n_outputs)


def test_what_a_network_computes_follows_from_its_weights(cancer):
    X, _ = cancer
    saved, lost = (
        small_encoder(architecture=FromFactory(partial(with_frequencies, is_buffer=is_buffer)))
        for is_buffer in (True, False)
    )
    assert np.isfinite(saved.fit(X).score(X))
    with pytest.raises(ValueError, match="compute something else when they are made again"):
        lost.fit(X)


def in_place(n_inputs, n_components, n_outputs):
    decoder = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(n_components, n_outputs))
    return MakesTensors(n_inputs, 2 * n_components), decoder


class MakesTensors(nn.Linear):
    def forward(self, x):
        return super().forward(x @ torch.eye(x.shape[1]))


def test_networks_may_make_tensors_and_work_in_place(cancer):
    X, _ = cancer
    encoder = small_encoder(architecture=FromFactory(in_place)).fit(X)
    assert encoder.score(X) == pytest.approx(encoder.history_[-1]["elbo"], abs=5)
