"""VAEEncoder.pruned and prune_pipeline: smaller networks that are the same function."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import small_encoder
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from passive_pruner import PassiveVariableRemover, prune_pipeline
from passive_pruner.vae import MLP, Architecture, Conv

KEEP = [6, 1, 2]


@pytest.fixture(scope="module", params=["gaussian", "bernoulli"])
def data(request, cancer):
    """Name of a likelihood, and data for it."""
    X, _ = cancer
    return request.param, (X if request.param == "gaussian" else (X > 0).astype("float32"))


@pytest.mark.parametrize("hidden", [(32,), (), (8, 16)], ids=str)
def test_a_pruned_encoder_is_the_same_function_of_the_kept_variables(hidden, data):
    # 8 is also the size of a hidden layer, which must not be taken for the latent variables.
    likelihood, X = data
    encoder = small_encoder(
        n_components=8, architecture=MLP(hidden), likelihood=likelihood, max_steps=200
    ).fit(X)
    rng = np.random.default_rng(0)
    for n_kept in range(1, 9):
        keep = rng.permutation(8)[:n_kept]
        pruned = encoder.pruned(keep)
        assert pruned.n_components_ == pruned.n_components == n_kept
        for before, after in zip(encoder.posterior(X), pruned.posterior(X), strict=True):
            np.testing.assert_allclose(after, before[:, keep], rtol=1e-5, atol=1e-6)
        at_prior_mean = np.zeros((50, 8), dtype=np.float32)
        at_prior_mean[:, keep] = rng.standard_normal((50, n_kept))
        np.testing.assert_allclose(
            pruned.inverse_transform(at_prior_mean[:, keep]),
            encoder.inverse_transform(at_prior_mean),
            rtol=1e-5,
            atol=1e-6,
        )


def test_a_mask_and_its_numbers_keep_the_same(fitted_encoder, cancer):
    X, _ = cancer
    mask = np.isin(np.arange(8), KEEP)
    by_mask, by_number = (fitted_encoder.pruned(k) for k in (mask, np.flatnonzero(mask)))
    np.testing.assert_array_equal(by_mask.transform(X), by_number.transform(X))


@pytest.mark.parametrize(
    "keep",
    [[], [False] * 8, [True] * 7, [0, 8], [-1], [1, 1], [0.0, 1.0], [[0, 1]], 3, slice(3), ["a"]],
    ids=str,
)
def test_what_to_keep_is_checked(fitted_encoder, keep):
    with pytest.raises(ValueError, match=r"mask of 8 latent variables or distinct numbers"):
        fitted_encoder.pruned(keep)


def test_the_original_and_the_global_generators_are_left_alone(fitted_encoder):
    before = pickle.dumps(fitted_encoder)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    pruned = fitted_encoder.pruned(KEEP)
    assert torch.equal(torch.get_rng_state(), state)
    pruned.history_[0]["variance_of_mean"][:] = 0
    assert pickle.dumps(fitted_encoder) == before


def test_fitted_attributes(fitted_encoder):
    pruned = fitted_encoder.pruned(KEEP)
    fitted = {name for name in vars(fitted_encoder) if name.endswith("_")}
    assert {name for name in vars(pruned) if name.endswith("_")} == fitted | {"variable_numbers_"}
    for name in ("n_iter_", "n_steps_", "n_features_in_"):
        assert getattr(pruned, name) == getattr(fitted_encoder, name)
    for name in ("objective_", "likelihood_", "architecture_"):
        assert repr(getattr(pruned, name)) == repr(getattr(fitted_encoder, name))
    for record, cut in zip(fitted_encoder.history_, pruned.history_, strict=True):
        assert cut["elbo"] == record["elbo"]
        for name in ("variance_of_mean", "mean_of_variance"):
            np.testing.assert_array_equal(cut[name], record[name][KEEP])


def test_variables_keep_their_numbers(fitted_encoder, cancer):
    X, _ = cancer
    pruned = fitted_encoder.pruned(KEEP).set_output(transform="pandas")
    assert list(pruned.transform(X[:2])) == [
        f"vaeencoder{j}{kind}" for kind in ("", "_variance") for j in KEEP
    ]
    twice = pruned.pruned([2, 0])
    assert list(twice.transform(X[:2]))[:2] == ["vaeencoder2", "vaeencoder6"]
    anew = pruned.set_params(max_steps=10).fit(X)
    assert list(anew.transform(X[:2]))[:3] == ["vaeencoder0", "vaeencoder1", "vaeencoder2"]


def test_a_pruned_encoder_is_an_encoder(fitted_encoder, cancer):
    X, _ = cancer
    pruned = fitted_encoder.pruned(KEEP)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(pruned)).transform(X), pruned.transform(X)
    )
    np.testing.assert_array_equal(copy.deepcopy(pruned).transform(X), pruned.transform(X))
    assert pruned.sample(5).shape == (5, X.shape[1])
    assert clone(pruned).set_params(max_steps=10).fit(X).transform(X).shape == (len(X), 6)
    score, steps = pruned.score(X), pruned.n_steps_
    for _ in range(20):
        pruned.partial_fit(X)
    assert pruned.score(X) > score
    assert pruned.n_steps_ == steps + 20 * -(-len(X) // pruned.batch_size)


def test_feature_names_in_are_kept(cancer):
    X = pd.DataFrame(cancer[0]).add_prefix("x")
    encoder = small_encoder(max_steps=10).fit(X)
    pruned = encoder.pruned([0])
    np.testing.assert_array_equal(pruned.feature_names_in_, X.columns)
    np.testing.assert_allclose(pruned.transform(X), encoder.transform(X)[:, :1], atol=1e-6)
    with pytest.raises(ValueError, match="feature names"):
        pruned.transform(X[X.columns[::-1]])


def test_draws_have_the_same_distribution(fitted_encoder, cancer):
    X, _ = cancer
    keep = [0, 3]
    pruned = fitted_encoder.pruned(keep).set_params(output="sampled", add_variance=False)
    mean, variance = (moment[:, keep] for moment in fitted_encoder.posterior(X))
    standardised = (pruned.transform(X) - mean) / np.sqrt(variance)
    assert np.abs(standardised.mean(axis=0)).max() < 5 / np.sqrt(len(X))
    assert np.abs(standardised.var(axis=0) - 1).max() < 5 * np.sqrt(2 / len(X))


class TwoHeads(nn.Module):
    """Means and log-variances from layers of their own."""

    def __init__(self, n_inputs, n_components):
        super().__init__()
        self.mean = nn.Linear(n_inputs, n_components)
        self.log_variance = nn.Linear(n_inputs, n_components)

    def forward(self, x):
        return torch.cat([self.mean(x), self.log_variance(x)], dim=1)


class Custom(Architecture):
    """Architectures beyond the MLP, by name."""

    def __init__(self, kind="two heads"):
        self.kind = kind

    def build(self, n_features, n_components, n_outputs):
        encoder = nn.Sequential(nn.Linear(n_features, 16), nn.Tanh())
        if self.kind == "two heads":
            encoder.append(TwoHeads(16, n_components))
        else:
            encoder.append(nn.Linear(16, 2 * n_components))
        if self.kind == "normalised codes":
            encoder.append(nn.LayerNorm(2 * n_components))
        size = {"hidden 3d": 3, "hidden 2d": 2}.get(self.kind, 0) * n_components or 16
        if self.kind == "hidden at least 3":
            size = max(3, n_components)
        if self.kind == "transposed convolution":
            decoder = nn.Sequential(
                nn.Unflatten(1, (n_components, 1)),
                nn.ConvTranspose1d(n_components, 4, 8),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(32, n_outputs),
            )
        else:
            decoder = nn.Sequential(
                nn.Linear(n_components, size), nn.Tanh(), nn.Linear(size, n_outputs)
            )
        return encoder, decoder


@pytest.mark.parametrize(
    "architecture",
    [
        Custom("two heads"),
        Custom("transposed convolution"),
        Conv((8, 8, 1), channels=(4,), hidden_size=8),
    ],
    ids=str,
)
def test_any_architecture_with_linear_ends_can_be_pruned(architecture):
    X = load_digits().data[:200] / 16
    encoder = small_encoder(architecture=architecture, max_steps=20).fit(X)
    pruned = encoder.pruned([3, 1])
    np.testing.assert_allclose(
        pruned.transform(X), encoder.transform(X)[:, [3, 1]], rtol=1e-5, atol=1e-6
    )
    codes = np.random.default_rng(0).standard_normal((20, 4)) * [0, 1, 0, 1]
    np.testing.assert_allclose(
        pruned.inverse_transform(codes[:, [3, 1]]),
        encoder.inverse_transform(codes),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("hidden 3d", r"decoder\.0\.weight does not show which"),
        ("hidden 2d", "gives other outputs"),
        ("normalised codes", "gives other outputs"),
        ("hidden at least 3", "other layers depend on their number"),
    ],
)
def test_other_architectures_are_refused(kind, problem, cancer):
    X, _ = cancer
    encoder = small_encoder(architecture=Custom(kind), max_steps=20).fit(X)
    with pytest.raises(ValueError, match=rf"{problem}.*must be linear in the variables"):
        encoder.pruned([0, 2])


REMOVERS = {
    "active_units": {"threshold": 0.3},
    "variance": {"threshold": 0.3, "drop": ("passive", "mixed")},
    "kl": {"threshold": 0.3},
}


def fitted_pipeline(X, y, *steps, container="default"):
    """Fit [StandardScaler, *steps, LogisticRegression]."""
    pipe = make_pipeline(StandardScaler(), *steps, LogisticRegression())
    return pipe.set_output(transform=container).fit(X, y)


@pytest.mark.parametrize("container", ["default", "pandas"])
@pytest.mark.parametrize("criterion", REMOVERS)
def test_a_pruned_pipeline_predicts_the_same(criterion, container, cancer):
    X, y = cancer
    encoder = small_encoder(
        n_components=12, max_steps=1000, add_variance=criterion != "active_units"
    )
    remover = PassiveVariableRemover(criterion=criterion, **REMOVERS[criterion])
    pipe = fitted_pipeline(X, y, encoder, remover, container=container)
    assert 0 < remover.get_support().sum() < 12
    before = pickle.dumps(pipe)
    pruned = prune_pipeline(pipe)
    np.testing.assert_allclose(pruned.predict_proba(X), pipe.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(pruned.predict(X), pipe.predict(X))
    np.testing.assert_array_equal(
        pruned[:-1].get_feature_names_out(), pipe[:-1].get_feature_names_out()
    )
    assert type(pruned[:-1].transform(X)) is type(pipe[:-1].transform(X))
    again = pickle.loads(pickle.dumps(pruned))
    np.testing.assert_array_equal(again.predict(X), pruned.predict(X))
    # Nothing is shared: training one does not change the other.
    pruned.set_params(vaeencoder__max_steps=10).fit(X[::2], y[::2])
    assert pickle.dumps(pipe) == before


def test_a_pipeline_keeps_names_memory_and_other_steps(cancer, tmp_path):
    X, y = cancer
    pipe = Pipeline(
        [
            ("scale", StandardScaler()),
            ("encode", small_encoder(n_components=12, max_steps=1000)),
            ("nothing", "passthrough"),
            ("remove", PassiveVariableRemover()),
            ("scale again", StandardScaler()),
            ("classify", LogisticRegression()),
        ],
        memory=str(tmp_path),
    ).fit(X, y)
    pruned = prune_pipeline(pipe)
    assert list(pruned.named_steps) == ["scale", "encode", "nothing", "scale again", "classify"]
    assert pruned.memory == pipe.memory
    np.testing.assert_array_equal(pruned.predict(X), pipe.predict(X))


def test_a_pipeline_of_transformers_can_end_with_the_remover(cancer):
    X, _ = cancer
    pipe = make_pipeline(
        small_encoder(n_components=12, max_steps=1000), PassiveVariableRemover()
    ).fit(X)
    pruned = prune_pipeline(pipe)
    assert len(pruned) == 1
    np.testing.assert_allclose(pruned.transform(X), pipe.transform(X), rtol=1e-5, atol=1e-6)


def test_draws_cannot_be_pruned_exactly(cancer):
    encoder = small_encoder(output="sampled", add_variance=True)
    remover = PassiveVariableRemover(criterion="variance", threshold=0.01)
    pipe = fitted_pipeline(*cancer, encoder, remover)
    with pytest.raises(ValueError, match=r"all draws are others.*output='mean'"):
        prune_pipeline(pipe)


def test_kept_variance_columns_are_refused(cancer):
    # An array has no names, so the remover cannot tell that half of its columns are variances.
    pipe = fitted_pipeline(
        *cancer, small_encoder(add_variance=True), PassiveVariableRemover(threshold=0)
    )
    with pytest.raises(ValueError, match="kept columns of posterior variances"):
        prune_pipeline(pipe)


def test_names_that_the_next_step_does_not_know_are_refused(cancer):
    remover = PassiveVariableRemover(threshold=0)
    pipe = make_pipeline(small_encoder(), remover, LogisticRegression())
    remover.set_output(transform="pandas")
    pipe.fit(*cancer)
    with pytest.raises(ValueError, match=r"LogisticRegression.*'x0'.*set_output on the whole"):
        prune_pipeline(pipe)


@pytest.mark.parametrize(
    "steps",
    [
        [small_encoder(), StandardScaler(), PassiveVariableRemover()],
        [small_encoder(), LogisticRegression()],
        [StandardScaler(), PassiveVariableRemover()],
        [make_pipeline(small_encoder(), PassiveVariableRemover()), LogisticRegression()],
    ],
    ids=lambda steps: " ".join(type(step).__name__ for step in steps),
)
def test_pipelines_without_the_pair_are_refused(steps):
    found = ", ".join(type(step).__name__ for step in steps)
    with pytest.raises(ValueError, match=f"one VAEEncoder directly.*the steps are: {found}"):
        prune_pipeline(make_pipeline(*steps))


def test_only_pipelines_are_taken(fitted_encoder):
    with pytest.raises(
        TypeError, match="takes a fitted Pipeline, or a search over one, got VAEEncoder"
    ):
        prune_pipeline(fitted_encoder)


def test_of_a_search_the_best_pipeline_is_taken(fitted_pipe):
    pipe, X = fitted_pipe
    search = SimpleNamespace(best_estimator_=pipe)
    np.testing.assert_array_equal(
        prune_pipeline(search).predict(X), prune_pipeline(pipe).predict(X)
    )
    with pytest.raises(TypeError, match="Fit it first, with refit=True"):
        prune_pipeline(GridSearchCV(pipe, {"prune__threshold": [0, 0.1]}))


def test_an_unfitted_pipeline_is_refused():
    with pytest.raises(NotFittedError):
        prune_pipeline(make_pipeline(small_encoder(), PassiveVariableRemover()))


def test_the_summary_says_which_model_its_elbo_is_of(cancer):
    X = cancer[0][:100]
    encoder = small_encoder(warm_start=True).fit(X)
    before = "rows, before other variables were cut out: "
    pruned = encoder.pruned([0, 2])
    assert before in pruned.summary()
    assert before in copy.deepcopy(pruned).pruned([0, 1]).summary()
    for whole in (encoder, encoder.pruned([0, 1, 2, 3])):
        assert before not in whole.summary()
    shown = encoder.set_params(early_stopping=False).pruned([0, 2]).summary()
    assert f"on held-out {before}" in shown  # the parameter acts at the next fit
    encoder.set_params(early_stopping=True)
    # Training that goes on measures the smaller network.
    assert before not in pruned.fit(X).summary()
    assert before not in encoder.pruned([0, 2]).partial_fit(X).summary()


def test_the_summary_says_on_which_rows_it_was_measured(cancer):
    encoder = small_encoder().fit(cancer[0][:100])
    encoder.set_params(early_stopping=False)  # which acts at the next fit
    assert "on held-out rows" in encoder.summary()
    assert "on training rows" in encoder.fit(cancer[0][:100]).summary()
