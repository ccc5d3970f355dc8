"""What a table with categories cannot be is said in words; what it may be comes back as it was."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import small_encoder as encoder_of
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from passive_pruner.exceptions import CollapseWarning, UnknownCategoryWarning


def small_encoder(**params):
    return encoder_of(**{"max_steps": 5, "n_components": 2, **params})


def table(n=80, seed=0, *, missing=False):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], n), "size": rng.normal(size=n)})
    X["grade"], X["visits"] = rng.choice([1, 2, 3], n), rng.poisson(3.0, n)
    if missing:
        X.loc[::6, "kind"] = None
    return X


@pytest.fixture(scope="module")
def fitted():
    X = table(missing=True)
    return small_encoder().fit(X), X


# Frames


def twice(X):
    return X.set_axis(["kind", "size", "size", "visits"], axis=1)


FRAMES = {
    "two columns of a name": (twice, "more than one column of the name 'size'.*duplicated"),
    "two numbers of a name": (lambda X: twice(X).drop(columns="kind"), "more than one column"),
    "no column": (lambda X: X[[]], r"0 feature\(s\) \(shape=\(80, 0\)\).*required by VAEEncoder"),
    "no column, polars": (lambda X: pl.DataFrame(), r"0 feature\(s\)"),
    "lazy": (lambda X: pl.from_pandas(X).lazy(), r"LazyFrame does not have yet: pass X.collect"),
    "one column": (lambda X: X["kind"], r"Series named 'kind'.*X.to_frame"),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "impute"])
@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_that_is_no_table_is_refused(kind, method, fitted):
    make, message = FRAMES[kind]
    encoder = small_encoder() if "fit" in method else fitted[0]
    with pytest.raises(ValueError, match=message):
        getattr(encoder, method)(make(table()))


def test_an_array_without_columns_is_refused():
    with pytest.raises(ValueError, match=r"0 feature\(s\) \(shape=\(10, 0\)\)"):
        small_encoder(likelihood="auto").fit(np.empty((10, 0)))


def test_a_table_without_any_cell_is_refused():
    for X in (np.full((20, 2), None), pd.DataFrame({"a": [None] * 20, "b": [np.nan] * 20})):
        with pytest.raises(ValueError, match="No cell is present in the 2 columns of X"):
            small_encoder(likelihood="auto", allow_missing=True).fit(X)


# Which columns


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([True, False], r"\[True, False\] is no mask of the 4 columns"),
        ([True] * 5, "is no mask of the 4 columns"),
        ([None, True], "is no mask"),
        ([1.0, 0.0, 0.0, 0.0], "has 1.0, which is neither the number nor the name"),
        ([[True] * 4], "has 2 dimensions"),
        ([7], "has column 7, but X has 4 columns: 0 to 3"),
        (["colour"], r"'colour'\] names a column that X does not have"),
    ],
)
def test_categorical_features_are_a_mask_numbers_or_names(which, message):
    with pytest.raises(ValueError, match=f"categorical_features=.*{message}"):
        small_encoder(categorical_features=which).fit(table())


@pytest.mark.parametrize(
    "which", [[0, 2], [-4, -2], ["kind", "grade"], [True, False] * 2, pd.Index(["grade", "kind"])]
)
def test_all_ways_to_name_columns_name_the_same(which):
    encoder = small_encoder(categorical_features=which).fit(table())
    likelihoods = [column.likelihood for column in encoder.columns_.columns]
    assert likelihoods == ["categorical", "gaussian", "categorical", "negative_binomial"]


def test_a_whole_number_is_a_place_and_never_a_name():
    X = table()
    by_place = small_encoder(likelihood={3: "poisson", -2: "categorical"}).fit(X)
    assert [c.likelihood for c in by_place.columns_.columns][2:] == ["categorical", "poisson"]
    with pytest.raises(ValueError, match=r"\{7: ...\} has column 7, but X has 4 columns"):
        small_encoder(likelihood={7: "poisson"}).fit(X)
    numbered = X.set_axis([3, 2, 1, 0], axis=1)
    for params in ({"likelihood": {0: "poisson"}}, {"categorical_features": [3, 1]}):
        with pytest.raises(ValueError, match=r"is the name of a column whose place is .*\(str\)"):
            small_encoder(**params).fit(numbered)
    plain = X.set_axis(range(4), axis=1)
    assert (
        small_encoder(likelihood={3: "poisson"})
        .fit(plain)
        .likelihood_.equals(small_encoder(likelihood={"visits": "poisson"}).fit(X).likelihood_)
    )


@pytest.mark.parametrize(
    "params", [{"likelihood": {"size": "categorical"}}, {"categorical_features": ["kind", "size"]}]
)
def test_measurements_are_no_categories(params):
    with pytest.raises(ValueError, match=r"'size' of X was to be read as .* has 80 different"):
        small_encoder(**params).fit(table())


# Sparse data


def test_sparse_columns_of_a_frame_are_read_and_come_back():
    rng = np.random.default_rng(0)
    X = table().assign(
        clicks=pd.arrays.SparseArray(rng.poisson(0.5, 80)),
        is_new=pd.arrays.SparseArray(rng.random(80) < 0.2),
    )
    dense = X.assign(clicks=X["clicks"].sparse.to_dense(), is_new=X["is_new"].sparse.to_dense())
    encoder, of_dense = small_encoder().fit(X), small_encoder().fit(dense)
    np.testing.assert_array_equal(encoder.transform(X), of_dense.transform(dense))
    assert encoder.sample(5).dtypes.equals(X.dtypes)
    pd.testing.assert_frame_equal(
        encoder.sample(9).astype(dense.dtypes), of_dense.sample(9), check_dtype=False
    )


def test_a_sparse_matrix_is_refused_where_columns_are_read_one_by_one(fitted):
    X = sparse.csr_array(np.random.default_rng(0).poisson(1.0, (80, 4)).astype(float))
    for params in ({"likelihood": "auto"}, {"categorical_features": [1]}):
        with pytest.raises(TypeError, match=f"{next(iter(params))}=.*from_spmatrix"):
            small_encoder(**params).fit(X)
    with pytest.raises(TypeError, match="fitted on a table with column 'kind'"):
        fitted[0].transform(X)
    small_encoder(likelihood="poisson").fit(X)


# Words


def test_values_are_shown_as_people_write_them():
    X = table().assign(size=np.where(table()["size"] > 0, 0.5, 1.5))
    encoder = small_encoder(likelihood={"grade": "categorical"}).fit(X)
    with pytest.raises(ValueError, match=r"\[2.5\] in column 'size', which had \[0.5, 1.5\]"):
        encoder.transform(X.assign(size=2.5))
    with pytest.raises(ValueError, match=r"\[9\] in column 'grade', which had \[1, 2, 3\]"):
        encoder.transform(X.assign(grade=9))
    with pytest.raises(ValueError, match="has categories, such as 7, but had numbers"):
        encoder.transform(X.assign(visits=pd.Categorical([7] * len(X))))


def test_collapse_on_categories_advises_no_scaler():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.choice(["a", "b", "c"], (80, 3)), columns=list("xyz"))
    with pytest.warns(CollapseWarning, match="have in common") as caught:
        small_encoder(max_steps=30).fit(X)
    assert "StandardScaler" not in str(caught[0].message)


def test_what_becomes_of_unknown_categories_is_read_by_every_call(fitted):
    _, X = fitted
    encoder = small_encoder().fit(X)
    one_hot = OneHotEncoder().fit(X[["kind"]])
    strange = X.assign(kind="z")
    for one, given in ((encoder, strange), (one_hot, strange[["kind"]])):
        with pytest.raises(ValueError, match="unknown categories"):
            one.transform(given)
        one.set_params(handle_unknown="ignore")
    with pytest.warns(UnknownCategoryWarning):
        encoder.transform(strange)
    one_hot.transform(strange[["kind"]])


# What comes back


def test_integers_among_objects_come_back_as_integers():
    X = table().to_numpy(dtype=object)
    decoded = small_encoder(likelihood="auto").fit(X).sample(20)
    assert {type(value) for value in decoded[:, 2:].ravel()} == {int}
    assert {type(value) for value in decoded[:, 1]} == {float}
    frame = small_encoder().fit(table().astype({"visits": object})).sample(20)
    assert frame["visits"].dtype == object
    assert all(float(value).is_integer() for value in frame["visits"])


TYPES = {
    "ordered": pd.Categorical(["x", "y", None, "z"] * 20, ordered=True),
    "unordered": pd.Categorical(["x", "y", "z", None] * 20),
    "small": np.arange(80, dtype=np.int16),
    "single": np.linspace(0, 1, 80, dtype=np.float32),
    "boolean": [True, False] * 40,
    "nothing": [np.nan] * 80,
}


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize("trained", ["pandas", "polars", "array"])
def test_impute_returns_what_it_is_given(trained):
    X = pd.concat([table(missing=True), pd.DataFrame(TYPES)], axis=1)
    forms = {
        "pandas": X,
        "polars": pl.from_pandas(X).with_columns(pl.col("ordered").cast(pl.Enum(list("xyz")))),
        "array": X.to_numpy(dtype=object),
    }
    encoder = small_encoder(likelihood="auto").fit(forms[trained])
    encoder.set_output(transform="polars")  # which is about codes
    filled = {}
    for form, given in forms.items():
        filled[form] = encoder.impute(given)
        assert type(filled[form]) is type(given)
    assert list(filled["polars"].columns) == list(filled["pandas"].columns) == list(X.columns)
    there = X.notna().to_numpy()
    for one in filled.values():
        cells = one if isinstance(one, np.ndarray) else one.to_numpy()
        assert (cells[there] == X.to_numpy(dtype=object)[there]).all()
        np.testing.assert_array_equal(
            pd.DataFrame(cells).drop(columns=9), pd.DataFrame(filled["array"]).drop(columns=9)
        )
    if trained != "array":
        kept = filled["pandas"].drop(columns="nothing")
        assert kept.dtypes.equals(X.drop(columns="nothing").dtypes)
        kept = filled["polars"].drop("nothing")
        assert kept.schema == forms["polars"].drop("nothing").schema
