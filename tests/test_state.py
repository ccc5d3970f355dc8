"""Warm starts, parameters that are set after fit, weights that are read-only."""

import copy
import pickle
import warnings

import dask.array as da
import joblib
import numpy as np
import pytest
from conftest import small_encoder
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.exceptions import FirstBatchWarning
from passive_pruner.vae import MLP, Bernoulli, BetaVAE, FactorVAE, Gaussian

SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(200, 6))


def encoder_of(**params):
    return small_encoder(**{"objective": BetaVAE(0.1), "early_stopping": False, **params})


def continued(encoder, how, X):
    """Go on with training."""
    return encoder.partial_fit(X) if how == "partial_fit" else encoder.fit(X)


def epochs(encoder):
    return [record["epoch"] for record in encoder.history_]


# Warm starts


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "changed",
    [
        {"n_components": 5},
        {"architecture": MLP((16,))},
        {"architecture__activation": "tanh"},
        {"likelihood": "poisson"},
        {"likelihood": Gaussian("shared")},
        {"likelihood__variance": 0.5},
        {"allow_missing": True},
    ],
    ids=str,
)
def test_what_a_network_cannot_follow_is_refused_by_name(changed, how, data):
    encoder = encoder_of(warm_start=True).fit(data)
    before, codes = joblib.hash(vars(encoder)["weights_"]), encoder.transform(data)
    encoder.set_params(**changed)
    (name,) = changed
    with pytest.raises(ValueError, match=rf"^{name.split('__')[0]}=.*fit with warm_start=False"):
        continued(encoder, how, data)
    assert joblib.hash(encoder.weights_) == before
    np.testing.assert_array_equal(encoder.transform(data), codes)
    if how == "fit" and changed != {"likelihood": "poisson"}:
        encoder.set_params(warm_start=False, max_steps=5).fit(data)
        if name == "n_components":
            assert encoder.transform(data).shape[1] == changed[name]


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_equal_components_are_no_change(how, data):
    encoder = encoder_of(warm_start=True, max_steps=20).fit(data)
    encoder.set_params(architecture=MLP([32]), likelihood="gaussian", objective=BetaVAE(0.1))
    assert continued(encoder, how, data).n_steps_ > 20
    auto = encoder_of(warm_start=True, n_components="auto", max_steps=200).fit(data)
    assert continued(auto, how, data).n_components_ == auto.transform(data).shape[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_warm_start_takes_the_new_objective(seed, data):
    encoder = encoder_of(warm_start=True, objective=BetaVAE(0.0), max_steps=300, random_state=seed)
    free = encoder.fit(data).history_[-1]["kl"]
    with pytest.warns(UserWarning, match="carry no information"):
        encoder.set_params(objective__beta=50.0).fit(data)
    assert encoder.objective_.beta == 50
    assert encoder.history_[-1]["kl"] < 0.5 < free


@pytest.mark.parametrize(
    "changed",
    [
        {"objective": BetaVAE(3.0)},
        {"learning_rate": 0.02},
        {"batch_size": 11},
        {"kl_warmup_steps": 140},
        {"random_state": 5},
    ],
    ids=lambda changed: next(iter(changed)),
)
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_what_can_change_takes_effect(changed, how, data):
    encoder = encoder_of(warm_start=True).fit(data)
    other = copy.deepcopy(encoder).set_params(**changed)
    for going_on in (encoder, other):
        continued(going_on, how, data)
    if how == "partial_fit" and "batch_size" in changed:
        assert other.n_steps_ - 100 == -(-200 // 11) != encoder.n_steps_ - 100
    assert np.abs(other.transform(data) - encoder.transform(data)).max() > 1e-3


@pytest.mark.parametrize(("tol", "n_epochs"), [(0.0, 5), (1e6, 3)])
def test_the_tolerance_of_a_warm_start_takes_effect(tol, n_epochs, data):
    params = {"early_stopping": True, "n_iter_no_change": 2, "max_steps": 500}
    encoder = encoder_of(warm_start=True, **params, tol=0.0).fit(data)
    before = encoder.n_iter_
    encoder.set_params(tol=tol, learning_rate=1e-4).fit(data)
    assert encoder.n_iter_ - before <= n_epochs
    assert (encoder.best_epoch_ == before + 1) or tol == 0


def test_epochs_count_on(data):
    encoder = encoder_of(warm_start=True, max_steps=150).fit(data)
    encoder.fit(data)
    for _ in range(3):
        encoder.partial_fit(data)
    encoder = pickle.loads(pickle.dumps(encoder)).partial_fit(data)
    assert epochs(encoder) == list(range(1, 9))
    assert encoder.n_iter_ == 8
    steps = [record["step"] for record in encoder.history_]
    assert steps == [100, 150, 250, 300, 304, 308, 312, 316]
    assert encoder.n_steps_ == 316
    assert encoder.best_epoch_ == 8
    assert epochs(encoder.set_params(warm_start=False).fit(data)) == [1, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_epoch_is_that_of_the_weights(seed):
    X = np.random.default_rng(seed).normal(size=(60, 10))  # noise, which is soon learned by heart
    params = {"early_stopping": True, "n_iter_no_change": 3, "tol": 0.0, "random_state": seed}
    encoder = encoder_of(**params, max_steps=3000, architecture=MLP((64,))).fit(X)
    objective = [record["objective"] for record in encoder.history_]
    assert encoder.best_epoch_ == 1 + int(np.argmin(objective)) < encoder.n_iter_
    until_best = clone(encoder).set_params(max_steps=100 * encoder.best_epoch_).fit(X)
    assert until_best.history_[-1]["objective"] == objective[encoder.best_epoch_ - 1]
    np.testing.assert_array_equal(until_best.transform(X), encoder.transform(X))


# Parameters and weights after fit


def test_allow_missing_acts_with_the_next_fit(data):
    holes = np.where(np.random.default_rng(0).random(data.shape) < 0.2, np.nan, data)
    encoder = encoder_of(allow_missing=False).fit(data)
    expected = encoder.transform(data)
    encoder.set_params(allow_missing=True)
    for use in (encoder.transform, encoder.score, encoder.posterior, encoder.moments):
        with pytest.raises(ValueError, match="NaN"):
            use(holes)
    copied = pickle.loads(pickle.dumps(encoder))
    for same in (encoder, copied, encoder.pruned(range(4))):
        np.testing.assert_allclose(same.transform(data), expected, atol=1e-5)
    assert np.isfinite(encoder.fit(holes).transform(holes)).all()
    encoder.set_params(allow_missing=False)
    assert np.isfinite(encoder.transform(holes)).all()


COPIES = {
    "fit": lambda e: e,
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pruned": lambda e: e.pruned([0, 2]),
    "warm start": lambda e: copy.deepcopy(e).set_params(max_steps=3, warm_start=True),
}


@pytest.mark.parametrize("copied", COPIES)
def test_weights_are_read_only(copied, data):
    encoder = COPIES[copied](encoder_of().fit(data))
    for do in (lambda: None, lambda: encoder.partial_fit(data), lambda: encoder.fit(data)):
        do()
        for value in encoder.weights_.values():
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0


def test_loaded_weights_are_read_only(data, tmp_path):
    encoder = encoder_of().fit(data)
    encoder.save_weights(tmp_path / "weights.safetensors")
    other = encoder_of(max_steps=1, random_state=1).fit(data)
    other.transform(data)
    other.load_weights(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(other.transform(data), encoder.transform(data))
    assert not any(value.flags.writeable for value in other.weights_.values())


def test_an_entry_of_the_weights_that_is_replaced_acts_at_once(data):
    encoder = encoder_of().fit(data)
    before, score = encoder.transform(data), encoder.score(data)
    name = next(name for name in encoder.weights_ if name.endswith("weight"))
    former = encoder.weights_[name]
    encoder.weights_[name] = 1.1 * former
    changed = encoder.transform(data)
    assert np.abs(changed - before).max() > 0.01
    np.testing.assert_array_equal(copy.deepcopy(encoder).transform(data), changed)
    assert encoder.score(data) != score
    encoder.weights_[name] = former
    np.testing.assert_array_equal(encoder.transform(data), before)


# Parameters of components


def test_grids_reach_components_that_are_not_given(data):
    encoder = VAEEncoder().set_params(
        objective__beta=4.0, likelihood__variance=0.5, architecture__activation="tanh"
    )
    assert encoder.objective.equals(BetaVAE(4.0))
    assert encoder.likelihood.equals(Gaussian(0.5))
    assert encoder.architecture.equals(MLP(activation="tanh"))
    assert VAEEncoder().set_params(objective=FactorVAE(), objective__gamma=3.0).objective.gamma == 3
    named = VAEEncoder(likelihood="gaussian").set_params(likelihood__variance="per_feature")
    assert named.likelihood.equals(Gaussian("per_feature"))
    grid = GridSearchCV(
        make_pipeline(VAEEncoder(2, max_steps=150, random_state=0)),
        {
            "vaeencoder__objective__beta": [0.5, 200.0],
            "vaeencoder__likelihood__variance": ["per_feature"],
            "vaeencoder__architecture__hidden_layer_sizes": [(8,)],
        },
        cv=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        grid.fit(data)
    assert grid.best_params_["vaeencoder__objective__beta"] == 0.5


@pytest.mark.parametrize(
    "params",
    [
        {"objective__betta": 4.0},
        {"n_components": 3, "objective__beta": 4.0, "likelihood__nope": 1},
        {"objective__beta": 4.0, "objective__betta": 4.0},
        {"architecture": MLP((4,)), "architecture__nope": 1},
        {"likelihood": "gausian", "likelihood__variance": 1.0},
        {"device": "cpu", "nope": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("given", [True, False])
def test_an_unknown_name_leaves_everything_as_it_was(params, given):
    components = {"objective": BetaVAE(2.0), "likelihood": Bernoulli(), "architecture": MLP()}
    encoder = VAEEncoder(**components if given else {}, device="auto")
    before = encoder.get_params()
    with pytest.raises(ValueError, match=r"nope|betta|gausian"):
        encoder.set_params(**params)
    assert encoder.get_params() == before


def test_a_lazy_result_is_of_the_estimator_as_it_was(cancer):
    X, _ = cancer
    lazy_X = da.from_array(X, chunks=(200, -1))
    encoder = small_encoder().fit(X)
    lazy, expected = encoder.transform(lazy_X), encoder.transform(X)
    encoder.set_params(random_state=1, output="sampled", add_variance=True).fit(X)
    np.testing.assert_allclose(lazy.compute(), expected, atol=1e-5)
    remover = PassiveVariableRemover().fit(expected)
    lazy = remover.transform(da.from_array(expected, chunks=(200, -1)))
    kept = remover.transform(expected)
    remover.set_params(threshold=0.5 * expected.var(axis=0).max()).fit(expected)
    np.testing.assert_array_equal(lazy.compute(), kept)


def test_a_file_of_weights_says_what_is_subtracted_from_the_data(tmp_path):
    rng = np.random.default_rng(0)
    X = np.column_stack([1.7e9 + rng.uniform(0, 86_400, 300), rng.standard_normal((300, 2))])
    encoder = small_encoder(n_components=2).fit(X)
    encoder.save_weights(tmp_path / "w.safetensors")
    other = small_encoder(n_components=2, max_steps=1).fit(np.add(X, [30 * 86_400, 0, 0]))
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other.transform(X), encoder.transform(X))
    assert other.score(X) == encoder.score(X)


@pytest.mark.parametrize("go_on", ["partial_fit", "warm_start"])
@pytest.mark.parametrize(
    ("first", "message"),
    [
        (lambda X: X[:1] + 1e-3 * X[:64], "columns are far from the rows"),
        (lambda X: X + 1e4, "columns are far from the rows"),
        (lambda X: 1e3 * X, "No column varies by more than"),
    ],
)
def test_rows_that_are_far_from_the_first_are_named(first, message, go_on, cancer):
    X, _ = cancer
    encoder = small_encoder(max_steps=20, warm_start=True).partial_fit(first(X))
    with pytest.warns(FirstBatchWarning, match=message):
        encoder.partial_fit(X) if go_on == "partial_fit" else encoder.fit(X)


def test_encoders_of_one_seed_share_no_noise(cancer):
    X, _ = cancer
    params = {"output": "sampled", "objective": BetaVAE(1e4), "random_state": 0}
    likelihoods = (Gaussian("shared"), Gaussian("per_feature"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both collapse, as they should here
        draws = [small_encoder(likelihood=one, **params).fit_transform(X) for one in likelihoods]
    correlation = np.corrcoef(np.hstack(draws).T)[:4, 4:]
    assert np.abs(correlation).max() < 5 / np.sqrt(len(X))


@pytest.mark.parametrize("output", ["means", None])
def test_an_output_set_after_fit_is_checked(output, cancer):
    X, _ = cancer
    with pytest.raises(ValueError, match=f"output must be .* got {output!r}"):
        small_encoder().fit(X).set_params(output=output).transform(X)


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
@pytest.mark.parametrize("inits", [("auto", "random"), ("random", "factor_analysis")])
def test_the_start_may_change_once_it_is_past(inits, how, data):
    first, then = inits
    encoder = encoder_of(warm_start=True, init=first, architecture=None, max_steps=50).fit(data)
    continued(encoder.set_params(init=then), how, data)
    assert encoder.n_steps_ > 50
