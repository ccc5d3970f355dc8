"""Graphs of drawn pipelines give what scikit-learn gives, for one row as for many."""

import warnings

import numpy as np
import onnxruntime
import pytest
import skl2onnx
from conftest import small_encoder
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from strategies import generators

import passive_pruner.onnx  # noqa: F401
from passive_pruner import PassiveVariableRemover
from passive_pruner.exceptions import CollapseWarning
from passive_pruner.vae import MLP
from passive_pruner.vae._architectures import ACTIVATIONS


@given(
    rng=generators(),
    dtype=st.sampled_from([np.float32, np.float64]),
    hidden=st.lists(st.integers(1, 12), max_size=2).map(tuple),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    linear_path=st.booleans(),
    scaler=st.sampled_from([None, StandardScaler(), MinMaxScaler()]),
    likelihood=st.sampled_from(["gaussian", "poisson", "bernoulli", "continuous_bernoulli"]),
    missing=st.booleans(),
    add_variance=st.booleans(),
    whiten=st.booleans(),
    classify=st.booleans(),
)
def test_drawn_pipelines(
    rng, dtype, hidden, activation, linear_path, scaler, likelihood, missing, add_variance,
    whiten, classify,
):  # fmt: skip
    X = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 5)) + rng.standard_normal((50, 5))
    X = {
        "gaussian": X,
        "poisson": np.floor(np.exp(X.clip(max=3))),
        "bernoulli": (X > 0) * 1.0,
        "continuous_bernoulli": 1 / (1 + np.exp(-X)),
    }[likelihood].astype(dtype)
    if likelihood != "gaussian":
        scaler = None
    if missing:
        X = np.where(rng.uniform(size=X.shape) < 0.1, np.nan, X).astype(dtype)
    encoder = small_encoder(
        n_components=3, architecture=MLP(hidden, activation, linear_path), likelihood=likelihood,
        allow_missing=missing, add_variance=add_variance, whiten=whiten, max_steps=15,
        init="random",
    )  # fmt: skip
    remover = PassiveVariableRemover(
        criterion="variance" if add_variance else "active_units", threshold=0
    )
    steps = [*([] if scaler is None else [scaler]), encoder, remover]
    if classify:
        steps.append(LogisticRegression())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        pipe = make_pipeline(*steps).fit(X, np.arange(50) % 2)
    graph = skl2onnx.to_onnx(pipe, X[:1], options={"zipmap": False} if classify else None)
    run = onnxruntime.InferenceSession(graph.SerializeToString())
    (name,) = (given.name for given in run.get_inputs())
    got = run.run(None, {name: X})[-1]
    expected = pipe.predict_proba(X) if classify else pipe.transform(X)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, atol=2e-6 * scale)
    one = run.run(None, {name: X[7:8]})[-1]
    np.testing.assert_allclose(one, got[7:8], atol=1e-6 * scale)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_a_graph_for_any_width_takes_the_right_one_only(width):
    X = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        encoder = small_encoder(n_components=2, max_steps=15).fit(X)
    anything = skl2onnx.common.data_types.FloatTensorType([None, None])
    graph = skl2onnx.to_onnx(encoder, initial_types=[("X", anything)])
    run = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(run.run(None, {"X": X})[0], encoder.transform(X), atol=1e-5)
    with pytest.raises(Exception, match="Reshape"):
        run.run(None, {"X": np.zeros((5, width), np.float32)})
