"""Truths about the pictures of decoded data: reconstructions and traversals."""

import numpy as np
import pytest
from conftest import render, small_encoder
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix

from passive_pruner import VAEEncoder, plots
from passive_pruner.plots._style import TYPE_COLORS, mosaic, show_mosaic
from passive_pruner.vae import Conv, Mixed, NegativeBinomial, Poisson

pytestmark = pytest.mark.usefixtures("agg_and_closed_figures")


@pytest.mark.parametrize("image_shape", [None, (5, 6)])
def test_passive_traversals_are_flat(fitted_pipe, image_shape):
    pipe, X = fitted_pipe
    display = render(plots.TraversalDisplay.from_estimator(pipe, X, image_shape=image_shape))
    types = np.asarray(display.types)
    assert {"active", "passive"} <= set(types)
    passive, others = (display.effects_[types == "passive"], display.effects_[types == "active"])
    assert passive.max() < 0.25 * others.min()
    labels = display.ax_.get_yticklabels()
    assert [label.get_text() for label in labels] == [str(j) for j in display.order_]
    for label, type_ in zip(labels, types[display.order_], strict=True):
        assert same_color(label.get_color(), TYPE_COLORS[type_])
    # The middle of every traversal is the prior mean.
    assert_allclose(display.decoded[:, 3], display.decoded[[0] * 8, 3], rtol=1e-4, atol=1e-5)
    if image_shape is None:
        names = [label.get_text() for label in display.ax_.get_xticklabels()]
        assert names == list(X.columns)
        assert len(display.lines_) == 8
    else:
        assert display.image_.get_array().shape == (8 * 6 - 1, 7 * 7 - 1)


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_every_column_of_a_traversal_stands_by_itself(unit):
    decoded = (
        unit
        * np.random.default_rng(0).normal(size=(60, 5, 7))
        * np.linspace(1, 2, 60)[:, None, None]
    )
    display = plots.TraversalDisplay(np.linspace(-2, 2, 5), decoded, ["passive"] * 60).plot()
    render(display)
    assert len(display.lines_) == len(display.order_) == 40
    assert set(display.effects_[display.order_]) == set(np.sort(display.effects_)[20:])
    for lines in display.lines_:
        ends = np.array(lines.get_segments())[..., 0]
        assert_array_equal(np.rint(ends[:, 0]), np.rint(ends[:, 1]))  # from column to column: none
    (right,) = display.ax_.child_axes
    written = [float(label.get_text()) for label in right.get_yticklabels()]
    assert_allclose(written, display.effects_[display.order_], rtol=0.06)


def test_traversal_goes_through_the_code_of_a_row(fitted_encoder, cancer):
    X = cancer[0][:50]
    display = plots.TraversalDisplay.from_estimator(fitted_encoder, X, row=7, n_steps=3)
    code = fitted_encoder.posterior(X[7:8]).mean
    code[0, 2] = -2
    assert_allclose(
        display.decoded[2, 0], fitted_encoder.inverse_transform(code)[0], rtol=1e-4, atol=1e-5
    )


def test_reconstruction_and_its_error(fitted_encoder, cancer):
    X = cancer[0]
    decoded = fitted_encoder.inverse_transform(fitted_encoder.posterior(X).mean)
    display = render(plots.ReconstructionDisplay.from_estimator(fitted_encoder, X, rows=[3, 5]))
    expected = np.sqrt(np.square(X - decoded).mean(axis=0))
    assert_allclose([bar.get_height() for bar in display.error_], expected, rtol=1e-4)
    assert len(display.lines_) == 2
    assert_array_equal(display.reconstruction, decoded[[3, 5]])
    images = plots.ReconstructionDisplay.from_estimator(fitted_encoder, X, image_shape=(6, 5))
    assert render(images).image_.get_array().shape == (2 * 7 - 1, 8 * 6 - 1)
    sparse = plots.ReconstructionDisplay.from_estimator(fitted_encoder, csr_matrix(X))
    assert_allclose(sparse.feature_error, expected, rtol=1e-4)


@pytest.mark.parametrize("offset, scale", [(0, 1), (1000, 1), (-290, 8), (36.6, 0.4), (1e6, 1)])
def test_profiles_lie_at_the_ticks_of_their_rows(offset, scale):
    X = offset + scale * np.random.default_rng(0).normal(size=(4, 12))
    rows = [12, 7, 30, 4]
    display = plots.ReconstructionDisplay(X, X + 0.1 * scale, np.ones(12), rows=rows).plot()
    render(display)
    bottom, top = display.axes_[0].get_ylim()
    assert bottom - top < 5
    for tick, lines in zip(display.axes_[0].get_yticks(), display.lines_, strict=True):
        for line in lines:
            assert (np.abs(line.get_ydata() - tick) < 0.9).all()
            assert ((line.get_ydata() > top) & (line.get_ydata() < bottom)).all()
    assert [label.get_text() for label in display.axes_[0].get_yticklabels()] == list(
        map(str, rows)
    )


@pytest.mark.parametrize("rows, expected", [([3, 9], [3, 9]), ([-1], [568]), (slice(2, 4), [2, 3])])
@pytest.mark.parametrize("image_shape", [None, (5, 6)])
def test_rows_are_labelled_by_their_numbers(fitted_encoder, cancer, rows, expected, image_shape):
    display = plots.ReconstructionDisplay.from_estimator(
        fitted_encoder, cancer[0], rows=rows, image_shape=image_shape
    )
    ax = display.axes_[0]
    labels = ax.get_yticklabels() if image_shape is None else ax.get_xticklabels()
    assert [int(label.get_text()) for label in labels] == expected
    assert_array_equal(display.original, cancer[0][expected])


@pytest.mark.parametrize(
    "counts, mixed, missing",
    [(Poisson, False, False), (NegativeBinomial, True, False), (Poisson, True, True)],
)
def test_rows_of_counts_are_compared_at_their_own_exposure(counts, mixed, missing):
    rng = np.random.default_rng(0)
    depth = rng.lognormal(5, 1, size=200)
    X = rng.poisson(depth[:, None] * rng.dirichlet(np.ones(6) * 5, 3)[rng.integers(0, 3, 200)])
    X = X.astype(float)
    if missing:
        X[rng.uniform(size=X.shape) < 0.1] = np.nan
    likelihood, counted = counts(exposure="row_sum"), np.arange(6)
    if mixed:
        X = np.column_stack([rng.normal(size=200), X])
        likelihood, counted = Mixed([("gaussian", [0]), (likelihood, slice(1, 7))]), counted + 1
    encoder = small_encoder(likelihood=likelihood, allow_missing=missing).fit(X)
    display = plots.ReconstructionDisplay.from_estimator(encoder, X, rows=np.arange(200))
    present = np.where(np.isnan(X), 0, display.reconstruction)
    assert_allclose(present[:, counted].sum(axis=1), np.nansum(X[:, counted], axis=1), rtol=1e-5)
    decoded = encoder.inverse_transform(encoder.transform(X))
    assert_allclose(
        display.reconstruction[:, ~np.isin(range(X.shape[1]), counted)].ravel(),
        decoded[:, 0] if mixed else [],
        rtol=1e-5,
    )
    error = np.sqrt(np.nanmean((X - display.reconstruction) ** 2, axis=0))
    assert_allclose(display.feature_error, error, rtol=1e-5)
    assert (error[counted] < 0.5 * np.nanstd(X, axis=0)[counted]).all()


@pytest.mark.parametrize("levels", [256, 2])
def test_bytes_and_their_floats_are_drawn_alike(levels):
    X = np.random.default_rng(0).integers(levels, size=(40, 8, 8), dtype=np.uint8)
    architecture = Conv((8, 8, 1), (8, 8), 16)
    encoder = VAEEncoder(2, architecture=architecture, max_steps=1, random_state=0).fit(X)
    floats = X.astype("f4") / (levels - 1)  # in 0..1, as the encoder reads these bytes
    as_bytes = plots.ReconstructionDisplay.from_estimator(encoder, X)
    as_floats = plots.ReconstructionDisplay.from_estimator(encoder, floats)
    assert_allclose(as_bytes.original, floats[:8].reshape(8, -1), rtol=1e-6)
    assert_allclose(as_floats.original, as_bytes.original, rtol=1e-6)
    assert_allclose(as_floats.feature_error, as_bytes.feature_error, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("unit, offset", [(255, 0), (3, -1.5)])
def test_images_look_the_same_in_other_units(channels, unit, offset):
    images = np.random.default_rng(0).uniform(size=(2, 3, 4, 4, channels))
    images.flat[:2] = 0, 1

    def shown(images, value_range):
        picture = show_mosaic(Figure().subplots(), images, value_range)
        picture.figure.draw_without_rendering()
        return picture.to_rgba(picture.get_array())

    same = shown(unit * images + offset, (offset, unit + offset))
    assert_allclose(same, shown(images, (0, 1)), atol=2 / 255)


@pytest.mark.parametrize("display", ["ReconstructionDisplay", "TraversalDisplay"])
def test_pictures_of_an_encoder_share_the_range_of_the_originals(fitted_encoder, cancer, display):
    X = cancer[0]
    image_shape = (5, 2, 3)
    grey = getattr(plots, display).from_estimator(fitted_encoder, X, image_shape=(5, 6))
    colour = getattr(plots, display).from_estimator(fitted_encoder, X, image_shape=image_shape)
    originals = X[:8] if display == "ReconstructionDisplay" else X
    assert_allclose(grey.image_.get_clim(), [originals.min(), originals.max()], rtol=1e-6)
    cells = colour.image_.get_array()[:5]
    assert np.mean((cells > 0) & (cells < 1)) > 0.5  # with the white gaps; not cut off


def test_scale_of_the_error_is_as_tall_as_its_map(fitted_encoder, cancer):
    display = plots.ReconstructionDisplay.from_estimator(
        fitted_encoder, cancer[0], image_shape=(2, 15)
    )
    render(display)
    bar = display.error_.colorbar.ax.get_window_extent()
    error_map = display.axes_[1].get_window_extent()
    assert_allclose([bar.y0, bar.y1], [error_map.y0, error_map.y1], atol=1)


def test_reconstruction_uses_the_kept_variables_only(fitted_pipe):
    pipe, X = fitted_pipe
    display = plots.ReconstructionDisplay.from_estimator(pipe, X)
    scaled = pipe["scale"].transform(X)
    codes = pipe["enc"].posterior(scaled).mean
    codes[:, ~pipe["prune"].get_support()[:8]] = 0
    decoded = pipe["enc"].inverse_transform(codes)
    assert_allclose(display.reconstruction, decoded[:4], rtol=1e-4, atol=1e-5)
    assert display.feature_names == list(X.columns)


def test_mosaic_keeps_every_image():
    images = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    picture = mosaic(images)
    assert picture.shape == (2 * 5 - 1, 3 * 6 - 1)
    assert_array_equal(picture[5:9, 12:17], images[1, 2])
    assert np.isnan(picture[4]).all()


def test_colour_images_are_shown_in_colour():
    display = plots.ReconstructionDisplay(
        *np.random.default_rng(0).uniform(size=(2, 3, 48)), np.ones(48), image_shape=(4, 4, 3)
    )
    assert render(display.plot()).image_.get_array().shape == (9, 14, 3)
