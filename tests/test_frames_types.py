"""Types of single columns, and the places where frames are read: nothing is lost on the way."""

from decimal import Decimal

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from conftest import small_encoder as encoder_of
from numpy.testing import assert_array_equal

from passive_pruner import trusted_types


def small_encoder(**params):
    return encoder_of(**{"max_steps": 5, "n_components": 2, **params})


def table(n=80, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"kind": rng.choice(["a", "b", "c"], n), "size": rng.normal(size=n)})


def arrow_types():
    """Columns that pyarrow holds, of types whose names pandas does not read back."""
    text, rng = pa.array(["w", "v", None, "u"] * 20), np.random.default_rng(0)
    sums = [Decimal(int(cents)).scaleb(-2) for cents in rng.integers(0, 10_000, 80)]
    columns = {
        "text": text,
        "coded": text.dictionary_encode(),
        "places": text.dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        "numbers": pa.array([30, 10, None, 20] * 20).dictionary_encode(),
        "ordered": pa.DictionaryArray.from_arrays([1, 0] * 40, ["low", "high"], ordered=True),
        "sums": pa.array(sums, type=pa.decimal128(5, 2)),
        "nothing": pa.array([None] * 80, type=pa.decimal128(5, 2)),
    }
    series = {name: pd.arrays.ArrowExtensionArray(column) for name, column in columns.items()}
    return pd.DataFrame(series).assign(x=rng.standard_normal(80))


def polars_types():
    sums = pl.Series([Decimal(cents).scaleb(-1) for cents in range(80)], dtype=pl.Decimal(3, 1))
    X = pl.DataFrame({"c": ["a", "b"] * 40, "sums": sums})
    if not hasattr(pl, "Int128"):  # the lowest version
        return X
    return X.with_columns(large=pl.Series([*range(79), 99 * 10**17], dtype=pl.Int128))


@pytest.mark.parametrize("table_of", [arrow_types, polars_types])
def test_types_whose_names_say_too_little_come_back(table_of):
    X = table_of()
    encoder = skops.io.loads(skops.io.dumps(small_encoder().fit(X)), trusted=trusted_types())
    codes = encoder.transform(X)
    filled = encoder.impute(X)
    for out in (encoder.inverse_transform(codes), encoder.sample(80), filled):
        assert list(out.dtypes) == list(X.dtypes)
    assert (filled["sums"] == X["sums"]).all()


def test_categories_that_pyarrow_holds_are_those_of_pandas():
    X = arrow_types()
    plain = X.assign(
        coded=X["coded"].astype(object),
        places=X["places"].astype(object),
        ordered=pd.Categorical(X["ordered"].astype(object), ["low", "high"], ordered=True),
    )
    encoder = small_encoder().fit(X)
    assert [c.categories.tolist() for c in encoder.columns_.columns[1:5]] == [
        ["u", "v", "w"],
        ["u", "v", "w"],
        [10, 20, 30],
        ["low", "high"],
    ]
    assert_array_equal(encoder.transform(X), encoder.transform(plain))
    assert_array_equal(encoder.transform(X[::-1])[::-1], encoder.transform(X))


def test_decimals_stay_within_their_digits():
    sums = pl.Series([99.9, 0.1] * 40, dtype=pl.Float64).cast(pl.Decimal(3, 1))
    X = pl.DataFrame({"c": ["a", "b"] * 40, "sums": sums, "n": range(80)})
    encoder = small_encoder(likelihood={"sums": "gaussian"}).fit(X)
    far = 1e6 * np.random.default_rng(0).normal(size=(20, 2))
    assert encoder.inverse_transform(far)["sums"].abs().max() == Decimal("99.9")


def test_a_mixture_of_text_and_numbers_is_called_one():
    X = table().assign(c=pd.Series(["u", 1, 2.5, np.nan] * 20, dtype=object))
    with pytest.raises(ValueError, match=r"'c' of X has text.*'u', beside float and int: make all"):
        small_encoder().fit(X)


def test_errors_count_rows_of_weight_0_too():
    X = table().assign(x=np.where(np.arange(80) == 7, np.inf, 0.5))
    weights = np.where(np.arange(80) < 3, 0.0, 1.0)
    with pytest.raises(ValueError, match="infinity, first in row 7 of column 'x'"):
        small_encoder().fit(X, sample_weight=weights)


@pytest.mark.parametrize("method", ["score_samples", "posterior", "impute"])
@pytest.mark.parametrize("with_categories", [True, False])
def test_what_stays_in_memory_reads_dask_frames(method, with_categories):
    X = table()
    X = X if with_categories else X.select_dtypes("float64")
    encoder = small_encoder().fit(X)
    lazy, plain = (getattr(encoder, method)(Z) for Z in (dd.from_pandas(X, npartitions=3), X))
    assert type(lazy) is type(plain)
    assert_array_equal(np.asarray(lazy, dtype=object), np.asarray(plain, dtype=object))
