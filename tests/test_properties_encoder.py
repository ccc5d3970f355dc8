"""Properties of fitted encoders: a row has its codes wherever, and however, it is given."""

import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import small_encoder
from hypothesis import given
from hypothesis import strategies as st
from strategies import CONTAINERS, cuts, generators

from passive_pruner.exceptions import CollapseWarning
from passive_pruner.vae import MLP, BetaTCVAE, Conv, Mixed, NegativeBinomial

N_ROWS = 90


def table(n_columns=9):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, 3)) @ rng.standard_normal((3, n_columns))
    return (X + 0.3 * rng.standard_normal(X.shape)).astype(np.float32)


def holed(X):
    return np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.1, np.nan, X)


#: Kind -> what its encoder is made of, and its rows.
KINDS = {
    "gaussian": ({}, table()),
    "sampled": ({"output": "sampled", "whiten": False, "init": "random"}, table()),
    "missing": ({"allow_missing": True}, holed(table())),
    "bernoulli": ({"likelihood": "bernoulli"}, (table() > 0).astype(np.float32)),
    "counts": ({"likelihood": NegativeBinomial()}, np.floor(np.exp(table() / 2))),
    "categorical": ({"likelihood": "categorical"}, np.eye(9, dtype=np.float32)[np.arange(90) % 9]),
    "conv": ({"architecture": Conv((4, 4, 1), channels=(4, 4))}, table(16)),
    "objective": ({"objective": BetaTCVAE(2.0)}, table()),
}


@pytest.fixture(scope="module")
def encoders():
    """One fitted encoder per kind, with variances, and its rows in float32."""
    fitted = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # of so few steps
        for kind, (params, X) in KINDS.items():
            X = X.astype(np.float32)
            encoder = small_encoder(n_components=3, max_steps=60, add_variance=True, **params)
            fitted[kind] = encoder.fit(X), X
    return fitted


of_all_kinds = pytest.mark.parametrize("kind", KINDS)


@of_all_kinds
@given(rng=generators(), data=st.data())
def test_a_row_has_its_codes_in_any_order_and_part(kind, encoders, rng, data):
    encoder, X = encoders[kind]
    codes, scores = encoder.transform(X), encoder.score_samples(X)
    scale = np.abs(codes).max()
    order = rng.permutation(len(X))
    np.testing.assert_allclose(encoder.transform(X[order]), codes[order], atol=1e-6 * scale)
    np.testing.assert_allclose(encoder.score_samples(X[order]), scores[order], rtol=1e-9)
    parts = data.draw(cuts(len(X)))
    joined = np.vstack([encoder.transform(X[part]) for part in parts])
    if encoder.output == "mean":  # of equal rows in one call only the first has the draw alone
        np.testing.assert_allclose(joined, codes, atol=1e-6 * scale)
    row = int(rng.integers(len(X)))
    np.testing.assert_allclose(encoder.score_samples(X[[row]]), scores[[row]], rtol=1e-9)


@of_all_kinds
@pytest.mark.parametrize("n", [1023, 1024, 1025, 2049])
def test_borders_of_chunks_do_not_show(kind, n, encoders):
    encoder, X = encoders[kind]
    many = X[np.arange(n) % len(X)]
    codes = encoder.posterior(X).mean
    expected = codes[np.arange(n) % len(X)]
    np.testing.assert_allclose(
        encoder.posterior(many).mean, expected, atol=1e-6 * np.abs(codes).max()
    )


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", ["gaussian", "missing", "sampled", "counts"])
def test_containers_and_types_do_not_show(kind, container, encoders):
    encoder, X = encoders[kind]
    given_as = CONTAINERS[container](X)
    with_names = container in ("pandas", "nullable", "polars")
    if with_names:
        encoder = pickle.loads(pickle.dumps(encoder))
        encoder.feature_names_in_ = np.array([str(c) for c in given_as.columns], dtype=object)
        if hasattr(given_as, "iloc"):
            given_as.columns = given_as.columns.astype(str)
    codes = encoder.transform(given_as)
    codes = codes.compute() if hasattr(codes, "compute") else codes
    np.testing.assert_array_equal(codes, encoders[kind][0].transform(X))


@of_all_kinds
def test_threads_processes_and_copies_do_not_show(kind, encoders):
    encoder, X = encoders[kind]
    codes = encoder.transform(X)
    again = pickle.loads(pickle.dumps(encoder))
    gate = threading.Barrier(4)

    def transform(_):
        gate.wait(30)
        return again.transform(X)

    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(transform, range(4)):
            np.testing.assert_array_equal(result, codes)


@pytest.mark.parametrize("kind", ["gaussian", "missing", "bernoulli", "counts", "conv"])
@given(keep=st.lists(st.booleans(), min_size=3, max_size=3).filter(any))
def test_a_pruned_encoder_has_the_kept_columns(kind, keep, encoders):
    encoder, X = encoders[kind]
    smaller, kept = encoder.pruned(keep), np.flatnonzero(keep)
    for whole, part in zip(encoder.posterior(X), smaller.posterior(X), strict=True):
        scale = max(1, np.abs(whole).max())
        np.testing.assert_allclose(part, whole[:, kept], atol=1e-5 * scale)
    codes = np.where(keep, encoder.posterior(X).mean, 0)
    decoded = encoder.inverse_transform(codes)
    np.testing.assert_allclose(
        smaller.inverse_transform(codes[:, kept]), decoded, atol=1e-4 * np.abs(decoded).max()
    )


@given(
    widths=st.tuples(*[st.integers(0, 3)] * 4).filter(lambda widths: sum(widths) > 1),
    missing=st.booleans(),
    rng=generators(),
)
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
def test_tables_of_mixed_columns(widths, missing, rng):
    """Real numbers in any units, counts, ones and zeros, and groups of categories."""
    n, shared = 60, rng.standard_normal(60)
    kinds = ("gaussian", "poisson", "bernoulli", "categorical")
    columns, parts = {}, []
    for kind, width in zip(kinds, widths, strict=True):
        names = [f"{kind} {j}" for j in range(width)]
        if kind == "categorical" and width == 1:
            continue  # a single level
        for j, name in enumerate(names):
            columns[name] = {
                "gaussian": 10.0 ** rng.integers(-6, 7) * (shared + rng.standard_normal(n)),
                "poisson": rng.poisson(np.exp(shared / 2)).astype(float),
                "bernoulli": (shared + rng.standard_normal(n) > 0).astype(float),
                "categorical": (np.arange(n) % width == j).astype(float),
            }[kind]
        if names:
            parts.append((kind, names))
    X = pd.DataFrame(columns)
    if X.empty:
        return
    if missing:
        X = X.mask(rng.uniform(size=X.shape) < 0.05)
    encoder = small_encoder(
        n_components=2, likelihood=Mixed(parts), allow_missing=missing, max_steps=20,
        architecture=MLP((8,)),
    ).fit(X)  # fmt: skip
    codes = encoder.transform(X)
    assert np.isfinite(codes).all() and np.isfinite(encoder.score_samples(X)).all()
    assert np.isfinite(encoder.inverse_transform(codes)).all()
    order = rng.permutation(n)
    np.testing.assert_allclose(encoder.transform(X.iloc[order]), codes[order], atol=1e-5)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(X), codes)


@pytest.mark.parametrize(
    "setting",
    [
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.device("meta"),
        torch.inference_mode,
        torch.no_grad,
        lambda: _default_dtype(torch.float64),
    ],
    ids=["autocast", "default device", "inference mode", "no grad", "default dtype"],
)
@of_all_kinds
def test_settings_of_torch_do_not_show(kind, setting, encoders):
    encoder, X = encoders[kind]
    fresh = pickle.loads(pickle.dumps(encoder))
    with setting():
        np.testing.assert_array_equal(fresh.transform(X), encoder.transform(X))
        codes = encoder.posterior(X).mean
        decoded = fresh.inverse_transform(codes)
    np.testing.assert_array_equal(decoded, encoder.inverse_transform(codes))


class _default_dtype:
    def __init__(self, dtype):
        self.dtype = dtype

    def __enter__(self):
        self.before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)

    def __exit__(self, *_):
        torch.set_default_dtype(self.before)
