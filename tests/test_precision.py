"""Values that float32 cannot tell apart, values beyond its range, and bytes beside floats."""

import pickle
import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from scipy.sparse import csr_array

from passive_pruner import VAEEncoder
from passive_pruner.exceptions import PrecisionWarning
from passive_pruner.vae import MLP, Conv, Gaussian, Mixed

SEEDS = [0, 1, 2]


def stamps(seed=0, n=400):
    """A time stamp within a minute, a column that follows it, and one of large numbers."""
    rng = np.random.default_rng(seed)
    seconds = rng.uniform(0, 60, n)
    return np.c_[1.7e9 + seconds, 3 * seconds + rng.normal(size=n), 1e6 * rng.normal(size=n)]


def encoder_of(**params):
    return small_encoder(
        **{
            "n_components": 3,
            "max_steps": 600,
            "likelihood": Gaussian("per_feature"),  # columns of any magnitude count alike
            "architecture": MLP(()),
            "batch_size": 128,
        }
        | params
    )


@pytest.fixture(scope="module")
def fitted():
    return encoder_of().fit(stamps())


def explained(decoded, X):
    """Share of the variance of every column that is explained."""
    return 1 - ((decoded - X) ** 2).mean(axis=0) / X.var(axis=0)


CONTAINERS = {
    "array": lambda X: X,
    "column order": np.asfortranarray,
    "frame": lambda X: pd.DataFrame(X, columns=["t", "a", "b"]),
    "sparse": csr_array,
    "list": lambda X: X.tolist(),
    "whole numbers": lambda X: X.round().astype(np.int64),
    "dask array": lambda X: da.from_array(X, chunks=(150, 2)),
    "dask frame": lambda X: dd.from_pandas(pd.DataFrame(X, columns=["t", "a", "b"]), npartitions=3),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_time_stamp_comes_back(container):
    X = stamps()
    encoder = encoder_of().fit(CONTAINERS[container](X))
    codes = encoder.transform(CONTAINERS[container](X))
    decoded = np.asarray(encoder.inverse_transform(codes))
    assert decoded.dtype == np.float64
    assert explained(decoded, X)[:2].min() > 0.8  # the third follows none of the others
    drawn = encoder.sample(500)
    assert abs(drawn[:, 0].mean() - X[:, 0].mean()) < 10
    assert 0.5 < drawn[:, 0].std() / X[:, 0].std() < 1.5


def test_containers_have_the_codes_of_the_array(fitted):
    X = stamps()
    expected = fitted.transform(X), fitted.score_samples(X)
    for container in ("column order", "sparse", "list"):
        same = CONTAINERS[container](X)
        np.testing.assert_allclose(fitted.transform(same), expected[0], atol=1e-5)
        np.testing.assert_allclose(fitted.score_samples(same), expected[1], rtol=1e-6)
    np.testing.assert_allclose(fitted.transform(X[3:4]), expected[0][3:4], atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_units_of_an_origin_change_nothing(seed):
    # Powers of two are added without rounding: the same numbers remain after subtraction.
    X = stamps(seed)
    X[:, 0] = np.round((X[:, 0] - 1.7e9) * 64) / 64
    far = X + np.array([2.0**31, 0, 0])
    near, shifted = (encoder_of(max_steps=200).fit(table) for table in (X, far))
    np.testing.assert_allclose(shifted.transform(far), near.transform(X), atol=1e-2)
    assert abs(shifted.score(far) - near.score(X)) < 0.1
    np.testing.assert_allclose(
        shifted.inverse_transform(shifted.transform(far))[:, 0] - 2.0**31,
        near.inverse_transform(near.transform(X))[:, 0],
        atol=0.5,
    )


def test_only_what_would_be_lost_is_shifted(fitted):
    assert fitted.origin_[0] == pytest.approx(1.7e9, abs=60)
    np.testing.assert_array_equal(fitted.origin_[1:], 0)
    ordinary = encoder_of(max_steps=50).fit(stamps()[:, 1:] + [1000, 0])
    np.testing.assert_array_equal(ordinary.origin_, 0)
    assert ordinary.sample(2).dtype == np.float32
    constant = encoder_of(max_steps=50).fit(np.c_[stamps()[:, 1:], np.full(400, 1.7e9)])
    np.testing.assert_array_equal(constant.origin_, 0)


def test_identifiers_and_missing_cells():
    rng = np.random.default_rng(0)
    number = rng.integers(0, 1000, 300)
    X = np.c_[10**12 + number, number / 300 + rng.normal(0, 0.1, 300), rng.normal(size=300)]
    X[rng.random(X.shape) < 0.1] = np.nan
    encoder = encoder_of(allow_missing=True).fit(X)
    decoded = encoder.inverse_transform(encoder.transform(X))
    known = ~np.isnan(X[:, 0])
    assert np.corrcoef(decoded[known, 0], X[known, 0])[0, 1] > 0.8


def test_partial_fit_keeps_the_origin_of_its_first_batch():
    X = stamps()
    encoder = encoder_of(learning_rate=0.02)
    for _ in range(60):
        encoder.partial_fit(X[:200]).partial_fit(X[200:])
    assert explained(encoder.inverse_transform(encoder.transform(X)), X)[0] > 0.8


def test_the_origin_survives(fitted, tmp_path):
    X = stamps()
    expected = fitted.transform(X), fitted.inverse_transform(fitted.transform(X))
    unpickled = pickle.loads(pickle.dumps(fitted))
    pruned = fitted.pruned(range(3))
    loaded = encoder_of(max_steps=1, random_state=5).fit(X)
    fitted.save_weights(tmp_path / "w.safetensors")
    loaded.load_weights(tmp_path / "w.safetensors")
    for other in (unpickled, pruned, loaded):
        np.testing.assert_allclose(other.transform(X), expected[0], atol=1e-4)
        off = other.inverse_transform(expected[0]) - expected[1]
        assert (np.abs(off) < 1e-3 * X.std(axis=0)).all()


def test_a_new_fit_forgets_the_origin(fitted):
    encoder = pickle.loads(pickle.dumps(fitted))
    encoder.set_params(max_steps=50).fit(stamps() - [1.7e9, 0, 0])
    np.testing.assert_array_equal(encoder.origin_, 0)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_a_likelihood_with_a_fixed_origin_warns(likelihood):
    X = np.c_[4e8 + np.arange(200.0), np.random.default_rng(0).poisson(3, 200)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        encoder_of(likelihood=likelihood, max_steps=5).fit(pd.DataFrame(X, columns=["id", "n"]))
    (warning,) = [w for w in seen if issubclass(w.category, PrecisionWarning)]
    assert "'id'" in str(warning.message)
    assert "'n'" not in str(warning.message)
    assert warning.filename == __file__


def test_parts_of_a_mixed_likelihood_are_shifted_on_their_own():
    X = np.c_[stamps()[:, :2], np.random.default_rng(0).poisson(3, 400)]
    likelihood = Mixed([(Gaussian("per_feature"), [0, 1]), ("poisson", [2])])
    encoder = encoder_of(likelihood=likelihood).fit(X)
    np.testing.assert_array_equal(encoder.origin_ > 0, [True, False, False])
    assert explained(encoder.inverse_transform(encoder.transform(X)), X)[0] > 0.8


# Beyond the range of float32

NODATA = [-3.4e38, -3.4028234663852886e38, 1e300, -1e39]


@pytest.mark.parametrize("value", NODATA)
@pytest.mark.parametrize("container", ["array", "frame", "sparse", "float32"])
def test_nodata_cells_are_named_or_have_finite_codes(value, container):
    X = np.random.default_rng(0).normal(size=(3000, 3))
    encoder = encoder_of(max_steps=50)
    frame = container == "frame"
    encoder.fit(pd.DataFrame(X, columns=list("abc")) if frame else X)
    X[2222, 1] = value
    if container == "float32":
        with np.errstate(over="ignore"):
            X = X.astype(np.float32)
    elif container != "array":
        X = csr_array(X) if container == "sparse" else pd.DataFrame(X, columns=list("abc"))
    for use in (encoder.transform, encoder.posterior, encoder.score_samples, encoder.fit):
        try:
            result = use(X)
        except ValueError as error:
            said = str(error)
            assert ("'b'" if frame else "1") in said
            assert "2222" in said
            assert any(way in said for way in ("clip", "allow_missing"))
        else:
            assert use is not encoder.fit
            assert np.isfinite(np.asarray(result)).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_cells_are_refused(value):
    X = np.random.default_rng(0).normal(size=(300, 3))
    encoder = encoder_of(max_steps=50, allow_missing=True).fit(X)
    X[222, 1] = value
    for table in (X, csr_array(X), pd.DataFrame(X), X.tolist(), X.astype(np.float32)):
        for use in (encoder.transform, encoder.score, encoder.fit, encoder.partial_fit):
            with pytest.raises(ValueError, match=r"infinity|beyond the range"):
                use(table)


# Bytes and floats


def images(kind):
    rng = np.random.default_rng(0)
    grey = (rng.random((120, 1, 1)) * rng.uniform(150, 255, (120, 4, 4))).astype(np.uint8)
    grey[0, 0, 0] = 255
    return {
        "bytes": grey,
        "floats to 255": grey.astype(np.float32),
        "floats to 1": grey / 255,
        "binary bytes": (grey > 100).astype(np.uint8),
        "binary floats": (grey > 100).astype(float),
    }[kind]


# Fitted on -> what has the codes of the same pixels; all other kinds are refused.
SAME = {
    "bytes": ["bytes", "floats to 1"],
    "floats to 255": ["floats to 255"],
    "floats to 1": ["floats to 1"],
    "binary bytes": ["binary bytes", "binary floats"],
    "binary floats": ["binary floats"],
}
REFUSED = {
    "bytes": ["floats to 255"],
    "floats to 255": ["bytes", "binary bytes"],
    "floats to 1": ["bytes", "binary bytes"],
    "binary bytes": ["bytes", "floats to 255"],
    "binary floats": ["bytes", "binary bytes"],
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_pixels_have_the_same_codes_or_are_refused(kind):
    conv = Conv((4, 4, 1), channels=(4,), hidden_size=8)
    encoder = VAEEncoder(
        2, architecture=conv, max_steps=200, learning_rate=5e-3, random_state=0
    ).fit(images(kind))
    for same in SAME[kind]:
        np.testing.assert_allclose(
            encoder.transform(images(same)), encoder.transform(images(kind)), atol=1e-4
        )
    for other in REFUSED[kind]:
        for use in (encoder.transform, encoder.score, encoder.partial_fit, encoder.moments):
            with pytest.raises(ValueError, match=r"X has (bytes|floats)"):
                use(images(other))
    decoded = encoder.inverse_transform(encoder.transform(images(kind)))
    top = 255 if kind == "floats to 255" else 1
    assert 0.3 * top < decoded.max() < 1.5 * top
