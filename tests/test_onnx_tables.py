"""Graphs of tables with categories: an input per column gives what transform gives."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import polars as pl
import pytest
import skl2onnx
from conftest import small_encoder
from hypothesis import given
from hypothesis import strategies as st
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from strategies import frames, generators

from passive_pruner import PassiveVariableRemover, prune_pipeline
from passive_pruner.exceptions import CollapseWarning, UnknownCategoryWarning
from passive_pruner.onnx import feeds, initial_types


@pytest.fixture(autouse=True)
def _little_training():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        yield


def fit(X, y=None, **params):
    return small_encoder(**{"n_components": 3, "max_steps": 10, **params}).fit(X, y)


def session_of(model, **options):
    graph = skl2onnx.to_onnx(model, **({"initial_types": initial_types(model)} | options))
    onnx.checker.check_model(graph, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is refused is refused by an exception
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], n), "size": rng.normal(size=n)})
    X["grade"] = pd.Categorical(rng.choice([1, 2, 3], n))
    X["is new"] = rng.random(n) < 0.5
    X.loc[::9, "kind"] = None
    return X


@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.PrecisionWarning")
@given(
    pair=frames(),
    rng=generators(),
    ignore=st.booleans(),
    add_variance=st.booleans(),
    whiten=st.booleans(),
    classify=st.booleans(),
)
def test_graphs_of_drawn_frames(pair, rng, ignore, add_variance, whiten, classify):
    X, other = pair
    encoder = small_encoder(
        n_components=3,
        max_steps=10,
        handle_unknown="ignore" if ignore else "error",
        allow_missing=True,  # of the other frame more cells may be missing
        add_variance=add_variance,
        whiten=whiten,
    )
    if ignore:
        other.loc[rng.random(len(other)) < 0.2, other.columns[0]] = "unknown"
    criterion = "variance" if add_variance else "active_units"
    steps = [encoder, PassiveVariableRemover(criterion=criterion, threshold=0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = make_pipeline(*steps, *[LogisticRegression()] * classify)
        pipe.fit(X, np.arange(len(X)) % 2)
        expected = pipe.predict_proba(other) if classify else pipe.transform(other)
    session = session_of(pipe, options={"zipmap": False} if classify else None)
    got = session.run(None, feeds(session, other))[-1]
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, atol=1e-5 * scale)
    one = session.run(None, feeds(session, other[7:8]))[-1]
    np.testing.assert_allclose(one, got[7:8], atol=1e-6 * scale)


def test_a_row_of_the_frame_describes_the_inputs_and_arrays_of_its_columns_feed_them():
    X = table()
    pipe = make_pipeline(
        small_encoder(n_components=3, max_steps=10),
        PassiveVariableRemover(threshold=0),
        LogisticRegression(),
    ).fit(X, np.arange(60) % 2)
    session = session_of(pipe, X=X[1:2], initial_types=None, options={"zipmap": False})
    # Polars 1.0 takes text alone as a category.
    of_polars = pl.from_pandas(X.astype({"grade": "int64"}))
    by_hand = {name.replace(" ", "_"): X[[name]].to_numpy() for name in X}
    for given_ in (by_hand, feeds(session, X), feeds(session, of_polars)):
        labels, probabilities = session.run(None, given_)
        np.testing.assert_array_equal(labels, pipe.predict(X))
        np.testing.assert_allclose(probabilities, pipe.predict_proba(X), atol=1e-5)
    smaller = session_of(prune_pipeline(pipe), options={"zipmap": False})
    np.testing.assert_array_equal(smaller.run(None, by_hand)[0], labels)


def test_columns_are_found_by_name_whatever_their_order():
    X = table()
    encoder = fit(X)
    session = session_of(encoder, initial_types=initial_types(encoder)[::-1])
    np.testing.assert_allclose(
        session.run(None, feeds(session, X))[0], encoder.transform(X), atol=1e-5
    )


@pytest.mark.parametrize(
    ("column", "value"), [("kind", "d"), ("grade", 4), ("size two", 3.0), ("kind two", "")]
)
def test_a_graph_ends_with_an_error_where_a_category_is_unknown(column, value):
    X = table()
    X["size two"] = np.where(X["size"] > 0, 1.0, 2.0)
    X["kind two"] = np.where(X["size"] > 0, "yes", "no")  # in which no cell is missing
    strange = X.astype({"grade": "int64"})
    strange.loc[5, column] = value
    encoder = fit(X)
    session = session_of(encoder)
    with pytest.raises(Exception, match=f"known_categories_of_column_{column.replace(' ', '_')}"):
        session.run(None, feeds(session, strange))
    encoder = fit(X, handle_unknown="ignore")
    session = session_of(encoder)
    missing = strange.astype({column: object})
    missing.loc[5, column] = None
    got = session.run(None, feeds(session, strange))[0]
    assert np.isfinite(got).all()
    if column != "kind two":
        np.testing.assert_allclose(got, encoder.transform(strange), atol=1e-5)


@pytest.mark.parametrize("missing", ["", None, np.nan, pd.NA])
def test_a_missing_cell_of_text_is_an_empty_string_or_whatever_stands_for_none(missing):
    X = table()
    encoder = fit(X)
    session = session_of(encoder)
    given_ = feeds(session, X)
    given_["kind"] = X[["kind"]].astype(object).where(X[["kind"]].notna(), missing).to_numpy()
    np.testing.assert_allclose(session.run(None, given_)[0], encoder.transform(X), atol=1e-5)


def test_arrays_of_numbers_are_one_input():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.choice([1, 5, 9], 60), rng.normal(size=60), rng.choice(4, 60)])
    encoder = fit(X, categorical_features=[0, 2])
    session = session_of(encoder, X=X[:1], initial_types=None)
    np.testing.assert_allclose(session.run(None, {"X": X})[0], encoder.transform(X), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": FloatTensorType}, "'kind' has categories that are text, such as 'a'.*initial_t"),
        ({"size": StringTensorType}, "'size' had numbers when VAEEncoder.*is text.*initial_types"),
        ({"name": DoubleTensorType, "size": None}, r"\['grade', .*'name'\] are not the columns"),
        ({"size": None}, "have 3 columns, but it was fitted on 4"),
    ],
)
def test_inputs_of_other_kinds_than_the_columns_are_refused(change, message):
    encoder = fit(table())
    types = dict(initial_types(encoder))
    types |= {name: kind and kind([None, 1]) for name, kind in change.items()}
    types = [(name, kind) for name, kind in types.items() if kind is not None]
    with pytest.raises(ValueError, match=message):
        skl2onnx.to_onnx(encoder, initial_types=types)


def test_an_empty_string_is_a_category_or_a_missing_cell():
    X = table()
    X["kind"] = X["kind"].replace("a", "")
    with pytest.raises(ValueError, match=r"'kind' has the category ''.*X.replace\({'kind': "):
        session_of(fit(X))
    X["kind"] = X["kind"].fillna("b")
    encoder = fit(X)
    session = session_of(encoder)
    np.testing.assert_allclose(
        session.run(None, feeds(session, X))[0], encoder.transform(X), atol=1e-5
    )


def test_columns_whose_inputs_would_share_a_name_are_refused():
    X = table().rename(columns={"grade": "is_new"})
    with pytest.raises(ValueError, match=r"\['is_new', 'is new'\] would be ONNX inputs"):
        session_of(fit(X))


def test_what_is_fed_has_the_columns_of_the_graph():
    X = table()
    session = session_of(fit(X))
    with pytest.raises(ValueError, match="no column 'size', an input of the graph"):
        feeds(session, X.drop(columns="size"))
    hole = X.astype({"is new": object})
    hole.loc[3, "is new"] = None
    with pytest.raises(ValueError, match="'is new' has missing cells, which its input of type"):
        feeds(session, hole)
    with pytest.raises(ValueError, match="not fitted on a table with categories"):
        initial_types(fit(X[["size"]].to_numpy().repeat(3, axis=1)))
