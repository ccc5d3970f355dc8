"""Truths about the pictures, read off their artists: they show the numbers and hide none."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder, plots
from passive_pruner.datasets import make_posterior
from passive_pruner.plots._labels import label_points
from passive_pruner.plots._style import TYPE_COLORS, mosaic, order_by_type
from passive_pruner.regime import CRITERIA, LatentMoments

TYPES = ["passive", "active", "mixed", "active", "passive"]


@pytest.fixture(autouse=True)
def agg_and_closed_figures():
    """Draw into memory, whatever backend is set, and close the figures of the test."""
    import matplotlib.pyplot as plt

    backend = plt.get_backend()
    before = set(plt.get_fignums())
    plt.switch_backend("agg")
    yield
    for number in set(plt.get_fignums()) - before:
        plt.close(number)
    plt.switch_backend(backend)


@pytest.fixture(scope="module")
def moments():
    return LatentMoments.from_batch(*make_posterior(TYPES, 500, random_state=0)[0])


@pytest.fixture(scope="module")
def pipe(cancer, fitted_encoder):
    """Scaler, encoder, remover and classifier, fitted on the columns by name."""
    X, y = cancer
    X = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    remover = PassiveVariableRemover(criterion="variance", threshold=0.2)
    codes = fitted_encoder.transform(X.to_numpy())
    steps = [
        ("scale", StandardScaler().fit(X)),
        ("enc", fitted_encoder),
        ("prune", remover.fit(codes)),
        ("clf", LogisticRegression().fit(remover.transform(codes), y)),
    ]
    return Pipeline(steps), X


def render(display):
    """Draw everything; an artist that cannot be drawn fails here."""
    FigureCanvasAgg(display.figure_).draw()
    return display


def test_points_lie_in_the_region_of_their_type(moments):
    display = render(plots.VariableTypesDisplay.from_moments(moments))
    assert display.points_.keys() == {"active", "mixed", "passive"}
    for type_, points in display.points_.items():
        assert same_color(points.get_facecolor()[0], TYPE_COLORS[type_])
        for point in points.get_offsets():
            inside = {
                region
                for region, patch in display.regions_.items()
                if patch.get_bbox().contains(*point)
            }
            # The mixed region lies under the others.
            assert (inside - {"mixed"} or inside) == {type_}
    assert sorted(label.get_text() for label in display.labels_) == list("01234")


def test_regions_of_active_units_meet_at_one_minus_threshold(moments):
    display = plots.VariableTypesDisplay.from_moments(
        moments, criterion="active_units", threshold=0.3
    )
    assert display.regions_["active"].get_bbox().x1 == pytest.approx(0.7)
    assert display.regions_["passive"].get_bbox().x0 == pytest.approx(0.7)


@pytest.mark.parametrize("criterion, statistic", [("active_units", None), ("kl", "kl")])
def test_bars_fall_and_cross_the_threshold_where_the_type_changes(moments, criterion, statistic):
    display = plots.VariableTypesDisplay.from_moments(moments, criterion=criterion, kind="bar")
    render(display)
    heights = [bar.get_height() for bar in display.bars_]
    values = getattr(moments, statistic or "variance_of_mean")
    np.testing.assert_array_equal(heights, np.sort(values)[::-1])
    (at, _) = display.threshold_line_.get_ydata()
    for bar, height in zip(display.bars_, heights, strict=True):
        type_ = "active" if height > at else "passive"
        assert same_color(bar.get_facecolor(), TYPE_COLORS[type_])
    other = "kl" if statistic is None else "variance_of_mean"
    assert display.plot(kind="bar", statistic=other).threshold_line_ is None


def test_labels_overlap_neither_each_other_nor_points():
    rng = np.random.default_rng(0)
    x, y = rng.normal(scale=0.1, size=(2, 40)).round(2)
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.scatter(x, y, s=26)
    ax.set(xlim=(-0.5, 0.5), ylim=(-0.5, 0.5))
    texts = label_points(ax, x, y, [str(i) for i in range(40)])
    figure.canvas.draw()
    extents = [Text.get_window_extent(text) for text in texts]  # without the line to the point
    points = ax.transData.transform(np.column_stack([x, y]))
    for i, a in enumerate(extents):
        assert not any(a.overlaps(b) for b in extents[:i])
        assert not any(a.contains(*point) for point in points)


def test_correlation_is_ordered_and_bracketed_by_type(moments):
    display = render(plots.CorrelationDisplay.from_moments(moments, names=list("abcde")))
    np.testing.assert_array_equal(display.order_, [1, 3, 2, 0, 4])
    assert [t.get_text() for t in display.axes_[0].get_yticklabels()] == list("bdcae")
    for image, covariance in zip(
        display.images_, (moments.mean_covariance, moments.sampled_covariance), strict=True
    ):
        deviation = np.sqrt(covariance.diagonal())
        expected = (covariance / np.outer(deviation, deviation))[np.ix_(*[display.order_] * 2)]
        np.testing.assert_allclose(image.get_array(), expected, atol=1e-12)
    colors = [line.get_color() for line in display.brackets_[0]]
    assert colors == [color for color in TYPE_COLORS.values() for _ in range(2)]
    ends = [line.get_ydata() for line in display.brackets_[0][::2]]
    assert [(round(low), round(high)) for low, high in ends] == [(0, 1), (2, 2), (3, 4)]
    absolute = display.plot(absolute=True).images_[0]
    np.testing.assert_array_equal(
        absolute.get_array(),
        np.abs(display.mean_correlation)[np.ix_(display.order_, display.order_)],
    )


def test_correlation_refuses_moments_that_cannot_tell_it():
    posterior, _ = make_posterior(TYPES, 50, random_state=0)
    for unknown in (
        LatentMoments.from_batch(*posterior, sampled=True),
        LatentMoments.from_batch(posterior.mean),
    ):
        with pytest.raises(ValueError, match="Pass an encoder and X"):
            plots.CorrelationDisplay.from_moments(unknown, types=TYPES)


def test_threshold_shows_scores_errors_and_what_the_remover_would_keep():
    posterior, _ = make_posterior(TYPES, 300, random_state=0)
    X, y = np.hstack(posterior), posterior.mean[:, 1] > 0
    steps = [
        ("prune", PassiveVariableRemover(criterion="variance")),
        ("clf", LogisticRegression()),
    ]
    grid = {"prune__threshold": [0.1, 0, 0.02, 0.3], "clf__C": [0.01, 1.0]}
    search = GridSearchCV(Pipeline(steps), grid, cv=4).fit(X, y)
    display = render(plots.ThresholdDisplay.from_estimator(search))
    assert display.thresholds.tolist() == [0, 0.02, 0.1, 0.3]
    results = pd.DataFrame(search.cv_results_)
    results = results[results["param_clf__C"] == search.best_params_["clf__C"]]
    results = results.sort_values("param_prune__threshold")
    line, _, (errors,) = display.scores_
    np.testing.assert_array_equal(line.get_ydata(), results["mean_test_score"])
    spread = results.filter(regex="split._test_score").std(axis=1, ddof=1) / np.sqrt(4)
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in errors.get_segments()]
    np.testing.assert_allclose(lengths, spread, atol=1e-12)
    kept = [
        search.best_estimator_["prune"].set_params(threshold=t).fit(X).get_support().sum()
        for t in display.thresholds
    ]
    assert [int(text.get_text()) for text in display.counts_] == kept
    (best, _) = display.best_lines_[0].get_xdata()
    assert display.thresholds[int(best)] == search.best_params_["prune__threshold"]


def test_threshold_of_several_metrics_and_without_a_remover():
    posterior, _ = make_posterior(TYPES, 200, random_state=0)
    pipe = Pipeline([("prune", PassiveVariableRemover()), ("clf", LogisticRegression())])
    search = GridSearchCV(
        pipe, {"prune__threshold": [0, 0.1]}, cv=2, scoring=["accuracy", "roc_auc"], refit=False
    ).fit(posterior.mean, posterior.mean[:, 1] > 0)
    display = plots.ThresholdDisplay.from_estimator(search, metric="roc_auc")
    assert len(display.axes_) == 1
    assert "roc_auc" in display.axes_[0].get_ylabel()
    with pytest.raises(ValueError, match=r"metric must be one of \['accuracy', 'roc_auc'\]"):
        plots.ThresholdDisplay.from_estimator(search)
    with pytest.raises(ValueError, match="over one parameter 'threshold'"):
        plots.ThresholdDisplay.from_cv_results({"params": [{"C": 1}], "mean_test_score": [1]})


@pytest.mark.parametrize("image_shape", [None, (5, 6)])
def test_passive_traversals_are_flat(pipe, image_shape):
    pipe, X = pipe
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
    np.testing.assert_allclose(
        display.decoded[:, 3], display.decoded[[0] * 8, 3], rtol=1e-4, atol=1e-5
    )
    if image_shape is None:
        names = [label.get_text() for label in display.ax_.get_xticklabels()]
        assert names == list(X.columns)
        assert len(display.lines_) == 8
    else:
        assert display.image_.get_array().shape == (8 * 6 - 1, 7 * 7 - 1)


def test_traversal_goes_through_the_code_of_a_row(fitted_encoder, cancer):
    X = cancer[0][:50]
    display = plots.TraversalDisplay.from_estimator(fitted_encoder, X, row=7, n_steps=3)
    code = fitted_encoder.posterior(X[7:8]).mean
    code[0, 2] = -2
    np.testing.assert_allclose(
        display.decoded[2, 0], fitted_encoder.inverse_transform(code)[0], rtol=1e-4, atol=1e-5
    )


def test_training_draws_the_history(fitted_encoder):
    display = render(plots.TrainingDisplay.from_estimator(fitted_encoder))
    history = pd.DataFrame(fitted_encoder.history_)
    for key, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), history[key])
    variances = np.stack(history["mean_of_variance"])
    drawn = np.column_stack([line.get_ydata() for line in display.variable_lines_])
    np.testing.assert_array_equal(drawn, variances)
    last = fitted_encoder.history_[-1]
    for line, is_active in zip(
        display.variable_lines_, last["variance_of_mean"] > 0.1, strict=True
    ):
        assert same_color(line.get_color(), TYPE_COLORS["active" if is_active else "passive"])
    best = history["epoch"][history["objective"].argmin()]
    assert [line.get_xdata()[0] for line in display.best_lines_] == [best] * 4


def test_reconstruction_and_its_error(fitted_encoder, cancer):
    X = cancer[0]
    decoded = fitted_encoder.inverse_transform(fitted_encoder.posterior(X).mean)
    display = render(plots.ReconstructionDisplay.from_estimator(fitted_encoder, X, rows=[3, 5]))
    expected = np.sqrt(np.square(X - decoded).mean(axis=0))
    np.testing.assert_allclose([bar.get_height() for bar in display.error_], expected, rtol=1e-4)
    assert len(display.lines_) == 2
    np.testing.assert_array_equal(display.reconstruction, decoded[[3, 5]])
    images = plots.ReconstructionDisplay.from_estimator(fitted_encoder, X, image_shape=(6, 5))
    assert render(images).image_.get_array().shape == (2 * 7 - 1, 8 * 6 - 1)
    sparse = plots.ReconstructionDisplay.from_estimator(fitted_encoder, csr_matrix(X))
    np.testing.assert_allclose(sparse.feature_error, expected, rtol=1e-4)


def test_reconstruction_uses_the_kept_variables_only(pipe):
    pipe, X = pipe
    display = plots.ReconstructionDisplay.from_estimator(pipe, X)
    scaled = pipe["scale"].transform(X)
    codes = pipe["enc"].posterior(scaled).mean
    codes[:, ~pipe["prune"].get_support()[:8]] = 0
    decoded = pipe["enc"].inverse_transform(codes)
    np.testing.assert_allclose(display.reconstruction, decoded[:4], rtol=1e-4, atol=1e-5)
    assert display.feature_names == list(X.columns)


def test_types_of_a_pipeline_are_those_of_its_remover(pipe):
    pipe, X = pipe
    from_data = plots.VariableTypesDisplay.from_estimator(pipe, X)
    np.testing.assert_array_equal(from_data.types, pipe["prune"].variable_types_)
    assert (from_data.criterion, from_data.threshold) == ("variance", 0.2)
    fitted = plots.VariableTypesDisplay.from_estimator(pipe["prune"])
    assert fitted.moments is pipe["prune"].moments_
    other = plots.CorrelationDisplay.from_estimator(pipe, X, criterion="kl", threshold=0.2)
    moments = LatentMoments.from_batch(*pipe["enc"].posterior(pipe["scale"].transform(X)))
    np.testing.assert_array_equal(other.types, CRITERIA["kl"](moments, 0.2))


def test_variables_keep_their_numbers_after_pruning(fitted_encoder, cancer):
    pruned = fitted_encoder.pruned([1, 6])
    for display in (
        plots.VariableTypesDisplay.from_estimator(pruned, cancer[0]),
        plots.TrainingDisplay.from_estimator(pruned),
        plots.TraversalDisplay.from_estimator(pruned, cancer[0]),
    ):
        assert display.names == ["1", "6"]


def test_displays_draw_on_given_axes(moments, fitted_encoder):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    display = plots.CorrelationDisplay.from_moments(moments, ax=axes)
    assert list(display.axes_) == list(axes)
    figure, ax = plt.subplots()
    assert plots.VariableTypesDisplay.from_moments(moments, ax=ax).ax_ is ax
    figure, axes = plt.subplots(1, 2)  # the second is divided
    display = plots.TrainingDisplay.from_estimator(fitted_encoder, ax=axes[1])
    assert display.figure_ is figure
    assert min(panel.get_position().x0 for panel in display.axes_) > axes[0].get_position().x1
    with pytest.raises(ValueError, match="draws on 4 axes, got 2"):
        display.plot(ax=axes)


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda m: plots.VariableTypesDisplay.from_moments(m, kind="pie"), "kind must be"),
        (lambda m: plots.VariableTypesDisplay.from_moments(m, criterion="tea"), "criterion must"),
        (lambda m: plots.VariableTypesDisplay.from_estimator(StandardScaler()), "without X"),
        (
            lambda m: plots.TrainingDisplay.from_estimator(StandardScaler()),
            "needs a fitted encoder",
        ),
        (lambda m: plots.TrainingDisplay.from_estimator(VAEEncoder()), "with history_, which VAE"),
        (lambda m: plots.ThresholdDisplay.from_estimator(StandardScaler()), "fitted search"),
    ],
)
def test_errors_name_what_is_needed(moments, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(moments)


def test_moments_without_variances_have_bars_only(moments):
    means = LatentMoments.from_batch(make_posterior(TYPES, 50, random_state=0)[0].mean)
    draw = plots.VariableTypesDisplay.from_moments
    assert len(draw(means, criterion="active_units", kind="bar").bars_) == 5
    with pytest.raises(ValueError, match="no posterior variances"):
        draw(means, criterion="active_units")


def test_mosaic_keeps_every_image():
    images = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    picture = mosaic(images)
    assert picture.shape == (2 * 5 - 1, 3 * 6 - 1)
    np.testing.assert_array_equal(picture[5:9, 12:17], images[1, 2])
    assert np.isnan(picture[4]).all()


def test_colour_images_are_shown_in_colour():
    display = plots.ReconstructionDisplay(
        *np.random.default_rng(0).uniform(size=(2, 3, 48)), np.ones(48), image_shape=(4, 4, 3)
    )
    assert render(display.plot()).image_.get_array().shape == (9, 14, 3)


def test_order_is_by_type_then_by_value():
    np.testing.assert_array_equal(order_by_type(TYPES, descending=[1, 1, 1, 2, 3]), [3, 1, 2, 4, 0])


def test_without_matplotlib_the_error_names_the_extra():
    code = """
import sys
sys.modules["matplotlib"] = None
import numpy as np
from passive_pruner.plots import VariableTypesDisplay
from passive_pruner.regime import LatentMoments
try:
    VariableTypesDisplay.from_moments(LatentMoments.from_batch(np.eye(2), np.eye(2)))
except ImportError as error:
    assert "VariableTypesDisplay.from_moments requires matplotlib" in str(error)
    assert "passive_pruner[plots]" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
