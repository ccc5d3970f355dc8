"""Likelihoods: densities, means and draws, missing cells, and training with each kind of data."""

import math
import shutil
import subprocess
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import small_encoder
from scipy import integrate, optimize, special, stats
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import passive_pruner
from passive_pruner import PassiveVariableRemover
from passive_pruner.vae import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    LikelihoodModule,
    Mixed,
    NegativeBinomial,
    Poisson,
)
from passive_pruner.vae._likelihoods import LIKELIHOODS
from passive_pruner.vae._likelihoods._base import column_moments
from passive_pruner.vae._likelihoods._gaussian import GaussianModule

N_FEATURES = 5


def real_numbers(n_rows=40):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_rows, N_FEATURES)) * [1, 2, 5, 0.1, 1] + 3


def counts(n_rows=40):
    rng = np.random.default_rng(0)
    return rng.negative_binomial(2, 0.2, (n_rows, N_FEATURES)) + rng.poisson([0, 1, 3, 9, 0])


def binary(n_rows=40):
    return np.random.default_rng(0).integers(0, 2, (n_rows, N_FEATURES))


def grey_levels(n_rows=40):
    return np.random.default_rng(0).beta(0.5, 0.5, (n_rows, N_FEATURES))


def one_hot(n_rows=40, n_categories=N_FEATURES):
    return np.eye(n_categories)[np.random.default_rng(0).integers(0, n_categories, n_rows)]


def mixed_table(n_rows=40):
    # The groups overlap in position, so that an error in the order of columns shows.
    X = np.hstack([real_numbers(n_rows)[:, :2], counts(n_rows)[:, :2], one_hot(n_rows, 3)])
    return X[:, [4, 0, 2, 5, 3, 1, 6]]


MIXED = Mixed(
    [
        (Gaussian("per_feature"), [1, 5]),
        ("poisson", [4, 2]),
        ("categorical", [0, 3, 6]),
    ]
)

CASES = {
    "gaussian shared": (Gaussian("shared"), real_numbers),
    "gaussian per feature": (Gaussian("per_feature"), real_numbers),
    "bernoulli": (Bernoulli(), binary),
    "continuous bernoulli": (ContinuousBernoulli(), grey_levels),
    "poisson": (Poisson(), counts),
    "poisson row_sum": (Poisson(exposure="row_sum"), counts),
    "negative binomial": (NegativeBinomial(), counts),
    "negative binomial row_sum": (NegativeBinomial(exposure="row_sum"), counts),
    "categorical": (Categorical(), one_hot),
    "mixed": (MIXED, mixed_table),
}
CASES_OF_CELLS = {k: v for k, v in CASES.items() if not k.startswith(("categorical", "mixed"))}


def every_case(cases=CASES):
    return pytest.mark.parametrize(("likelihood", "data"), cases.values(), ids=list(cases))


def built(likelihood, X, **kwargs):
    """Likelihood module in float64, decoder outputs for each row, and the rows."""
    X = np.asarray(X, dtype=np.float32)
    likelihood = likelihood.validated().resolve(X.shape[1], None)
    module = likelihood.build(X, **kwargs).double()
    n_outputs = likelihood.n_outputs(X.shape[1])
    outputs = np.random.default_rng(1).standard_normal((len(X), n_outputs))
    return module, torch.from_numpy(outputs), torch.from_numpy(X).double()


# Densities


@pytest.mark.parametrize("variance", ["shared", "per_feature", 0.5])
def test_gaussian_is_the_density_of_scipy_in_the_units_of_the_data(variance):
    X = real_numbers()
    module, outputs, x = built(Gaussian(variance), X)
    mean = X.mean(axis=0) + X.std(axis=0) * outputs.numpy()
    start = {
        "shared": 0.1 * X.var(axis=0).mean(),
        "per_feature": 0.1 * X.var(axis=0),
        0.5: 0.5,
    }[variance]
    expected = stats.norm.logpdf(X, mean, np.sqrt(start)).sum(axis=1)
    np.testing.assert_allclose(module.log_likelihood(outputs, x).detach(), expected, rtol=1e-5)


def test_bernoulli_is_the_mass_function_of_scipy():
    module, outputs, x = built(Bernoulli(), binary())
    expected = stats.bernoulli.logpmf(x, special.expit(outputs.numpy())).sum(axis=1)
    np.testing.assert_allclose(module.log_likelihood(outputs, x), expected)


def test_categorical_is_the_mass_function_of_scipy():
    module, outputs, x = built(Categorical(), one_hot())
    probabilities = special.softmax(outputs.numpy(), axis=1)
    expected = stats.multinomial.logpmf(x.numpy(), 1, probabilities)
    np.testing.assert_allclose(module.log_likelihood(outputs, x), expected, rtol=1e-6)


def rates(X, outputs, exposure):
    rate = X.mean(axis=0) * np.exp(np.asarray(outputs))
    if exposure == "row_sum":
        rate *= X.sum(axis=1, keepdims=True) / rate.sum(axis=1, keepdims=True)
    return rate


@pytest.mark.parametrize("exposure", [None, "row_sum"])
def test_poisson_is_the_mass_function_of_scipy(exposure):
    X = counts()
    module, outputs, x = built(Poisson(exposure), X)
    expected = stats.poisson.logpmf(X, rates(X, outputs, exposure)).sum(axis=1)
    np.testing.assert_allclose(module.log_likelihood(outputs, x), expected, rtol=1e-6)


@pytest.mark.parametrize("exposure", [None, "row_sum"])
def test_negative_binomial_is_the_mass_function_of_scipy(exposure):
    X = counts()
    module, outputs, x = built(NegativeBinomial(exposure), X)
    # Before training the dispersion is the estimate by the method of moments.
    start = rates(X, np.zeros_like(X), exposure)
    theta = np.sum(start**2, axis=0) / np.sum((X - start) ** 2 - start, axis=0)
    assert np.all((theta > 0) & (theta < 100))
    mean = rates(X, outputs, exposure)
    expected = stats.nbinom.logpmf(X, theta, theta / (theta + mean)).sum(axis=1)
    actual = module.log_likelihood(outputs, x).detach()
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_continuous_bernoulli_is_the_density_of_torch():
    # Where its probability is neither clamped nor close to one half.
    logits = torch.tensor([[-15.0, -3.0, -0.1, 0.1, 8.0]], dtype=torch.float64)
    module, _, x = built(ContinuousBernoulli(), grey_levels())
    expected = torch.distributions.ContinuousBernoulli(logits=logits)
    logits = logits.expand_as(x)
    np.testing.assert_allclose(module.log_likelihood(logits, x), expected.log_prob(x).sum(1))
    np.testing.assert_allclose(module.mean(logits), expected.mean.expand_as(x))


@pytest.mark.parametrize("logit", [-300.0, -17.0, -1.5, -1e-4, 0.0, 1e-9, 0.499, 0.501, 40.0])
def test_continuous_bernoulli_integrates_to_one_and_has_its_mean(logit):
    module, _, _ = built(ContinuousBernoulli(), grey_levels())
    outputs = torch.full((1, 1), logit, dtype=torch.float64)

    def density(x):
        return module.log_likelihood(outputs, torch.full_like(outputs, x)).exp().item()

    # The mass of a large logit is next to one end.
    parts = [(0, 0.1), (0.1, 0.9), (0.9, 1)]
    total = sum(integrate.quad(density, *part)[0] for part in parts)
    mean = sum(integrate.quad(lambda x: x * density(x), *part)[0] for part in parts)
    np.testing.assert_allclose(total, 1, rtol=1e-7)
    np.testing.assert_allclose(module.mean(outputs).item(), mean, rtol=1e-7)


def test_continuous_bernoulli_keeps_its_precision_in_float32():
    logits = torch.linspace(-3, 3, 4001, dtype=torch.float64)[:, None].requires_grad_()
    x = torch.full_like(logits, 0.3)
    module, _, _ = built(ContinuousBernoulli(), grey_levels())
    single = logits.detach().float().requires_grad_()
    for function in (lambda o: module.log_likelihood(o, x.to(o.dtype)), module.mean):
        expected, actual = function(logits), function(single)
        torch.testing.assert_close(actual.double(), expected, atol=1e-6, rtol=0)
        (slope,) = torch.autograd.grad(expected.sum(), logits)
        (single_slope,) = torch.autograd.grad(actual.sum(), single)
        torch.testing.assert_close(single_slope.double(), slope, atol=1e-5, rtol=0)


class _LogLikelihood(torch.nn.Module):
    """Gives `torch.func.functional_call` a forward method."""

    def __init__(self, likelihood):
        super().__init__()
        self.likelihood = likelihood

    def forward(self, outputs, x):
        return self.likelihood.log_likelihood(outputs, x)


@every_case()
@pytest.mark.parametrize("allow_missing", [False, True])
def test_gradients_are_those_of_finite_differences(likelihood, data, allow_missing):
    module, outputs, x = built(likelihood, data(6), allow_missing=allow_missing)
    if allow_missing:
        x[0, 0] = x[1] = x[2, 1:] = torch.nan
    wrapped = _LogLikelihood(module)
    learned = {name: p for name, p in wrapped.named_parameters() if p.requires_grad}

    def log_likelihood(outputs, *parameters):
        named = dict(zip(learned, parameters, strict=True))
        return torch.func.functional_call(wrapped, named, (outputs, x))

    # Away from the start, where a dispersion may be at its bound and the function has a kink.
    inputs = (outputs, *(p.detach() - 0.1 for p in learned.values()))
    assert torch.autograd.gradcheck(log_likelihood, [t.requires_grad_() for t in inputs])


@every_case()
@pytest.mark.parametrize("size", [1e2, 1e5])
def test_extreme_outputs_are_finite_and_draw_data(likelihood, data, size):
    module, outputs, x = built(likelihood, data())
    outputs, x = (size * outputs.float()).requires_grad_(), x.float()
    log_likelihood = module.float().log_likelihood(outputs, x)
    assert log_likelihood.isfinite().all()
    log_likelihood.sum().backward()
    assert outputs.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.requires_grad)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        assert module.mean(outputs).isfinite().all()
        drawn = module.sample(outputs).numpy()
    assert np.isfinite(drawn).all()
    likelihood.validated().resolve(x.shape[1]).check_data(drawn)


# Where the sum of the textbook terms of size x ln x is left with an error of several nats.
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000, 10**6, 10**8, 480_000_000])
@pytest.mark.parametrize("deviations", [0, -2, 1])
def test_large_counts_keep_their_precision_in_float32(count, deviations):
    rate = float(np.float32(max(count + deviations * np.sqrt(count), 1e-3)))
    x = torch.full((1, 1), count, dtype=torch.float32)
    count = x.item()  # as rounded
    module = Poisson().build(np.ones((2, 1)))
    outputs = torch.full((1, 1), rate).log() - module.location[None]
    # What float32 makes of the logarithm of the rate is not the likelihood's to mend.
    rate = (outputs.double() + module.location.double()).exp().item()
    expected = stats.poisson.logpmf(count, rate)
    assert module.log_likelihood(outputs, x).item() == pytest.approx(expected, rel=1e-5, abs=0.03)
    for theta in (0.01, 1.0, 100.0, 1e4):
        module = NegativeBinomial().build(np.ones((2, 1)))
        module.start.fill_(math.log(theta))
        theta = module.start.double().exp().item()
        outputs = math.log(rate) - module.location[None]
        expected = stats.nbinom.logpmf(count, theta, theta / (theta + rate))
        actual = module.log_likelihood(outputs, x).item()
        assert actual == pytest.approx(expected, rel=1e-5, abs=0.03)


@pytest.mark.parametrize("variance", ["shared", "per_feature"])
@pytest.mark.parametrize("unit", [1e-30, 1e-20, 1e20, 1e30])
def test_the_units_of_real_numbers_only_shift_the_log_likelihood(variance, unit):
    X = real_numbers()
    plain, scaled = (Gaussian(variance).build(data) for data in (X, X * unit))
    outputs = torch.from_numpy(np.random.default_rng(1).standard_normal(X.shape)).float()
    with torch.no_grad():
        expected = plain.log_likelihood(outputs, torch.from_numpy(X).float())
        actual = scaled.log_likelihood(outputs, torch.from_numpy(X * unit).float())
    torch.testing.assert_close(actual, expected - N_FEATURES * math.log(unit), rtol=1e-5, atol=0.01)


# Means and draws


@every_case()
def test_the_mean_is_the_average_of_many_draws(likelihood, data):
    module, outputs, _ = built(likelihood, data())
    n = 4000
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        draws = module.sample(outputs[:4].repeat(n, 1)).reshape(n, 4, -1)
        mean = module.mean(outputs[:4])
    error = draws.std(dim=0) / math.sqrt(n)
    assert ((draws.mean(dim=0) - mean).abs() <= 5 * error + 1e-6).all()


@every_case()
def test_draws_are_data(likelihood, data):
    X = data()
    module, outputs, _ = built(likelihood, X)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = module.float().sample(3 * outputs.float()).numpy()
    assert drawn.shape == X.shape
    likelihood.validated().resolve(X.shape[1], None).check_data(drawn)


# Learned parameters


@pytest.mark.parametrize(
    ("likelihood", "n_learned"),
    [
        (Gaussian("shared"), 1),
        (Gaussian("per_feature"), N_FEATURES),
        (Gaussian(0.5), 0),
        (Poisson(), 0),
        (NegativeBinomial(), N_FEATURES),
    ],
)
def test_parameters_are_learned_as_asked(likelihood, n_learned):
    parameters = likelihood.build(counts()).parameters()
    assert sum(p.numel() for p in parameters if p.requires_grad) == n_learned


def maximise_likelihood(module, outputs, x):
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        (-module.log_likelihood(outputs, x).mean()).backward()
        optimizer.step()


def test_the_shared_variance_converges_to_the_squared_error():
    # With constant outputs the maximum-likelihood variance is the mean squared error.
    module, outputs, x = built(Gaussian("shared"), real_numbers(2000))
    maximise_likelihood(module, torch.zeros_like(outputs), x)
    np.testing.assert_allclose(module.variance().item(), x.numpy().var(axis=0).mean(), rtol=1e-3)


def test_the_dispersion_converges_to_its_maximum_likelihood_estimate():
    rng = np.random.default_rng(0)
    X = np.stack([rng.negative_binomial(t, t / (t + 8), 1000) for t in (0.5, 3.0, 20.0)], axis=1)
    module, outputs, x = built(NegativeBinomial(), X)
    outputs = torch.zeros_like(outputs)
    maximise_likelihood(module, outputs, x)
    for column, learned in zip(
        X.T, module.distribution(outputs).total_count[0].tolist(), strict=True
    ):

        def loss(log_theta, column=column):
            theta = np.exp(log_theta)
            return -stats.nbinom.logpmf(column, theta, theta / (theta + column.mean())).sum()

        best = optimize.minimize_scalar(loss, bounds=(-3, 8), method="bounded")
        np.testing.assert_allclose(learned, np.exp(best.x), rtol=0.01)


def test_a_dispersion_beyond_its_bound_returns():
    # A Poisson column has no finite inverse dispersion, and meets the bound.
    rng = np.random.default_rng(0)
    module, outputs, _ = built(NegativeBinomial(), rng.poisson(5.0, (500, 1)))
    module.log_ratio.data.fill_(5.0)
    overdispersed = torch.from_numpy(rng.negative_binomial(1, 1 / 6, (500, 1))).double()
    assert module.distribution(outputs).total_count.max().item() == pytest.approx(1e4)
    (-module.log_likelihood(torch.zeros_like(outputs), overdispersed).mean()).backward()
    assert module.log_ratio.grad.item() > 0


# Exposure


@pytest.mark.parametrize("likelihood", [Poisson("row_sum"), NegativeBinomial("row_sum")])
def test_doubling_the_counts_of_a_row_doubles_its_rates(likelihood):
    module, outputs, x = built(likelihood, counts())
    with torch.no_grad():
        once, twice = (module.distribution(outputs, factor * x).mean for factor in (1, 2))
    torch.testing.assert_close(twice, 2 * once)
    torch.testing.assert_close(once.sum(dim=1), x.sum(dim=1))


@pytest.mark.parametrize("likelihood", [Poisson("row_sum"), NegativeBinomial("row_sum")])
def test_without_data_the_exposure_is_the_mean_row_sum(likelihood):
    X = counts()
    module, outputs, _ = built(likelihood, X)
    total = module.mean(outputs).detach().sum(dim=1)
    np.testing.assert_allclose(total, X.sum(axis=1).mean(), rtol=1e-6)


@pytest.mark.parametrize("likelihood", [Poisson("row_sum"), NegativeBinomial("row_sum")])
def test_a_row_without_counts_says_nothing(likelihood):
    module, outputs, x = built(likelihood, counts())
    log_likelihood = module.log_likelihood(outputs.requires_grad_(), torch.zeros_like(x))
    np.testing.assert_allclose(log_likelihood.detach(), 0, atol=1e-5)
    log_likelihood.sum().backward()
    np.testing.assert_allclose(outputs.grad, 0, atol=1e-5)


# Missing cells


def with_missing_cells(X):
    """NaN here and there, in a whole row and in a whole column."""
    X = np.array(X, dtype=np.float64)
    X[np.random.default_rng(2).random(X.shape) < 0.2] = np.nan
    X[3], X[:, 2] = np.nan, np.nan
    return X


@every_case(CASES_OF_CELLS)
def test_the_log_likelihood_is_the_sum_over_the_cells_that_are_present(likelihood, data):
    module, outputs, x = built(likelihood, with_missing_cells(data()), allow_missing=True)
    missing = x.isnan()
    actual = module.log_likelihood(outputs, x).detach()
    complete = x.nan_to_num(nan=1.0)
    if getattr(likelihood, "exposure", None):
        # The model of a table that never had the other columns.
        weight = torch.exp(module.location + outputs).masked_fill(missing, 0)
        share = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-30)
        rate = (share * x.nansum(dim=1, keepdim=True)).clamp(min=1e-8)
        if isinstance(likelihood, Poisson):
            cells = stats.poisson.logpmf(complete, rate)
        else:
            theta = module.distribution(outputs).total_count.detach()
            cells = stats.nbinom.logpmf(complete, theta, theta / (theta + rate))
        cells = torch.from_numpy(cells)
    else:
        cells = module.distribution(outputs).log_prob(complete).detach()
    expected = torch.where(missing, 0.0, cells).sum(dim=1)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_a_one_hot_group_is_missing_as_a_whole():
    module, outputs, x = built(Categorical(), one_hot(), allow_missing=True)
    complete = module.log_likelihood(outputs, x)
    x[0, 0], x[1, 3], x[2] = torch.nan, torch.nan, torch.nan
    actual = module.log_likelihood(outputs, x)
    torch.testing.assert_close(actual[3:], complete[3:])
    assert (actual[:3] == 0).all()


@every_case()
def test_a_missing_cell_has_no_gradient(likelihood, data):
    X = with_missing_cells(data())
    module, outputs, x = built(likelihood, X, allow_missing=True)
    module.log_likelihood(outputs.requires_grad_(), x).sum().backward()
    missing = x.isnan()
    if isinstance(likelihood, Categorical):
        missing = missing.any(dim=1, keepdim=True).expand_as(missing)
    if isinstance(likelihood, Mixed):
        missing[:, [0, 3, 6]] = missing[:, [0, 3, 6]].any(dim=1, keepdim=True)
        missing = missing[:, module.order]  # the outputs are in the order of the parts
    assert (outputs.grad[missing] == 0).all()
    assert outputs.grad.isfinite().all()
    assert missing.all() or (outputs.grad[~missing] != 0).any()
    for parameter in module.parameters():
        assert parameter.grad.isfinite().all()


@every_case()
def test_allowing_missing_cells_changes_nothing_where_none_are(likelihood, data):
    X = data()
    plain, outputs, x = built(likelihood, X)
    allowing, _, _ = built(likelihood, X, allow_missing=True)
    for function in ("log_likelihood", "standardize"):
        arguments = (outputs, x) if function == "log_likelihood" else (x,)
        torch.testing.assert_close(
            getattr(allowing, function)(*arguments), getattr(plain, function)(*arguments)
        )
    torch.testing.assert_close(allowing.mean(outputs), plain.mean(outputs))


@every_case()
def test_standardised_data_is_missing_where_the_data_is(likelihood, data):
    module, _, x = built(likelihood, with_missing_cells(data()), allow_missing=True)
    assert torch.equal(module.standardize(x).isnan(), x.isnan())
    assert all(value.isfinite().all() for value in module.state_dict().values())


@pytest.mark.parametrize("likelihood", [Gaussian(), Poisson(), NegativeBinomial("row_sum")])
def test_statistics_are_those_of_the_present_values(likelihood):
    X = with_missing_cells(counts())
    module, outputs, x = built(likelihood, X, allow_missing=True)
    zeros = torch.zeros_like(outputs)
    if getattr(likelihood, "exposure", None) is None:
        present = np.delete(X, 2, axis=1)
        mean = np.delete(module.mean(zeros)[0].detach().numpy(), 2)
        np.testing.assert_allclose(mean, np.nanmean(present, axis=0), rtol=1e-6)
    standardised = module.standardize(x).numpy()
    np.testing.assert_allclose(np.nansum(standardised, axis=0), 0, atol=1e-4)
    assert np.nanstd(standardised) == pytest.approx(1, abs=0.2)


# Mixed tables


def test_mixed_is_the_sum_of_its_parts():
    X = mixed_table()
    module, outputs, x = built(MIXED, X)
    start, expected = 0, 0
    for likelihood, columns in MIXED.validated().parts:
        part = likelihood.build(X[:, columns].astype(np.float32)).double()
        part_outputs = outputs[:, start : start + len(columns)]
        expected = expected + part.log_likelihood(part_outputs, x[:, columns])
        for table, part_table in [
            (module.mean(outputs), part.mean(part_outputs)),
            (module.standardize(x), part.standardize(x[:, columns])),
        ]:
            torch.testing.assert_close(table[:, columns], part_table)
        start += len(columns)
    assert start == outputs.shape[1]
    torch.testing.assert_close(module.log_likelihood(outputs, x), expected)


def test_columns_by_name_slice_position_and_mask_are_the_same():
    names = ["a", "b", "c", "d"]
    specifications = [
        [("gaussian", ["a", "b"]), ("bernoulli", ["d", "c"])],
        [("gaussian", slice(0, 2)), ("bernoulli", [-1, 2])],
        [("gaussian", np.array([True, True, False, False])), ("bernoulli", np.array([3, 2]))],
        [("gaussian", pd.Index(["a", "b"])), ("bernoulli", (3, -2))],
        [("gaussian", slice(2)), (Mixed([("bernoulli", ["d"]), (Bernoulli(), [0])]), ["c", "d"])],
    ]
    resolved = [Mixed(parts).validated().resolve(4, names) for parts in specifications]
    for mixed in resolved[:4]:
        assert [columns for _, columns in mixed.parts] == [[0, 1], [3, 2]]
    inner, columns = resolved[4].parts[1]
    assert columns == [2, 3]
    assert [columns for _, columns in inner.parts] == [[1], [0]]
    assert resolved[4].n_outputs(4) == 4


@pytest.mark.parametrize("first", ["age", 0, np.int64(0), -2])
def test_a_name_or_a_position_is_one_column(first):
    mixed = Mixed([("gaussian", first), ("poisson", ["visits"])]).validated()
    assert [columns for _, columns in mixed.resolve(2, ["age", "visits"]).parts] == [[0], [1]]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("gaussian", ["a"]), ("bernoulli", ["c"])], r"\['b', 'd'\] belong to no part"),
        ([("gaussian", ["a", "b"]), ("bernoulli", ["b", "c", "d"])], r"\['b'\].*more than one"),
        ([("gaussian", ["a", "x"]), ("bernoulli", ["b", "c", "d"])], r"\['x'\].*does not have"),
        ([("gaussian", "abcd")], r"\['abcd'\], which X does not have; it has \['a', 'b', "),
        ([("gaussian", None)], "columns of a part of Mixed are .*, but got None"),
        ([("gaussian", 2.0)], r"but got 2\.0"),
        ([("gaussian", [0.0, 1.0])], r"but got \[0\.0, 1\.0\]"),
        ([("gaussian", ["a", 1])], r"but got \['a', 1\]"),
        ([("gaussian", {"a", "b"})], "but got {"),
        ([("gaussian", [True, False])], r"\[True, False\], but X has 4 columns"),
        ([("gaussian", 4)], r"columns \[4\], but X has 4 columns"),
        ([("gaussian", [0, 4])], r"columns \[0, 4\], but X has 4 columns"),
        ([("gaussian", slice(4)), ("bernoulli", [])], "'?Bernoulli.*has no columns"),
        ([("cauchy", slice(4))], "one of .*'gaussian'.*but got 'cauchy'"),
        ([Gaussian()], r"a pair \(likelihood, columns\), but got Gaussian"),
        ([(Gaussian(-1.0), slice(4))], "'variance' parameter"),
        ("gaussian", "'parts' parameter"),
    ],
)
def test_wrong_parts_are_named(parts, message):
    with pytest.raises(ValueError, match=message):
        Mixed(parts).validated().resolve(4, ["a", "b", "c", "d"])


def test_names_need_a_table_with_names():
    with pytest.raises(ValueError, match=r"\['a'\], but X has no column names.*DataFrame"):
        Mixed([("gaussian", ["a"])]).validated().resolve(1, None)
    with pytest.raises(ValueError, match=r"\[1\] belong to no part"):
        Mixed([("gaussian", [0])]).validated().resolve(2, None)


# Components


@pytest.mark.parametrize("likelihood", [case[0] for case in CASES.values()], ids=list(CASES))
def test_likelihoods_are_cloned_by_their_parameters(likelihood):
    copy = clone(likelihood)
    assert copy is not likelihood
    assert repr(copy) == repr(likelihood)
    assert repr(type(likelihood)(**likelihood.get_params(deep=False))) == repr(likelihood)


class Unfinished(Likelihood):
    """Has no `build`."""


def test_a_likelihood_without_build_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match=r"Unfinished.*build"):
        Unfinished()


def test_a_module_without_a_distribution_says_what_it_needs():
    with pytest.raises(NotImplementedError, match="LikelihoodModule has no `distribution`"):
        LikelihoodModule().mean(torch.zeros(1, 1))


@every_case()
def test_a_fitted_module_is_made_again_from_a_row_of_zeros(likelihood, data):
    module, outputs, x = built(likelihood, data())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1  # as training would
    again, _, _ = built(likelihood, np.zeros((1, x.shape[1])))
    again.load_state_dict(module.state_dict())
    for function, arguments in {
        "standardize": (x,),
        "log_likelihood": (outputs, x),
        "mean": (outputs,),
    }.items():
        expected = getattr(module, function)(*arguments)
        torch.testing.assert_close(getattr(again, function)(*arguments), expected, rtol=0, atol=0)


@every_case()
@pytest.mark.parametrize("allow_missing", [False, True])
def test_the_description_of_the_standardisation_is_what_is_done(likelihood, data, allow_missing):
    module, _, x = built(likelihood, data(), allow_missing=allow_missing)
    x[0, 0] = -1.0  # what `standardize` makes of it has to be described, too
    logged, location, scale = module.standardization(x.shape[1])
    assert (logged.dtype, location.dtype, scale.dtype) == (bool, np.float32, np.float32)
    logs = np.log1p(np.maximum(x.numpy(), 0))
    expected = (np.where(logged, logs, x.numpy()) - location) / scale
    np.testing.assert_allclose(module.standardize(x), expected, rtol=1e-6, atol=1e-6)


LAPLACE = """
import torch

from passive_pruner.vae._likelihoods._base import Likelihood, LikelihoodModule


class Laplace(Likelihood):
    def build(self, X, *, allow_missing=False):
        return LaplaceModule(missing=allow_missing)


class LaplaceModule(LikelihoodModule):
    def distribution(self, outputs):
        return torch.distributions.Laplace(outputs, 0.5, validate_args=False)
"""
USE_LAPLACE = """
import numpy as np
from passive_pruner import VAEEncoder
from passive_pruner.vae import MLP, Laplace, Mixed

X = np.random.default_rng(0).standard_normal((30, 3))
small = VAEEncoder(1, architecture=MLP(()), max_steps=2)
assert small.set_params(likelihood="laplace").fit(X).sample(2).shape == (2, 3)
mixed = Mixed([("laplace", [0, 2]), ("gaussian", 1)])
assert isinstance(small.set_params(likelihood=mixed).fit(X).likelihood_.parts[0][0], Laplace)
assert mixed.validated().resolve(3).build(X).standardization(3) is not None
"""


def test_two_files_add_a_likelihood(tmp_path):
    # As the developer guide says: a file, and in `_names` the import, the class and its name.
    package = Path(passive_pruner.__file__).parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    room = tmp_path / package.name / "vae" / "_likelihoods"
    (room / "_laplace.py").write_text(LAPLACE)
    names = (room / "_names.py").read_text()
    for before, added in [
        ("from ", "from passive_pruner.vae._likelihoods._laplace import Laplace\n"),
        ('    "NegativeBinomial"', '    "Laplace",\n'),
        ('    "negative_binomial"', '    "laplace": Laplace,\n'),
    ]:
        assert before in names
        names = names.replace(before, added + before, 1)
    (room / "_names.py").write_text(names)
    run = subprocess.run(
        [sys.executable, "-c", USE_LAPLACE], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


class Halved(GaussianModule):
    """Inherits a description that is not of its own `standardize`."""

    def standardize(self, x):
        return super().standardize(x) / 2


class HalvedGaussian(Gaussian):
    def build(self, X, *, allow_missing=False):
        return Halved(X, self.variance, missing=allow_missing)


def test_a_standardize_of_its_own_has_no_inherited_description():
    X = real_numbers()
    assert HalvedGaussian().build(X).standardization(N_FEATURES) is None
    mixed = Mixed([("gaussian", [0]), (HalvedGaussian(), slice(1, None))])
    module, _, _ = built(mixed, X)
    assert module.standardization(N_FEATURES) is None


@every_case()
@pytest.mark.parametrize("ambient", ["float64", "device"])
def test_modules_are_in_float32_on_the_cpu_whatever_torch_is_set_to(likelihood, data, ambient):
    X = data().astype(np.float32)
    likelihood = likelihood.validated().resolve(X.shape[1])
    expected = likelihood.build(X)
    x = torch.from_numpy(X)
    outputs = torch.linspace(-1, 1, x.numel(), dtype=torch.float32).reshape(x.shape)
    # The device "meta" holds no numbers: a tensor that is made there by mistake is of no use.
    setting = torch.device("meta") if ambient == "device" else default_dtype(torch.float64)
    with setting:
        module = likelihood.build(X)
        for value in (
            *module.state_dict().values(),
            module.standardize(x),
            module.log_likelihood(outputs, x),
            module.mean(outputs),
            module.sample(outputs),
        ):
            assert (value.dtype, value.device.type) == (torch.float32, "cpu")
        torch.testing.assert_close(
            module.log_likelihood(outputs, x), expected.log_likelihood(outputs, x)
        )


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# Moments of columns


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("missing", [False, True])
def test_moments_of_columns_far_from_zero_are_exact(seed, missing):
    rng = np.random.default_rng(seed)
    X = 1.7e9 + np.array([1e-3, 1.0, 3600.0]) * rng.standard_normal((1000, 3))
    if missing:
        X[rng.random(X.shape) < 0.3] = np.nan
    mean, variance = column_moments(X)
    for column, m, v in zip(X.T, mean, variance, strict=True):
        exact = [Fraction(value) for value in column[~np.isnan(column)]]
        centre = sum(exact) / len(exact)
        assert m == float(centre)
        squares = sum((value - centre) ** 2 for value in exact) / len(exact)
        np.testing.assert_allclose(v, float(squares), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 3, 1000])
def test_constant_columns_have_unit_variance(dtype, n_rows):
    # 1,000 times 0.1 is not 100 in any binary arithmetic.
    X = np.tile(np.array([0.1, -1.7e9, 1 / 3, 0.0, np.nan], dtype=dtype), (n_rows, 1))
    mean, variance = column_moments(X)
    np.testing.assert_array_equal(mean, np.nan_to_num(X[0].astype(np.float64)))
    np.testing.assert_array_equal(variance, 1)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_name_stands_for_the_likelihood_with_its_defaults(name):
    likelihood = LIKELIHOODS[name]()
    class_name = type(likelihood).__name__
    assert name == "".join(
        "_" * (i > 0 and c.isupper()) + c.lower() for i, c in enumerate(class_name)
    )


@pytest.mark.parametrize(
    ("likelihood", "value", "message"),
    [
        ("poisson", -1, r"Poisson.*counts \(0, 1, 2, ...\), but X has -1.*neither normalised"),
        ("poisson", 2.5, "counts .*but X has 2.5"),
        ("negative_binomial", 0.25, "NegativeBinomial.*but X has 0.25.*'gaussian'"),
        (NegativeBinomial("row_sum"), -3, "but X has -3"),
        ("bernoulli", 1.5, r"\[0, 1\], but X has 1.5.*MinMaxScaler"),
        ("continuous_bernoulli", -0.5, r"continuous Bernoulli.*\[0, 1\].*has -0.5"),
        ("categorical", 0.5, "columns of 0 and 1, but X has 0.5.*OneHotEncoder"),
        ("categorical", 1, "a row of X sums to 2.*Mixed"),
        ("bernoulli", 7, r"X has 7 in column 2\."),
        ("categorical", -1, r"X has -1 in column 2\."),
        ("poisson", 485165196, "counts up to 485165195, but X has 485165196 in column 2.*log1p"),
        ("negative_binomial", 3e9, "counts up to 485165195, but X has 3000000000 in column 2"),
        (Poisson("row_sum"), 485165195, "sum to at most 485165195, but a row .* 485165196"),
        (Mixed([("poisson", [0, 2]), ("gaussian", [1])]), 0.5, r"Poisson .*has 0.5 in column 2\."),
        (
            Mixed([(Mixed([("bernoulli", [1]), ("poisson", 0)]), [0, 2]), ("gaussian", 1)]),
            5,
            r"Bernoulli .*has 5 in column 2\.",
        ),
        (
            Mixed([("gaussian", 0), ("categorical", slice(1, 3))]),
            1,
            r"In columns \[1, 2\] of X: .* a row of X sums to 0",
        ),
    ],
)
def test_values_without_a_density_are_named(likelihood, value, message):
    X = np.eye(3)[[0, 1, 2, 1]]
    X[1, 2] = value
    if isinstance(likelihood, str):
        likelihood = LIKELIHOODS[likelihood]()
    likelihood = likelihood.validated().resolve(3)
    for chunk in (X, np.vstack([np.full(3, np.nan), X])):
        with pytest.raises(ValueError, match=message) as caught:
            likelihood.check_data(chunk)
        assert type(caught.value) is ValueError


def test_an_encoder_refuses_values_without_a_density():
    X = counts()
    X[3, 1] = 3_000_000_000
    with pytest.raises(ValueError, match="has 3000000000 in column 1"):
        small_encoder(likelihood="poisson").fit(X)


@every_case()
def test_missing_values_pass_the_check(likelihood, data):
    X = with_missing_cells(data())
    likelihood = likelihood.validated().resolve(X.shape[1], None)
    likelihood.check_data(X)
    likelihood.check_data(np.full_like(X, np.nan))


@every_case()
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16, np.float64])
def test_the_check_takes_every_type_of_numbers(likelihood, data, dtype):
    X = data().astype(dtype)
    likelihood = likelihood.validated().resolve(X.shape[1])
    if not isinstance(likelihood, Mixed):  # whose real numbers may have no place in a uint8
        likelihood.check_data(X)
    likelihood.check_data(X[:0])


def test_an_unknown_exposure_is_an_error():
    with pytest.raises(ValueError, match=r"'exposure' parameter of Poisson.*'row_sum'"):
        small_encoder(likelihood=Poisson(exposure="column_sum")).fit(counts())


# Training


def expression(n_rows=600, n_genes=24, theta=3.0):
    """Counts of genes: composition of two factors, depth of its own, overdispersion."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((n_rows, 2))
    proportions = special.softmax(factors @ rng.normal(0, 0.7, (2, n_genes)), axis=1)
    mean = proportions * np.exp(rng.normal(np.log(600), 0.5, (n_rows, 1)))
    return rng.negative_binomial(theta, theta / (theta + mean)), factors


def pruned_by_grid_search(encoder, X, y):
    """Choose the threshold of the remover by cross-validated accuracy."""
    pipe = Pipeline(
        [("enc", encoder), ("prune", PassiveVariableRemover()), ("clf", LogisticRegression())]
    )
    return GridSearchCV(pipe, {"prune__threshold": [0.0, 0.1]}, cv=2).fit(X, y)


def test_gene_expression():
    X, factors = expression()
    encoder = small_encoder(likelihood=NegativeBinomial("row_sum"), max_steps=400)
    grid = pruned_by_grid_search(encoder, X, factors[:, 0] > 0)
    assert grid.best_score_ > 0.85
    encoder = grid.best_estimator_["enc"]
    codes = encoder.transform(X)
    # The codes find the composition, linearly, and hardly know the depth.
    assert LinearRegression().fit(codes, factors).score(codes, factors) > 0.85
    depth = np.log(X.sum(axis=1))
    assert LinearRegression().fit(codes, depth).score(codes, depth) < 0.1
    decoded = encoder.inverse_transform(codes)
    np.testing.assert_allclose(decoded.sum(axis=1), X.sum(axis=1).mean(), rtol=1e-3)
    drawn = encoder.sample(2000)
    NegativeBinomial().check_data(drawn)
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), rtol=0.3)


def test_grid_search_finds_the_distribution_of_the_counts():
    # The ELBO of two mass functions on the same data can be compared.
    X, _ = expression(n_rows=300)
    grid = GridSearchCV(
        small_encoder(max_steps=200), {"likelihood": ["poisson", "negative_binomial"]}, cv=2
    )
    assert grid.fit(X).best_params_ == {"likelihood": "negative_binomial"}


def survey(n_rows=600):
    """A table of every kind of column, all of them driven by two factors."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((n_rows, 2))
    a, b = factors.T

    def category(*scores):
        scores = np.stack(np.broadcast_arrays(*scores), axis=1)
        return np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)

    table = {
        "income": 3e4 + 1e4 * a + 2e3 * rng.standard_normal(n_rows),
        "visits": rng.poisson(np.exp(1 + 0.6 * b)),
        "member": rng.random(n_rows) < special.expit(3 * a),
        "score": special.expit(b + 0.3 * rng.standard_normal(n_rows)),
        "height": 170 + 5 * b + 2 * rng.standard_normal(n_rows),
    }
    X = pd.DataFrame({name: column.astype(float) for name, column in table.items()})
    for group, codes in {"city": category(3 * a, 0, -3 * a), "diet": category(2 * b, 0)}.items():
        X = X.join(pd.get_dummies(pd.Series(codes), prefix=group, dtype=float))
    return X, factors


SURVEY = Mixed(
    [
        ("categorical", ["city_0", "city_1", "city_2"]),
        (Gaussian("per_feature"), ["height", "income"]),
        ("poisson", ["visits"]),
        ("bernoulli", ["member"]),
        ("continuous_bernoulli", ["score"]),
        ("categorical", ["diet_0", "diet_1"]),
    ]
)


def test_mixed_table():
    X, factors = survey()
    grid = pruned_by_grid_search(
        small_encoder(likelihood=SURVEY, max_steps=400), X, factors[:, 0] > 0
    )
    assert grid.best_score_ > 0.85
    encoder = grid.best_estimator_["enc"]
    codes = encoder.transform(X)
    assert LinearRegression().fit(codes, factors).score(codes, factors) > 0.8
    decoded = pd.DataFrame(encoder.inverse_transform(codes), columns=X.columns)
    for name in ("income", "height"):
        assert np.mean((decoded[name] - X[name]) ** 2) < 0.5 * X[name].var()
    drawn = pd.DataFrame(encoder.sample(500), columns=X.columns)
    encoder.likelihood_.check_data(drawn.to_numpy())
    assert set(drawn["member"]) == {0, 1}
    np.testing.assert_allclose(drawn["income"].mean(), X["income"].mean(), rtol=0.1)
    assert (drawn.filter(like="city").sum(axis=1) == 1).all()


def test_decoding_fills_missing_cells_better_than_column_means():
    X, _ = survey()
    missing = np.random.default_rng(1).random(X.shape) < 0.15
    encoder = small_encoder(likelihood=SURVEY, max_steps=600, allow_missing=True)
    codes = encoder.fit_transform(X.mask(missing))
    assert np.isfinite(codes).all()
    decoded = pd.DataFrame(encoder.inverse_transform(codes), columns=X.columns)
    for j, name in enumerate(X.columns):
        hidden = missing[:, j]
        error = np.mean((decoded[name] - X[name])[hidden] ** 2)
        assert error < np.mean((X[name][~hidden].mean() - X[name])[hidden] ** 2), name
