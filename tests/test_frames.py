"""Tables as people have them: categories, booleans, counts and missing cells, there and back."""

import io
import pickle

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from conftest import small_encoder as encoder_of
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from passive_pruner import PassiveVariableRemover, prune_pipeline, trusted_types
from passive_pruner._common._column_kinds import are_counts
from passive_pruner.exceptions import UnknownCategoryWarning
from passive_pruner.explore._values import compute_values
from passive_pruner.plots import ReconstructionDisplay, TraversalDisplay
from passive_pruner.vae import BetaVAE, Gaussian, Mixed, Poisson

SEEDS = range(3)


def small_encoder(**params):
    """An encoder that has learned next to nothing."""
    return encoder_of(**{"max_steps": 20, **params})


def penguins(seed=0, n=160, *, missing=True):
    """Penguins as the palmerpenguins package has them, made of three species with their sizes."""
    rng = np.random.default_rng(seed)
    species = rng.choice(3, n, p=[0.44, 0.2, 0.36])
    island = np.where(species == 0, rng.choice(3, n), np.where(species == 1, 1, 0))
    is_male = rng.random(n) < 0.5
    mean = np.array([[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3733], [47.5, 15, 217, 5076]])
    size = np.where(is_male, 0.8, -0.8)[:, np.newaxis] + 0.6 * rng.standard_normal((n, 4))
    sizes = mean[species] + size * np.array([2.9, 1.1, 6.5, 450])
    X = pd.DataFrame(sizes, columns=["bill_length", "bill_depth", "flipper", "mass"])
    X["mass"] = (X["mass"] // 25 * 25).astype("int64")
    X.insert(0, "species", np.array(["Adelie", "Chinstrap", "Gentoo"])[species])
    X.insert(1, "island", pd.Categorical(np.array(["Biscoe", "Dream", "Torgersen"])[island]))
    X["sex"] = np.where(is_male, "male", "female")
    X["eggs"] = rng.poisson(1.0 + is_male, n)
    X["clutch"] = rng.random(n) < 0.8
    X["year"] = rng.integers(2007, 2010, n)
    if missing:
        X.loc[rng.random(n) < 0.05, "sex"] = None
        X.loc[rng.random(n) < 0.05, ["bill_length", "bill_depth"]] = np.nan
    return X


LIKELIHOODS = {
    "species": "categorical",
    "island": "categorical",
    "bill_length": "gaussian",
    "bill_depth": "gaussian",
    "flipper": "gaussian",
    "mass": "gaussian",
    "sex": "bernoulli",
    "eggs": "negative_binomial",
    "clutch": "bernoulli",
    "year": "gaussian",
}


def chosen(encoder):
    return {column.name: column.likelihood for column in encoder.columns_.columns}


@pytest.fixture(scope="module")
def fitted():
    X = penguins()
    return small_encoder(max_steps=60).fit(X), X


# There and back


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_goes_in_and_a_frame_like_it_comes_out(library):
    X = penguins()
    X["island"] = X["island"].cat.set_categories(["Torgersen", "Dream", "Biscoe"], ordered=True)
    X.index = np.arange(len(X))[::-1] + 7
    if library == "polars":
        X = pl.from_pandas(X).with_columns(
            pl.col("species").cast(pl.Enum(["Gentoo", "Adelie", "Chinstrap"]))
        )
    encoder = small_encoder().fit(X)
    codes = encoder.set_output(transform=library).transform(X)
    for out in (encoder.inverse_transform(codes), encoder.impute(X), encoder.sample(len(X))):
        assert type(out) is type(X)
        assert list(out.columns) == list(X.columns)
        assert list(out.dtypes) == list(X.dtypes)
        assert set(out["species"]) <= set(X["species"])
        assert out["mass"].min() > 1000
    if library == "pandas":
        assert encoder.inverse_transform(codes).index.equals(X.index)
        assert encoder.impute(X).index.equals(X.index)
    assert np.isfinite(encoder.score_samples(X)).all()


def test_every_column_has_the_likelihood_of_its_kind(fitted):
    encoder, X = fitted
    assert chosen(encoder) == LIKELIHOODS
    assert "species      categorical        text of 3 values" in str(encoder.columns_)
    assert encoder.n_features_in_ == len(X.columns)
    assert list(encoder.feature_names_in_) == list(X.columns)


def test_a_notebook_shows_the_columns(fitted):
    pytest.importorskip("sklearn.utils._repr_html", reason="tables came with scikit-learn 1.7")
    assert "text of 3 values" in fitted[0]._repr_html_()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frame_is_what_one_hot_columns_and_a_mixed_likelihood_are(seed):
    X = penguins(seed, missing=False)
    names = ["species", "island"]
    one_hot = OneHotEncoder(sparse_output=False).fit(X[names])
    by_hand = np.column_stack(
        [
            one_hot.transform(X[names]),
            X[["bill_length", "bill_depth", "flipper", "mass"]],
            X["sex"] == "male",
            X[["eggs", "clutch", "year"]].astype(float),
        ]
    )
    likelihood = Mixed(
        [
            ("gaussian", [6, 7, 8, 9, 13]),
            ("bernoulli", [10, 12]),
            ("categorical", [0, 1, 2]),
            ("categorical", [3, 4, 5]),
            ("negative_binomial", [11]),
        ]
    )
    expected = small_encoder(likelihood=likelihood, random_state=seed).fit(by_hand)
    encoder = small_encoder(random_state=seed).fit(X)
    np.testing.assert_array_equal(encoder.transform(X), expected.transform(by_hand))
    np.testing.assert_array_equal(encoder.score_samples(X), expected.score_samples(by_hand))
    decoded = encoder.inverse_transform(encoder.transform(X))
    of_hand = expected.inverse_transform(expected.transform(by_hand))
    np.testing.assert_array_equal(decoded[names], one_hot.inverse_transform(of_hand[:, :6]))
    np.testing.assert_array_equal(decoded["flipper"], of_hand[:, 8])
    np.testing.assert_array_equal(decoded["sex"] == "male", of_hand[:, 10] >= 0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_hold_all_that_is_in_the_cells(fitted, seed):
    columns, X = fitted[0].columns_, penguins(seed)
    cells = columns.read(fitted[0], X)
    inputs = columns.inputs(cells.astype(np.float32))
    is_missing = np.isnan(cells)
    np.testing.assert_array_equal(np.isnan(inputs), is_missing[:, columns.owner])
    there = np.where(is_missing, 0, cells)
    found = columns.cells(columns.inputs(there.astype(np.float32)))
    np.testing.assert_array_equal(found, there.astype(np.float32))
    pd.testing.assert_frame_equal(
        columns.table(there, X.index)[~is_missing.any(axis=1)], X[~is_missing.any(axis=1)]
    )


FORMS = {
    "category": lambda X: X.astype({"species": "category"}),
    "objects": lambda X: X.astype(object),
    "arrow": lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
    "nullable": lambda X: X.convert_dtypes(),
    "polars": pl.from_pandas,
    "polars categories": lambda X: pl.from_pandas(X.astype({"species": "category"})),
    "dask": lambda X: dd.from_pandas(X, npartitions=2),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_cells_have_the_same_codes_in_any_form(form, fitted):
    encoder, X = fitted
    other = FORMS[form](X)
    np.testing.assert_array_equal(np.asarray(encoder.transform(other)), encoder.transform(X))
    if form != "dask":  # whose first partition is all that start values come from
        again = small_encoder(max_steps=60).fit(other)
        np.testing.assert_array_equal(again.transform(X), encoder.transform(X))


def test_dask_frames_are_read_and_decoded_lazily():
    X = penguins()
    lazy = dd.from_pandas(X, npartitions=3)
    encoder = small_encoder().fit(lazy)
    codes = encoder.transform(lazy)
    decoded = encoder.inverse_transform(codes)
    assert isinstance(decoded, dd.DataFrame)
    pd.testing.assert_frame_equal(
        decoded.compute(), encoder.inverse_transform(encoder.transform(X)).set_axis(X.index)
    )
    assert encoder.moments(lazy).n_samples == len(X)


def test_numbers_alone_are_read_as_arrays_are():
    X = penguins(missing=False)[["bill_length", "flipper", "mass", "eggs", "year"]]
    of_frame, of_array = small_encoder().fit(X), small_encoder().fit(X.to_numpy())
    assert of_frame.columns_ is None
    np.testing.assert_array_equal(of_frame.transform(X), of_array.transform(X.to_numpy()))
    assert isinstance(of_frame.inverse_transform(of_frame.transform(X)), np.ndarray)


@pytest.mark.parametrize("which", [[0, 2], [True, False, True], ["a", "c"]])
def test_columns_of_an_array_are_categories_where_the_user_says_so(which):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.choice([1, 5, 9], 200), rng.normal(size=200), rng.choice(4, 200)])
    if isinstance(which[0], str):
        X = pd.DataFrame(X, columns=list("abc"))
    encoder = small_encoder(categorical_features=which).fit(X)
    assert [c.likelihood for c in encoder.columns_.columns] == [
        "categorical",
        "gaussian",
        "categorical",
    ]
    decoded = encoder.inverse_transform(encoder.transform(X))
    assert type(decoded) is type(X)
    assert set(np.asarray(decoded)[:, 0]) <= {1, 5, 9}


def test_arrays_of_objects_are_tables_with_likelihood_auto():
    X = penguins()
    encoder = small_encoder(likelihood="auto").fit(X.to_numpy(dtype=object))
    of_frame = small_encoder().fit(X)
    np.testing.assert_array_equal(
        encoder.transform(X.to_numpy(dtype=object)), of_frame.transform(X)
    )
    out = encoder.sample(5)
    assert isinstance(out, np.ndarray)
    assert set(out[:, 0]) <= set(X["species"])


# Likelihoods


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_told_from_other_integers(seed):
    rng = np.random.default_rng(seed)
    n = 500
    counts = [
        rng.poisson(0.3, n),
        rng.poisson(2.0, n),
        rng.negative_binomial(1, 0.1, n),
        rng.poisson(4.0, n) * (rng.random(n) < 0.5),
    ]
    others = [
        rng.integers(1990, 2021, n),
        rng.integers(0, 24, n),
        rng.binomial(4, 0.5, n) + 1,
        np.arange(n),
        np.rint(rng.normal(100, 15, n)),
        25 * np.rint(40 + 20 * rng.gamma(2, 1, n)),
    ]
    assert [are_counts(x.astype(float)) for x in counts] == [True] * 4
    assert [are_counts(x.astype(float)) for x in others] == [False] * 6


def test_one_column_is_overruled_by_its_name_or_number():
    X = penguins()
    encoder = small_encoder(likelihood={"eggs": Poisson(), "year": "categorical", 5: "gaussian"})
    encoder.fit(X)
    assert chosen(encoder) == {**LIKELIHOODS, "eggs": "poisson", "year": "categorical"}
    assert encoder.sample(9)["year"].isin([2007, 2008, 2009]).all()
    assert encoder.sample(9).dtypes.equals(X.dtypes)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"likelihood": {"colour": "gaussian"}}, "'colour': ...} names a column that X does not"),
        ({"likelihood": {"eggs": "normal"}}, "'normal'} is no likelihood: give one of"),
        ({"likelihood": {"species": "gaussian"}}, "'species' of X has 3 categories, for which"),
        ({"likelihood": {"species": "bernoulli"}}, "'species' of X has 3 categories, for which"),
        ({"likelihood": {"mass": "bernoulli"}}, r"takes values in \[0, 1\].*column 'mass'"),
        ({"likelihood": "gaussian", "categorical_features": ["sex"]}, "describes all columns"),
        ({"categorical_features": ["sex"]}, "'species' of X has categories and is not among"),
    ],
)
def test_choices_that_do_not_fit_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        small_encoder(**params).fit(penguins())


def test_counts_are_checked_by_the_name_of_their_column(fitted):
    encoder, X = fitted
    with pytest.raises(ValueError, match=r"takes counts .* has 1.5 in column 'eggs'"):
        encoder.transform(X.assign(eggs=1.5))


# Categories


REFUSED = {
    "a time": lambda n: pd.date_range("2020", periods=n),
    "a time span": lambda n: pd.to_timedelta(np.arange(n), unit="h"),
    "a list": lambda n: [[1, 2]] * n,
    "notes": lambda n: [f"note {i}" for i in range(n)],
    "numbers and text": lambda n: ["a", 1] * (n // 2),
    "intervals": lambda n: pd.cut(np.arange(n), 3),
    "too many": lambda n: pd.Categorical(
        [f"c{i}" for i in range(n)], [f"c{i}" for i in range(999)]
    ),
}


@pytest.mark.parametrize("library", ["pandas", "polars", "array"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_likelihood_describes_is_refused_with_two_ways_out(kind, library):
    X = pd.DataFrame({"sex": ["f", "m"] * 50, "culprit": REFUSED[kind](100)})
    name, drop = "'culprit'", r"X.drop\(.*culprit"
    encoder = small_encoder()
    if library == "polars":
        if kind in ("numbers and text", "intervals", "too many"):
            pytest.skip("polars has no such column")
        X = pl.from_pandas(X)
    if library == "array":
        if kind == "too many":
            pytest.skip("arrays declare no categories")
        encoder.set_params(likelihood="auto")
        X, name, drop = X.to_numpy(dtype=object), "column 1", r"numpy.delete\(X, 1"
    with pytest.raises(ValueError, match=rf"(?s){name}.*TableVectorizer.*{drop}"):
        encoder.fit(X)


def test_an_unknown_category_is_an_error_that_names_it_or_a_missing_cell():
    X = penguins()
    strange = X.head(5).assign(species="Emperor")
    encoder = small_encoder().fit(X)
    with pytest.raises(ValueError, match=r"\['Emperor'\] in column 'species'.*'Adelie'"):
        encoder.transform(strange)
    encoder = small_encoder(handle_unknown="ignore").fit(X)
    with pytest.warns(UnknownCategoryWarning, match="'Emperor'.*'species'"):
        codes = encoder.transform(strange)
    assert np.isfinite(codes).all()
    with pytest.warns(UnknownCategoryWarning):
        assert set(encoder.impute(strange)["species"]) <= set(X["species"])
    encoder = small_encoder().fit(penguins(missing=False)).set_params(handle_unknown="ignore")
    with pytest.raises(ValueError, match=r"made without such\. Fit anew"):
        encoder.transform(strange.assign(sex="male"))


def test_categories_may_be_rare_single_empty_or_of_any_plain_type():
    n = 120
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "number": rng.normal(size=n),
            "rare": ["common"] * 60 + ["other"] * 59 + ["once"],
            "single": "all",
            "empty": pd.Categorical(rng.choice(["a", "b"], n), categories=["a", "z", "b"]),
            "integers": pd.Categorical(rng.choice([3, 1, 20], n)),
            "floats": pd.Categorical(rng.choice([0.5, 1.5, 2.5], n), ordered=True),
            "booleans": pd.Categorical(rng.choice([True, False], n)),
            "nullable": pd.array(rng.choice([True, False, None], n), dtype="boolean"),
            "objects": pd.Series(rng.choice([True, False, None], n), dtype=object),
            "nothing": np.nan,
            "no category": pd.Categorical([None] * n),
            "constant": 5,
            "two": rng.choice([1.5, 4], n),
        }
    )
    encoder = small_encoder(objective=BetaVAE(0.01)).fit(X)  # no column tells of another
    out = encoder.inverse_transform(encoder.transform(X))
    assert out.dtypes.equals(X.dtypes)
    assert out["nothing"].isna().all()
    assert out["no category"].isna().all()
    assert (out["single"] == "all").all()
    assert (out["constant"] == 5).all()
    assert set(out["two"]) <= {1.5, 4}
    filled = encoder.impute(X)
    there = X.notna()
    pd.testing.assert_frame_equal(filled.where(there), X.where(there), check_dtype=False)
    assert filled.drop(columns=["nothing", "no category"]).notna().all(axis=None)


def test_a_declared_category_may_come_later_in_a_stream():
    X = penguins(missing=False).astype({"species": "category"})
    first, rest = X[X["species"] != "Gentoo"], X[X["species"] == "Gentoo"]
    encoder = small_encoder().partial_fit(first).partial_fit(rest)
    assert np.isfinite(encoder.transform(X)).all()
    encoder = small_encoder().partial_fit(first.astype({"species": str}))
    with pytest.raises(ValueError, match=r"\['Gentoo'\] in column 'species'"):
        encoder.partial_fit(rest.astype({"species": str}))
    before = encoder.transform(first)
    np.testing.assert_array_equal(encoder.transform(first), before)


# Missing cells


@pytest.mark.parametrize("column", ["species", "clutch", "flipper", "eggs"])
def test_a_cell_may_be_missing_where_some_were_in_fit(column, fitted):
    encoder, X = fitted
    assert np.isfinite(encoder.transform(X.assign(sex=None, bill_length=np.nan))).all()
    hole = X.astype(object)
    hole.loc[3, column] = None
    with pytest.raises(ValueError, match=rf"NaN, first in row 3 of column '{column}'.*allow_miss"):
        encoder.transform(hole)
    told = small_encoder(allow_missing=True).fit(X)
    assert np.isfinite(told.transform(hole)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_hidden_cells_are_guessed_better_than_from_their_column(seed):
    X = penguins(seed, n=400, missing=False)
    rng = np.random.default_rng(seed)
    hidden = pd.DataFrame(rng.random(X.shape) < 0.15, columns=X.columns)
    hidden[["eggs", "clutch", "year"]] = False  # which the others say little of
    given = X.astype({"mass": float}).mask(hidden)
    encoder = small_encoder(max_steps=700, early_stopping=False, random_state=seed).fit(given)
    filled, drawn = encoder.impute(given), encoder.impute(given, draw=True)
    for name in ("species", "sex"):
        right = (filled[name] == X[name])[hidden[name]].mean()
        assert right > X[name].value_counts(normalize=True).max() + 0.15
    for name in ("flipper", "mass"):
        error = ((filled[name] - X[name])[hidden[name]] ** 2).mean()
        spread = ((drawn[name] - X[name])[hidden[name]] ** 2).mean()
        assert error < 0.6 * X[name].var()
        assert error < spread < 3 * X[name].var()
    assert not filled.isna().any(axis=None)


def test_imputed_arrays_keep_what_is_there():
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((200, 2)) @ rng.standard_normal((2, 5))).astype(np.float64)
    X[rng.random(X.shape) < 0.1] = np.nan
    encoder = small_encoder(allow_missing=True).fit(X)
    filled = encoder.impute(X)
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    assert np.isfinite(filled).all()
    frame = pd.DataFrame(X, columns=list("abcde"), index=range(5, 205))
    pd.testing.assert_frame_equal(
        small_encoder(allow_missing=True).fit(frame).impute(frame),
        pd.DataFrame(filled, columns=list("abcde"), index=range(5, 205)),
    )


# The rest of the path


def test_a_frame_goes_through_a_pipeline_and_a_search():
    X = penguins()
    y = X.pop("species")
    pipe = make_pipeline(
        small_encoder(max_steps=150, add_variance=True),
        PassiveVariableRemover(),
        LogisticRegression(max_iter=1000),
    )
    search = GridSearchCV(pipe, {"vaeencoder__handle_unknown": ["error", "ignore"]}, cv=2)
    assert search.fit(X, y).score(X, y) > 0.7
    smaller = prune_pipeline(search.best_estimator_)
    np.testing.assert_array_equal(smaller.predict(X), search.predict(X))
    assert list(smaller[0].sample(3).columns) == list(X.columns)


def test_files_hold_what_was_learned_of_the_columns(fitted):
    encoder, X = fitted
    data = skops.io.dumps(encoder)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(trusted_types())
    buffer = io.BytesIO(data)
    loaded = [
        pickle.loads(pickle.dumps(encoder)),
        skops.io.load(buffer, trusted=trusted_types()),
        encoder.pruned(range(encoder.n_components_)),
    ]
    for other in loaded:
        np.testing.assert_array_equal(other.transform(X), encoder.transform(X))
        pd.testing.assert_frame_equal(other.sample(9), encoder.sample(9))


def test_training_goes_on_with_the_same_columns():
    X = penguins()
    encoder = small_encoder(warm_start=True).fit(X[:80]).fit(X[80:])
    assert encoder.n_steps_ == 40
    with pytest.raises(ValueError, match=r"likelihood=.*differs from"):
        encoder.set_params(likelihood={"eggs": "gaussian"}).fit(X)
    with pytest.raises(ValueError, match=r"likelihood=.*differs from"):
        encoder.set_params(likelihood="gaussian").partial_fit(X)
    numbers = X[["flipper", "mass"]]
    with pytest.raises(ValueError, match=r"likelihood=.*differs from"):
        small_encoder().fit(numbers).set_params(likelihood="auto").partial_fit(numbers)
    encoder = small_encoder().fit(X).fit(numbers)
    assert encoder.columns_ is None


@pytest.mark.parametrize("seed", SEEDS)
def test_no_kind_of_column_drowns_the_others(seed):
    rng = np.random.default_rng(seed)
    n = 500
    group, trait = rng.choice(3, n), rng.standard_normal(n)
    X = pd.DataFrame({"group": np.array(["a", "b", "c"])[group], "trait": trait})
    X["other trait"] = trait + 0.3 * rng.standard_normal(n)
    X["other group"] = np.where(rng.random(n) < 0.9, group, rng.choice(3, n)).astype(str)
    for j in range(50):
        X[f"dummy {j}"] = rng.random(n) < 0.3
    encoder = small_encoder(max_steps=700, early_stopping=False, random_state=seed).fit(X)
    decoded = encoder.inverse_transform(encoder.transform(X))
    assert normalized_mutual_info_score(decoded["group"], X["group"]) > 0.5
    assert np.corrcoef(decoded["trait"], X["trait"])[0, 1] > 0.8


def test_columns_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(0)
    n = 300
    X = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], n), "stamp": 1.7e9 + rng.normal(size=n)})
    encoder = small_encoder(likelihood={"stamp": Gaussian()}, max_steps=100).fit(X)
    assert encoder.origin_[0] == 0
    decoded = encoder.sample(500)
    assert abs(decoded["stamp"].mean() - 1.7e9) < 1
    assert 0.3 < decoded["stamp"].std() < 3


def test_plots_and_the_explorer_show_categories_by_name(fitted):
    encoder, X = fitted
    traversal = TraversalDisplay.from_estimator(encoder, X, row=0)
    assert traversal.feature_names[:3] == ["species=Adelie", "species=Chinstrap", "species=Gentoo"]
    assert traversal.decoded.shape[2] == len(traversal.feature_names) == 14
    reconstruction = ReconstructionDisplay.from_estimator(encoder, X.dropna())
    assert reconstruction.reconstruction.shape[1] == 14
    features = compute_values(encoder, X)["traversal"]["features"]
    assert "species=Adelie" in features


@pytest.mark.parametrize("library", [pd, pl])
def test_cells_that_are_there_stay_digit_for_digit(library):
    ids = np.arange(120) + 2**53 + 1
    kind = ["a", "b", None] * 40
    X = library.DataFrame({"id": ids, "x": np.random.default_rng(0).normal(size=120), "c": kind})
    filled = encoder_of(n_components=2, max_steps=20).fit(X).impute(X)
    assert list(filled["id"]) == ids.tolist()
    assert list(filled["x"]) == list(X["x"])
    assert set(filled["c"]) <= {"a", "b"}
