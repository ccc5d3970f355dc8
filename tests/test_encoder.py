"""VAEEncoder: what it returns, how it fails, what its state holds."""

import copy
import os
import pickle
import signal
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import small_encoder
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from passive_pruner import Posterior, VAEEncoder
from passive_pruner.exceptions import CollapseWarning, DivergenceWarning
from passive_pruner.vae import MLP, BetaVAE, Gaussian


def test_transform_returns_the_posterior_mean(fitted_encoder, cancer):
    X, _ = cancer
    posterior = fitted_encoder.posterior(X)
    assert isinstance(posterior, Posterior)
    codes = fitted_encoder.transform(X)
    assert codes.dtype == posterior.mean.dtype == posterior.variance.dtype == np.float32
    np.testing.assert_array_equal(codes, np.hstack(posterior))


def test_posterior_is_the_one_of_the_network_in_weights(fitted_encoder, cancer):
    # Recomputed in numpy from the fitted arrays alone.
    X, _ = cancer
    w = fitted_encoder.weights_
    X = (X - w["likelihood.location"]) / w["likelihood.scale"]
    hidden = np.maximum(X @ w["encoder.0.weight"].T + w["encoder.0.bias"], 0)
    head = hidden @ w["encoder.2.weight"].T + w["encoder.2.bias"]
    mean, variance = fitted_encoder.posterior(cancer[0])
    np.testing.assert_allclose(mean, head[:, :8], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(variance, np.exp(head[:, 8:]), rtol=1e-3)


def test_sampled_codes_have_the_moments_of_the_posterior(fitted_encoder, cancer):
    X, _ = cancer
    sampler = clone(fitted_encoder).set_params(output="sampled", add_variance=False)
    sampler.__dict__.update({k: v for k, v in vars(fitted_encoder).items() if k.endswith("_")})
    mean, variance = fitted_encoder.posterior(X)
    draws = np.stack([sampler.set_params(random_state=seed).transform(X) for seed in range(200)])
    standardised = (draws - mean) / np.sqrt(variance)
    n = standardised[:, :, 0].size
    assert np.abs(standardised.mean(axis=(0, 1))).max() < 5 / np.sqrt(n)
    assert np.abs(standardised.var(axis=(0, 1)) - 1).max() < 5 * np.sqrt(2 / n)


def test_reconstruction_improves_on_the_column_means(fitted_encoder, cancer):
    X, _ = cancer
    error = np.mean((fitted_encoder.inverse_transform(fitted_encoder.transform(X)) - X) ** 2)
    assert error < 0.3 * X.var(axis=0).mean()


def test_inverse_transform_ignores_the_variance_columns(fitted_encoder, cancer):
    X, _ = cancer
    Z = fitted_encoder.transform(X[:20])
    np.testing.assert_array_equal(
        fitted_encoder.inverse_transform(Z), fitted_encoder.inverse_transform(Z[:, :8])
    )
    with pytest.raises(ValueError, match=r"Z has 7 columns.*codes of 8 columns"):
        fitted_encoder.inverse_transform(Z[:, :7])


def test_samples_resemble_the_data(fitted_encoder, cancer):
    X, _ = cancer
    drawn = fitted_encoder.sample(2000)
    assert drawn.shape == (2000, X.shape[1])
    assert np.abs(drawn.mean(axis=0) - X.mean(axis=0)).max() < 0.5
    assert 0.6 < drawn.var(axis=0).mean() / X.var(axis=0).mean() < 1.6


def test_elbo_bounds_the_log_likelihood_of_a_linear_model():
    # With a linear decoder and a fixed noise variance the log-likelihood of the data is that of
    # a Gaussian with covariance W W' + s I, known in closed form, and the ELBO lies below it;
    # with a linear encoder the exact posterior is within reach, so it lies close below it.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 2)) @ rng.standard_normal((2, 5))
    X = (X + 0.5 * rng.standard_normal(X.shape)).astype(np.float32)
    encoder = VAEEncoder(
        2,
        architecture=MLP(()),
        likelihood=Gaussian(0.25),
        max_steps=3000,
        early_stopping=False,
        learning_rate=5e-3,
        random_state=0,
    ).fit(X)
    w = encoder.weights_
    scale = w["likelihood.scale"]
    weight = scale[:, None] * w["decoder.0.weight"]
    centred = X - w["likelihood.location"] - scale * w["decoder.0.bias"]
    covariance = weight @ weight.T + 0.25 * np.eye(5)
    log_likelihood = -0.5 * (
        np.einsum("ij,ij->i", centred @ np.linalg.inv(covariance), centred)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    gap = log_likelihood.mean() - encoder.score(X)
    assert 0 < gap < 0.05


def test_scores_do_not_depend_on_the_other_rows(fitted_encoder, cancer):
    X, _ = cancer
    scores = fitted_encoder.score_samples(X)
    assert scores.shape == (len(X),)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(fitted_encoder.score_samples(X[5:6]), scores[5:6], rtol=1e-5)
    np.testing.assert_allclose(fitted_encoder.score(X), scores.mean())


def test_grid_search_tunes_the_encoder_by_its_elbo(cancer):
    X, _ = cancer
    grid = GridSearchCV(
        small_encoder(objective=BetaVAE(), max_steps=300),
        {"objective__beta": [1.0, 5.0]},
        cv=2,
    )
    assert grid.fit(X).best_params_ == {"objective__beta": 1.0}


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["vaeencoder0", "vaeencoder1"]),
        ({"output": "sampled"}, ["vaeencoder0_sampled", "vaeencoder1_sampled"]),
        (
            {"add_variance": True},
            ["vaeencoder0", "vaeencoder1", "vaeencoder0_variance", "vaeencoder1_variance"],
        ),
    ],
)
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_output_names_and_frames(cancer, params, names, frame):
    X, _ = cancer
    library = "pandas" if frame is pd.DataFrame else "polars"
    encoder = small_encoder(n_components=2, **params).set_output(transform=library)
    columns = [f"x{j}" for j in range(X.shape[1])]
    out = encoder.fit_transform(frame(dict(zip(columns, X.T, strict=True))))
    assert isinstance(out, frame)
    assert list(out.columns) == names == list(encoder.get_feature_names_out())


def test_frames_and_arrays_give_the_same_codes(cancer):
    X, _ = cancer
    columns = [f"x{j}" for j in range(X.shape[1])]
    data = dict(zip(columns, X.T, strict=True))
    expected = small_encoder().fit_transform(X)
    for frame in (pd.DataFrame(data), pl.DataFrame(data)):
        np.testing.assert_array_equal(small_encoder().fit_transform(frame), expected)


# Reproducibility and state


def test_random_state_decides_everything(cancer, global_generators):
    X, _ = cancer
    first, again, other = (
        small_encoder(output="sampled", random_state=seed).fit(X) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    np.testing.assert_array_equal(first.sample(3), again.sample(3))
    assert np.abs(first.transform(X) - other.transform(X)).max() > 0.1


def test_no_random_state_leaves_the_global_generators_alone(cancer, global_generators):
    X, _ = cancer
    encoder = small_encoder(random_state=None, output="sampled").fit(X)
    assert np.any(encoder.transform(X) != encoder.transform(X))
    encoder.sample(2)


@pytest.fixture
def global_generators():
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    yield
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))],
    ids=["deepcopy", "pickle"],
)
def test_copies_encode_alike(fitted_encoder, cancer, copied):
    X, _ = cancer
    np.testing.assert_array_equal(copied(fitted_encoder).transform(X), fitted_encoder.transform(X))


def encode_from_file(folder):
    with warnings.catch_warnings(action="error"):
        for mode in (None, "r"):
            encoder = joblib.load(folder / "encoder.joblib", mmap_mode=mode)
            np.save(folder / f"codes_{mode}.npy", encoder.transform(np.load(folder / "X.npy")))


def test_joblib_file_encodes_alike_in_a_new_process(fitted_encoder, cancer, processes, tmp_path):
    X, _ = cancer
    joblib.dump(fitted_encoder, tmp_path / "encoder.joblib")
    np.save(tmp_path / "X.npy", X)
    process = processes.Process(target=encode_from_file, args=(tmp_path,))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    for mode in (None, "r"):
        np.testing.assert_array_equal(
            np.load(tmp_path / f"codes_{mode}.npy"), fitted_encoder.transform(X)
        )


def test_state_holds_plain_data_and_using_the_model_does_not_change_it(cancer):
    X, _ = cancer
    encoder = small_encoder().fit(X)
    before = joblib.hash(encoder)
    encoder.transform(X)
    encoder.score(X)
    assert joblib.hash(encoder) == before
    assert b"torch" not in pickle.dumps(encoder.weights_)
    assert b"skorch" not in pickle.dumps(encoder)
    # The training data is not in there either: 569 rows of 30 floats would be 68 kB.
    n_weights = sum(value.nbytes for value in encoder.weights_.values())
    assert len(pickle.dumps(encoder)) < n_weights + 16_384


def test_a_model_of_a_missing_device_is_used_on_the_cpu(fitted_encoder, cancer):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    X, _ = cancer
    moved = copy.deepcopy(fitted_encoder).set_params(device="cuda")
    np.testing.assert_array_equal(moved.transform(X), fitted_encoder.transform(X))
    with pytest.raises(ValueError, match=r"device='cuda' is not available.*'auto'"):
        moved.fit(X)


# Training


def test_history_has_one_record_per_epoch(cancer):
    X, _ = cancer
    encoder = small_encoder(max_steps=250, early_stopping=False).fit(X)
    assert [record["step"] for record in encoder.history_] == [100, 200, 250]
    assert encoder.n_iter_ == 3
    assert encoder.n_steps_ == 250
    for record in encoder.history_:
        np.testing.assert_allclose(record["elbo"], -record["reconstruction"] - record["kl"])
        assert record["n_active"] == np.sum(record["variance_of_mean"] > 0.1)
    assert encoder.history_[-1]["elbo"] > encoder.history_[0]["elbo"]


def test_early_stopping_restores_the_best_weights():
    # On noise, more training only overfits: the objective on held-out rows soon gets worse.
    X = np.random.default_rng(0).standard_normal((60, 20)).astype(np.float32)
    params = {
        "objective": BetaVAE(0.01),
        "architecture": MLP((64, 64)),
        "max_steps": 5000,
        "validation_fraction": 0.3,
        "tol": 0.0,
        "n_iter_no_change": 5,
    }
    encoder = small_encoder(**params).fit(X)
    objective = [record["objective"] for record in encoder.history_]
    best = int(np.argmin(objective))
    assert len(objective) == best + 1 + 5 < 50
    until_best = small_encoder(**{**params, "max_steps": 100 * (best + 1)}).fit(X)
    for name, value in until_best.weights_.items():
        np.testing.assert_array_equal(encoder.weights_[name], value)


@pytest.mark.parametrize("n_rows", [2, 3, 65])
def test_fewer_rows_than_a_batch_and_a_remainder_of_one_train(n_rows):
    X = np.random.default_rng(0).standard_normal((n_rows, 3))
    encoder = small_encoder(batch_size=64, objective=BetaVAE(0.01)).fit(X)
    assert encoder.n_steps_ == 100
    assert np.isfinite(encoder.transform(X)).all()


def test_the_budget_counts_steps_whatever_the_number_of_rows(cancer):
    X, _ = cancer
    for data in (X[:40], X):
        encoder = small_encoder(max_steps=130, early_stopping=False).fit(data)
        assert encoder.n_steps_ == 130


def test_warm_start_continues(cancer):
    X, _ = cancer
    encoder = small_encoder(warm_start=True, early_stopping=False).fit(X)
    after_one = encoder.history_[-1]["elbo"]
    encoder.fit(X)
    assert encoder.n_steps_ == 200
    assert len(encoder.history_) == 2
    assert encoder.history_[-1]["elbo"] > after_one
    with pytest.raises(ValueError, match="X has 5 features, but VAEEncoder is expecting 30"):
        encoder.fit(X[:, :5])


def test_partial_fit_takes_one_pass_and_learns(cancer):
    X, _ = cancer
    encoder = small_encoder(batch_size=64)
    for _ in range(30):
        encoder.partial_fit(X)
    assert encoder.n_steps_ == 30 * 9
    assert encoder.history_[-1]["elbo"] > encoder.history_[0]["elbo"]


def test_a_failing_partial_fit_leaves_the_model_as_it_was(cancer):
    X, _ = cancer
    encoder = small_encoder().fit(X)
    codes, before = encoder.transform(X), joblib.hash(encoder)
    encoder.set_params(learning_rate=1e30)
    with pytest.raises(ValueError, match="non-finite objective"):
        encoder.partial_fit(X)
    encoder.set_params(learning_rate=5e-3)
    assert joblib.hash(encoder) == before
    np.testing.assert_array_equal(encoder.transform(X), codes)


def test_divergence_at_the_start_is_an_error_and_leaves_nothing(cancer):
    X, _ = cancer
    encoder = small_encoder(learning_rate=1e30)
    with pytest.raises(ValueError, match=r"non-finite.*StandardScaler.*learning_rate"):
        encoder.fit(X)
    with pytest.raises(NotFittedError):
        encoder.transform(X)
    assert not hasattr(encoder, "n_features_in_")


class _DivergesAfter(BetaVAE):
    """Becomes NaN after 250 steps."""

    def regularizer(self, codes, *, step=0):
        kl = super().regularizer(codes)
        return kl * (float("nan") if 250 <= step < 1000 else 1.0)


def test_divergence_later_keeps_the_last_finite_weights(cancer):
    X, _ = cancer
    params = {"objective": _DivergesAfter(), "early_stopping": False}
    with pytest.warns(DivergenceWarning, match="kept step 200.*learning_rate"):
        diverged = small_encoder(max_steps=1000, **params).fit(X)
    assert diverged.n_steps_ == 200
    assert np.isfinite(diverged.transform(X)).all()
    stopped_before = small_encoder(max_steps=200, early_stopping=False).fit(X)
    np.testing.assert_allclose(diverged.transform(X), stopped_before.transform(X), atol=1e-4)


def test_collapse_is_reported():
    X = np.random.default_rng(0).standard_normal((300, 4))
    with pytest.warns(CollapseWarning, match="All 4 latent variables are passive.*StandardScaler"):
        small_encoder(objective=BetaVAE(1000.0), max_steps=500).fit(X)


class Interrupting(BetaVAE):
    def regularizer(self, codes, *, step=0):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().regularizer(codes)


def fit_with_interrupt(step, result):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Interrupting.at = step
    X = np.random.default_rng(0).standard_normal((200, 5))
    encoder = small_encoder(n_components=2, objective=Interrupting(0.01), max_steps=1000)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoder.fit(X)
    except KeyboardInterrupt:
        found = "raised", hasattr(encoder, "weights_")
    else:
        codes = encoder.transform(X)
        found = caught[0].category.__name__, len(encoder.history_), codes.shape
    result.write_text(repr(found))


@pytest.mark.parametrize(
    ("step", "found"),
    [(50, ("raised", False)), (350, ("TrainingInterruptedWarning", 3, (200, 2)))],
)
def test_ctrl_c_leaves_a_usable_model_after_one_epoch(step, found, processes, tmp_path):
    process = processes.Process(target=fit_with_interrupt, args=(step, tmp_path / "found"))
    process.start()
    process.join(300)
    assert (tmp_path / "found").read_text() == repr(found)


def test_nothing_is_printed_unless_asked_for(cancer, capsys):
    X, _ = cancer
    small_encoder().fit(X)
    assert capsys.readouterr() == ("", "")


# Bad input


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0, np.nan], [2.0, 3.0]]), "Input X contains NaN"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "infinity or a value too large"),
        (np.array([[1.0, 1e300], [2.0, 3.0]]), r"beyond the range of float32"),
        (np.array([["a", "b"], ["c", "d"]]), "such as .*'a'.*ColumnTransformer"),
        (
            pd.DataFrame({"x": [1.0, 2.0], "t": pd.to_datetime(["2020-01-01", "2021-01-01"])}),
            "columns of type datetime64.*ColumnTransformer",
        ),
        (np.array([["2020", "2021"]] * 2, dtype="datetime64[D]"), "columns of type datetime64"),
        (np.ones((3, 2), dtype=complex), "Complex data not supported"),
        (np.ones(5), "Reshape your data"),
        (np.ones((0, 3)), r"0 sample\(s\)"),
        (np.ones((1, 3)), r"1 sample\(s\).*minimum of 2"),
        (np.ones((5, 4, 4, 1)), "dim 4"),
    ],
)
def test_bad_input_is_a_clear_error_and_leaves_nothing(X, message):
    encoder = small_encoder()
    with pytest.raises(ValueError, match=message):
        encoder.fit(X)
    assert not [name for name in vars(encoder) if name.endswith("_")]


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"x": [1.0, 2.0], "c": ["red", "blue"]}),
        pl.DataFrame({"x": [1.0, 2.0], "c": ["red", "blue"]}),
        pd.DataFrame({"c": pd.Categorical(["red", "blue"])}),
    ],
)
def test_categories_are_refused_where_one_likelihood_describes_all_columns(X):
    with pytest.raises(ValueError, match=r"such as 'red'.*likelihood='auto'.*TableVectorizer"):
        small_encoder(likelihood="gaussian").fit(X)


def test_wrong_columns_at_transform(cancer):
    X, _ = cancer
    with pytest.raises(ValueError, match="X has 29 features, but VAEEncoder is expecting 30"):
        small_encoder().fit(X).transform(X[:, :29])
    encoder = small_encoder().fit(pd.DataFrame(X, columns=[f"x{j}" for j in range(30)]))
    renamed = pd.DataFrame(X, columns=[f"y{j}" for j in range(30)])
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(renamed)


def test_bernoulli_refuses_data_outside_the_unit_interval(cancer):
    X, _ = cancer
    with pytest.raises(ValueError, match=r"values in \[0, 1\], but X has.*MinMaxScaler"):
        small_encoder(likelihood="bernoulli").fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": 0}, "'n_components' parameter"),
        ({"output": "median"}, "'output' parameter"),
        ({"likelihood": "cauchy"}, "'likelihood' parameter"),
        ({"objective": BetaVAE(beta=-1.0)}, "'beta' parameter"),
        ({"likelihood": Gaussian(variance=0.0)}, "'variance' parameter"),
        ({"architecture": MLP(activation="sine")}, "'activation' parameter"),
        ({"architecture": MLP((16, 0))}, "'hidden_layer_sizes' parameter"),
        ({"device": "abacus"}, "device='abacus' is not available"),
    ],
)
def test_bad_parameters_are_named(cancer, params, message):
    X, _ = cancer
    with pytest.raises(ValueError, match=message):
        small_encoder(**params).fit(X)


def test_a_constant_column_does_not_break_training():
    X = np.random.default_rng(0).standard_normal((200, 4))
    X[:, 2] = 3.0
    for variance in ("shared", "per_feature"):
        encoder = small_encoder(likelihood=Gaussian(variance), objective=BetaVAE(0.1)).fit(X)
        assert np.isfinite(encoder.score(X))


def test_units_of_the_data_do_not_matter(cancer):
    X, _ = cancer
    factor = np.float32(2.0**12)  # exact in floating point
    encoder, scaled = small_encoder().fit(X), small_encoder().fit(X * factor)
    np.testing.assert_allclose(scaled.transform(X * factor), encoder.transform(X), atol=1e-4)
    # At the same points: those of a score are a function of the row, units included.
    noise = torch.randn(4, len(X), 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        elbo = encoder.to_torch().elbo(torch.from_numpy(X), noise).mean().item()
        elbo_scaled = scaled.to_torch().elbo(torch.from_numpy(X * factor), noise).mean().item()
    np.testing.assert_allclose(elbo_scaled, elbo - 30 * np.log(factor), atol=1e-2)


def test_unscaled_columns_train():
    # Sizes of tumour cells in their original units, from 0.001 to 4254.
    X = load_breast_cancer().data
    encoder = small_encoder(max_steps=500).fit(X)
    residual = encoder.inverse_transform(encoder.transform(X)) - X
    assert np.mean(residual**2) < 0.1 * X.var(axis=0).mean()
