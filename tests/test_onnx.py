"""One graph for the whole pipeline gives what scikit-learn gives."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
import torch
from conftest import save_torchscript, small_encoder
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import passive_pruner.onnx  # noqa: F401
from passive_pruner import PassiveVariableRemover, PretrainedEncoder, prune_pipeline
from passive_pruner.vae import MLP, Conv, FromFactory, Gaussian, Mixed
from passive_pruner.vae._architectures import ACTIVATIONS
from passive_pruner.vae._likelihoods import LIKELIHOODS


@pytest.fixture(autouse=True)
def _little_training():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All . latent variables are passive")
        yield


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X, y % 2


def pipeline(encoder, *, before=(), threshold=0, **params):
    criterion = "variance" if encoder.add_variance else "active_units"
    remover = PassiveVariableRemover(threshold=threshold, criterion=criterion)
    return make_pipeline(*before, encoder, remover, LogisticRegression(max_iter=200))


def session(model, X, **options):
    graph = skl2onnx.to_onnx(model, X[:1], **options)
    onnx.checker.check_model(graph, full_check=True)
    return onnxruntime.InferenceSession(graph.SerializeToString())


def assert_equal_to_sklearn(pipe, X, feeds=None, **options):
    run = session(pipe, X, options={"zipmap": False}, **options)
    feeds = {"X": X} if feeds is None else feeds
    labels, probabilities = run.run(None, feeds)
    expected = pipe.predict_proba(X)
    assert_allclose(probabilities, expected, atol=1e-5)
    tie = np.ptp(np.sort(expected)[:, -2:], axis=1) < 2e-5
    assert_array_equal(labels[~tie], pipe.predict(X)[~tie])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("add_variance", [False, True])
def test_ten_thousand_rows(dtype, add_variance, cancer):
    X, y = (30 * cancer[0] + 7).astype(dtype), cancer[1]
    encoder = small_encoder(n_components=8, max_steps=300, add_variance=add_variance)
    pipe = pipeline(encoder, before=[StandardScaler()], threshold=0.1).fit(X, y)
    rng = np.random.default_rng(0)
    many = X[rng.integers(len(X), size=10_000)] * rng.lognormal(0, 0.1, (10_000, 30))
    assert_equal_to_sklearn(pipe, many.astype(dtype))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, cancer):
    X, y = cancer
    encoder = small_encoder(architecture=MLP((16, 8), activation=activation))
    assert_equal_to_sklearn(pipeline(encoder).fit(X, y), X)


@pytest.mark.parametrize("hidden", [(), [8]])
def test_sizes_of_an_mlp(hidden, cancer):
    X, y = cancer
    pipe = pipeline(small_encoder(architecture=MLP(hidden))).fit(X, y)
    assert_equal_to_sklearn(pipe, X, target_opset=12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("allow_missing", [False, True])
def test_likelihoods(likelihood, allow_missing, digits):
    X, y = digits
    if "bernoulli" in likelihood:
        X = X / 16
    if likelihood == "categorical":
        X = np.eye(3)[X[:, 20].astype(int) % 3]
    if allow_missing:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    encoder = small_encoder(likelihood=likelihood, allow_missing=allow_missing, add_variance=True)
    assert_equal_to_sklearn(pipeline(encoder).fit(X, y), X)


@pytest.mark.parametrize("allow_missing", [False, True])
def test_columns_of_a_dataframe_through_a_column_transformer(allow_missing):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.normal(40, 9, 500),
            "kind": rng.choice(["a", "b", "c"], 500),
            "visits": rng.poisson(3.0, 500).astype(float),
            "calls": rng.poisson(9.0, 500).astype(float),
        }
    )
    y = (X["age"] + X["visits"] > 43).to_numpy().astype(int)
    columns = ColumnTransformer(
        [
            ("real", StandardScaler(), ["age"]),
            ("category", OneHotEncoder(sparse_output=False), ["kind"]),
            ("count", "passthrough", ["visits", "calls"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    likelihood = Mixed(
        [
            (Gaussian("per_feature"), ["age"]),
            ("poisson", ["calls", "visits"]),
            ("categorical", ["kind_a", "kind_b", "kind_c"]),
        ]
    )
    encoder = small_encoder(likelihood=likelihood, allow_missing=allow_missing)
    pipe = pipeline(encoder, before=[columns]).fit(X, y)
    assert_equal_to_sklearn(pipe, X, {name: X[[name]].to_numpy() for name in X})


def test_a_dataframe_of_numbers_without_a_column_transformer(cancer):
    X = pd.DataFrame(cancer[0][:, :5], columns=list("abcde"))
    X["c"] = (2 * X["c"]).round().astype("int64")
    pipe = pipeline(small_encoder(), threshold=0.01).fit(X, cancer[1])
    assert_equal_to_sklearn(pipe, X, {name: X[[name]].to_numpy() for name in X})
    codes = pd.DataFrame(pipe[0].transform(X), columns=pipe[0].get_feature_names_out())
    (kept,) = session(pipe[1], codes).run(None, {c: codes[[c]].to_numpy() for c in codes})
    assert_array_equal(kept, pipe[1].transform(codes.to_numpy()))


def test_whole_numbers(digits):
    X, y = digits[0].astype(np.int64), digits[1]
    assert_equal_to_sklearn(pipeline(small_encoder(likelihood="poisson")).fit(X, y), X)


def test_a_pruned_pipeline(cancer):
    X, y = cancer
    pipe = pipeline(small_encoder(n_components=8, max_steps=500), threshold=0.1).fit(X, y)
    assert not pipe[1].get_support().all()
    assert_equal_to_sklearn(prune_pipeline(pipe), X)


@pytest.mark.parametrize("output", ["codes", "kept"])
def test_the_dtype_of_codes_follows_the_input(output, fitted_encoder, cancer):
    model, X = fitted_encoder, cancer[0].astype(np.float64)
    if output == "kept":
        X = fitted_encoder.transform(X).astype(np.float64)
        model = PassiveVariableRemover(criterion="variance").fit(X)
    (columns,) = session(model, X).run(None, {"X": X})
    assert columns.dtype == np.float64
    assert_allclose(columns, model.transform(X), atol=1e-5)


@pytest.mark.parametrize("add_variance", [False, True])
def test_linear_paths(cancer, add_variance):
    X, _ = cancer
    architecture = MLP((16, 8), "tanh", linear_path=True)
    encoder = small_encoder(architecture=architecture, add_variance=add_variance).fit(X)
    (columns,) = session(encoder, X).run(None, {"X": X})
    assert_allclose(columns, encoder.transform(X), atol=1e-5)


@pytest.mark.parametrize("add_variance", [False, True])
def test_unwhitened_codes(cancer, add_variance):
    X = cancer[0]
    encoder = small_encoder(whiten=False, add_variance=add_variance).fit(X)
    (columns,) = session(encoder, X).run(None, {"X": X})
    assert_allclose(columns, encoder.transform(X), atol=1e-4)
    if not add_variance:
        pipe = make_pipeline(encoder, PassiveVariableRemover(criterion="explained_variance"))
        (columns,) = session(pipe.fit(X), X).run(None, {"X": X})
        assert_allclose(columns, pipe.transform(X), atol=1e-4)


def test_an_mlp_is_written_from_its_weights(fitted_encoder, cancer, monkeypatch):
    monkeypatch.delattr(torch.onnx, "export")
    session(fitted_encoder, cancer[0])


def test_images_through_convolutions(digits):
    images = (digits[0] * 15.9).astype(np.uint8).reshape(-1, 8, 8)
    architecture = Conv((8, 8, 1), channels=(4, 8), hidden_size=16)
    pipe = pipeline(small_encoder(architecture=architecture)).fit(images, digits[1])
    assert_equal_to_sklearn(pipe, images)
    with pytest.raises(ValueError, match="operator set 18 or later, but target_opset is 15"):
        session(pipe, images, target_opset=15)


def test_the_units_of_images_are_those_of_fit(digits):
    """Bytes are scaled if and only if the encoder was fitted on bytes, in both worlds."""
    images = (digits[0][:300] * 15.9).astype(np.uint8).reshape(-1, 8, 8)
    floats = images.astype(np.float32)
    architecture = Conv((8, 8, 1), channels=(4,), hidden_size=8)
    encoder = small_encoder(architecture=architecture, max_steps=50)

    encoder.fit(images)
    for X in (images, floats / 255):
        (codes,) = session(encoder, X).run(None, {"X": X})
        assert_allclose(codes, encoder.transform(images), atol=1e-5)

    encoder.fit(floats)
    (codes,) = session(encoder, floats).run(None, {"X": floats})
    assert_allclose(codes, encoder.transform(floats), atol=1e-4)
    for use in (encoder.transform, lambda X: session(encoder, X)):
        with pytest.raises(ValueError, match=r"bytes \(uint8\).*fitted on .*floats"):
            use(images)

    table = images.reshape(len(images), -1)
    encoder = small_encoder().fit(table)
    (codes,) = session(encoder, table).run(None, {"X": table})
    assert_allclose(codes, encoder.transform(table), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_large_offsets_keep_their_digits(dtype, cancer):
    X = (1e9 + 100 * cancer[0][:, :6]).round().astype(dtype)
    encoder = small_encoder().fit(X)
    (codes,) = session(encoder, X).run(None, {"X": X})
    assert_allclose(codes, encoder.transform(X), atol=1e-5)
    assert np.ptp(codes, axis=0).max() > 0.01


@pytest.mark.parametrize("width", [1, 3, 31])
def test_inputs_of_another_width_are_refused(width, fitted_encoder, cancer):
    X = np.resize(cancer[0], (9, width))
    codes = fitted_encoder.transform(cancer[0])
    remover = PassiveVariableRemover(criterion="variance").fit(codes)
    pretrained = PretrainedEncoder(second_output="variance").fit(codes)
    for model in (fitted_encoder, remover, pretrained, make_pipeline(fitted_encoder, remover)):
        with pytest.raises(ValueError, match=rf"have {width} columns, but it was fitted on"):
            session(model, X)
    frame = pd.DataFrame(X).add_prefix("x")
    with pytest.raises(ValueError, match=rf"have {width} columns, but it was fitted on 30"):
        session(fitted_encoder, frame)


def test_text_is_refused(fitted_encoder):
    for X in (np.array([["a"] * 30]), pd.DataFrame({"kind": ["a"]})):
        with pytest.raises(ValueError, match=r"takes numbers, but the ONNX input '\w+' is text"):
            session(fitted_encoder, X)


def batch_normalised(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(
        nn.Linear(n_inputs, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 2 * n_components)
    )
    return encoder, nn.Linear(n_components, n_outputs)


class Halved(Gaussian):
    """A likelihood that the converters do not know."""

    def build(self, X, *, allow_missing=False):
        module = super().build(X, allow_missing=allow_missing)
        module.scale *= 2
        return module


def test_own_networks_and_likelihoods_with_missing_cells(cancer):
    X, y = cancer
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    encoder = small_encoder(
        architecture=FromFactory(batch_normalised),
        likelihood=Halved(),
        allow_missing=True,
        add_variance=True,
    )
    assert_equal_to_sklearn(pipeline(encoder).fit(X, y), X)


class Theirs(nn.Module):
    """A model that was trained elsewhere, on small images."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Dropout(), nn.ReLU())
        self.head = nn.Linear(36, 6)

    def forward(self, x):
        mean, log_variance = self.head(self.body(x)).chunk(2, dim=1)
        return {"mu": mean, "logvar": log_variance - 1, "input": x}


@pytest.mark.parametrize(
    "mode",
    [
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.device("meta"),
        torch.inference_mode,
    ],
    ids=["autocast", "default device", "inference mode"],
)
def test_modes_of_torch_are_not_written_into_the_graph(mode, cancer):
    X = cancer[0]
    encoder = PretrainedEncoder(nn.Linear(30, 6)).fit(X)
    with mode():
        (codes,) = session(encoder, X).run(None, {"X": X})
    assert_allclose(codes, encoder.transform(X), atol=1e-5)


def test_a_pretrained_torch_module(cancer):
    X, y = cancer[0].reshape(-1, 1, 5, 6), cancer[1]
    module = Theirs()
    encoder = PretrainedEncoder(module, outputs=("mu", "logvar"), add_variance=True)
    assert_equal_to_sklearn(pipeline(encoder).fit(X, y), X)
    assert module.training
    assert module.body.training


def test_a_graph_has_the_weights_that_fit_saw(cancer):
    X = cancer[0]
    module = nn.Linear(30, 6)
    encoder = PretrainedEncoder(module).fit(X)
    with torch.no_grad():
        module.weight.mul_(2)
    (codes,) = session(encoder, X).run(None, {"X": X})
    assert_allclose(codes, encoder.transform(X), atol=1e-5)


@pytest.fixture
def their_file(fitted_encoder, cancer, tmp_path):
    path = tmp_path / "theirs.onnx"
    onnx.save(skl2onnx.to_onnx(fitted_encoder, cancer[0][:1], target_opset=17), path)
    return path


def test_pretrained_onnx_files_twice_in_one_graph(their_file, fitted_encoder, cancer):
    X, y = cancer
    encoders = [
        PretrainedEncoder(their_file, second_output="variance", add_variance=True),
        PretrainedEncoder(their_file, second_output="variance"),
    ]
    pipe = make_pipeline(make_union(*encoders), LogisticRegression()).fit(X, y)
    assert_equal_to_sklearn(pipe, X)
    (codes,) = session(pipe[0], X).run(None, {"X": X})
    assert_allclose(codes[:, :16], fitted_encoder.transform(X), atol=1e-5)


def test_precomputed_posteriors(fitted_encoder, cancer):
    X = np.hstack(fitted_encoder.posterior(cancer[0]))
    encoder = PretrainedEncoder(second_output="variance", add_variance=True)
    assert_equal_to_sklearn(pipeline(encoder).fit(X, cancer[1]), X)


def test_pretrained_encoders_that_have_no_graph(their_file, cancer):
    X = cancer[0]
    encoder = PretrainedEncoder(lambda x: (x, x - 9)).fit(X)
    with pytest.raises(ValueError, match="Cannot convert encode=<function"):
        session(encoder, X)
    script = save_torchscript(nn.Linear(30, 6), their_file.with_suffix(".pt"))
    with pytest.raises(ValueError, match="Cannot convert the TorchScript file"):
        session(PretrainedEncoder(script).fit(X), X)
    encoder = PretrainedEncoder(their_file, second_output="variance").fit(X)
    model = onnx.load(their_file)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, their_file)
    with pytest.raises(ValueError, match="has changed since"):
        session(encoder, X)
    encoder = PretrainedEncoder(their_file, second_output="variance").fit(X)
    with pytest.raises(ValueError, match="exported for batches of 4 rows"):
        session(encoder, X)


def test_sampled_codes_are_refused(cancer):
    X = -np.abs(cancer[0])
    for encoder in (small_encoder(output="sampled"), PretrainedEncoder(output="sampled")):
        with pytest.raises(ValueError, match=r"'sampled' has no ONNX graph.*random draws"):
            session(encoder.fit(X), X)


@pytest.mark.parametrize("estimator", [small_encoder(), PassiveVariableRemover()])
def test_unfitted_estimators_are_refused(estimator, cancer):
    with pytest.raises(NotFittedError, match="not fitted"):
        session(estimator, cancer[0])
