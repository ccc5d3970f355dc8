"""Truths about the pictures, read off their artists: they show the numbers and hide none."""

import copy
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import render
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color, to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder, plots
from passive_pruner.datasets import make_posterior
from passive_pruner.plots._labels import label_points
from passive_pruner.plots._style import TYPE_COLORS, order_by_type
from passive_pruner.regime import CRITERIA, LatentMoments

TYPES = ["passive", "active", "mixed", "active", "passive"]

pytestmark = pytest.mark.usefixtures("agg_and_closed_figures")


@pytest.fixture(scope="module")
def moments():
    return LatentMoments.from_batch(*make_posterior(TYPES, 500, random_state=0)[0])


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


@pytest.mark.parametrize("criterion", ["active_units", "kl", "entropy"])
@pytest.mark.parametrize("seed", range(3))
def test_bars_fall_and_cross_the_threshold_where_the_type_changes(criterion, seed):
    posterior, _ = make_posterior(TYPES, 500, random_state=seed)
    moments = LatentMoments.from_batch(*posterior, entropy=True)
    display = plots.VariableTypesDisplay.from_moments(moments, criterion=criterion, kind="bar")
    render(display)
    heights = [bar.get_height() for bar in display.bars_]
    assert_array_equal(heights, np.sort(getattr(moments, CRITERIA[criterion].statistic))[::-1])
    (at, _) = display.threshold_line_.get_ydata()
    for bar, height in zip(display.bars_, heights, strict=True):
        type_ = "active" if height > at else "passive"
        assert same_color(bar.get_facecolor(), TYPE_COLORS[type_])
    assert display.plot(kind="bar", statistic="mean_of_variance").threshold_line_ is None


def test_bars_of_variances_end_in_the_region_of_their_type(moments):
    display = render(plots.VariableTypesDisplay.from_moments(moments, kind="bar"))
    assert display.threshold_line_ is None  # one line would not tell the types
    colors = {to_hex(color): type_ for type_, color in TYPE_COLORS.items()}
    assert len(display.bars_) == 5
    for bar in display.bars_:
        end = bar.get_x() + bar.get_width() / 2, bar.get_height()
        type_ = colors[to_hex(bar.get_facecolor())]
        assert display.regions_[type_].get_bbox().contains(*end)


def scattered(kind, n, rng):
    """Coordinates and types of points: everywhere, or as latent variables lie."""
    if kind == "everywhere":
        return rng.normal(scale=0.1, size=(2, n)).round(2), None
    x, y = rng.normal([[0.3], [0.1]], 0.01, size=(2, n))
    x[: n // 8], y[: n // 8] = rng.uniform(-0.4, 0.2, size=(2, n // 8))
    return (x, y), np.where(np.arange(n) < n // 8, "active", "passive")


@pytest.mark.parametrize("kind, n", [("everywhere", 40), ("crowd", 16), ("crowd", 256)])
@pytest.mark.parametrize("seed", range(3))
def test_labels_overlap_neither_each_other_nor_points(kind, n, seed):
    (x, y), types = scattered(kind, n, np.random.default_rng(seed))
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.scatter(x, y, s=26)
    ax.set(xlim=(-0.5, 0.5), ylim=(-0.5, 0.5))
    start = time.process_time()
    texts = label_points(ax, x, y, [str(i) for i in range(n)], types)
    assert time.process_time() - start < 3  # 0.2 s; a search that grows with n^3 takes minutes
    figure.canvas.draw()
    extents = [text.get_window_extent() for text in texts]
    points = ax.transData.transform(np.column_stack([x, y]))
    for i, a in enumerate(extents):
        assert not any(a.overlaps(b) for b in extents[:i])
        assert not any(a.contains(*point) for point in points)
    if kind == "crowd":
        assert labelled(texts) == n


def labelled(texts):
    """Count the variables that labels such as "3", "4-6, 8" and "12 passive" stand for."""
    n = 0
    for part in ", ".join(text.get_text() for text in texts).split(", "):
        first, last, count = re.fullmatch(r"(\d+)(?:-(\d+)| ([a-z]+))?", part).groups()
        n += int(first) if count else int(last or first) - int(first) + 1
    return n


def test_correlation_is_ordered_and_bracketed_by_type(moments):
    display = render(plots.CorrelationDisplay.from_moments(moments, names=list("abcde")))
    assert_array_equal(display.order_, [1, 3, 2, 0, 4])
    assert [t.get_text() for t in display.axes_[0].get_yticklabels()] == list("bdcae")
    for image, covariance in zip(
        display.images_, (moments.mean_covariance, moments.sampled_covariance), strict=True
    ):
        deviation = np.sqrt(covariance.diagonal())
        expected = (covariance / np.outer(deviation, deviation))[np.ix_(*[display.order_] * 2)]
        assert_allclose(image.get_array(), expected, atol=1e-12)
    colors = [line.get_color() for line in display.brackets_[0]]
    names = ("active", "mixed", "passive")
    assert colors == [TYPE_COLORS[name] for name in names for _ in range(2)]
    ends = [line.get_ydata() for line in display.brackets_[0][::2]]
    assert [(round(low), round(high)) for low, high in ends] == [(0, 1), (2, 2), (3, 4)]
    absolute = display.plot(absolute=True).images_[0]
    assert_array_equal(
        absolute.get_array(),
        np.abs(display.mean_correlation)[np.ix_(display.order_, display.order_)],
    )


@pytest.mark.parametrize("n_passive", [1, 12, 240])
def test_names_of_types_do_not_overlap(n_passive):
    types = ["active"] * 3 + ["mixed"] + ["passive"] * n_passive
    matrix = np.eye(len(types))
    display = render(plots.CorrelationDisplay(matrix, matrix, types).plot())
    names = [text for text in display.axes_[0].texts if text.get_text() in TYPE_COLORS]
    extents = [name.get_window_extent() for name in names]
    assert len(names) == 3
    for i, extent in enumerate(extents):
        assert not any(extent.overlaps(other) for other in extents[:i])


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
    assert_array_equal(line.get_ydata(), results["mean_test_score"])
    spread = results.filter(regex="split._test_score").std(axis=1, ddof=1) / np.sqrt(4)
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in errors.get_segments()]
    assert_allclose(lengths, spread, atol=1e-12)
    kept = [
        search.best_estimator_["prune"].set_params(threshold=t).fit(X).get_support().sum()
        for t in display.thresholds
    ]
    assert [int(text.get_text()) for text in display.counts_] == kept
    (best, _) = display.best_lines_[0].get_xdata()
    assert display.thresholds[int(best)] == search.best_params_["prune__threshold"]


@pytest.mark.parametrize("thresholds", [[0, 0.1, 0.1000001, 0.10004], [1e-6, 2e-6], [0.3]])
def test_thresholds_are_told_apart_and_the_choice_is_weighed(thresholds):
    n = len(thresholds)
    score, error = np.linspace(0.9, 0.95, n), np.full(n, 0.02)
    display = plots.ThresholdDisplay(thresholds, score, error, best_threshold=thresholds[0])
    render(display.plot())
    labels = [float(label.get_text()) for label in display.axes_[0].get_xticklabels()]
    assert labels == pytest.approx(thresholds, rel=1e-9)
    assert_array_equal(display.within_error_, score >= score[-1] - 0.02)
    title = display.axes_[0].get_title()
    assert f"chosen: score {score[0]:.4g} ± 0.02" in title


def test_scores_of_one_fold_have_no_standard_error():
    results = {
        "params": [{"prune__threshold": 0}, {"prune__threshold": 0.1}],
        "mean_test_score": [0.9, 0.8],
        "std_test_score": [0.0, 0.0],
        "split0_test_score": [0.9, 0.8],
    }
    display = render(plots.ThresholdDisplay.from_cv_results(results))
    assert np.isnan(display.standard_error).all()
    assert display.band_ is None
    assert "±" not in display.axes_[0].get_title()


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


@pytest.mark.parametrize("best_epoch", [None, 3, 9])
def test_training_marks_and_counts_the_epoch_that_is_the_model(fitted_encoder, best_epoch):
    history = fitted_encoder.history_
    display = render(plots.TrainingDisplay(history, best_epoch=best_epoch).plot())
    best = best_epoch or history[-1]["epoch"]
    assert [line.get_xdata()[0] for line in display.best_lines_] == [best] * 4
    (record,) = (record for record in history if record["epoch"] == best)
    is_active = record["variance_of_mean"] > 0.1
    for line, active in zip(display.variable_lines_, is_active, strict=True):
        assert same_color(line.get_color(), TYPE_COLORS["active" if active else "passive"])
    counts = [text.get_text() for text in display.legend_.get_texts()]
    assert counts[0] == f"active ({record['n_active']})"
    for key, line in display.lines_.items():
        sign = -1 if key == "reconstruction" else 1
        assert_array_equal(line.get_ydata(), [sign * record[key] for record in history])
    assert display.lines_.keys() == {"elbo", "reconstruction", "kl", "n_active"}
    assert len({panel.get_xlim() for panel in display.axes_}) == 1
    assert labelled(display.labels_) == len(display.variable_lines_)


def test_training_draws_an_objective_that_is_not_the_elbo(fitted_encoder):
    history = [
        {**record, "objective": record["objective"] + 3} for record in fitted_encoder.history_
    ]
    display = render(plots.TrainingDisplay(history).plot())
    assert_allclose(display.lines_["objective"].get_ydata() + 3, display.lines_["elbo"].get_ydata())
    assert len(display.axes_[0].get_legend().get_texts()) == 4


def test_training_takes_the_epoch_from_the_encoder(fitted_encoder):
    encoder = copy.copy(fitted_encoder)
    encoder.best_epoch_ = 2
    for estimator in (encoder, Pipeline([("enc", encoder)])):
        display = plots.TrainingDisplay.from_estimator(estimator)
        assert [line.get_xdata()[0] for line in display.best_lines_] == [2] * 4


def test_lines_of_training_never_run_back(fitted_encoder):
    record = fitted_encoder.history_[0]
    restarted = [{**record, "epoch": epoch} for epoch in (1, 2, 1, 1, 2)]
    for line in plots.TrainingDisplay(restarted).plot().lines_.values():
        assert (np.diff(line.get_xdata()) > 0).all()


def test_training_of_a_pruned_encoder_counts_its_own_variables(fitted_encoder):
    is_active = fitted_encoder.history_[-1]["variance_of_mean"] > 0.1
    keep = [np.flatnonzero(is_active)[0], *np.flatnonzero(~is_active)]
    display = plots.TrainingDisplay.from_estimator(fitted_encoder.pruned(keep))
    assert display.lines_["n_active"].get_ydata()[-1] == 1
    assert display.lines_["n_active"].get_ydata().max() <= len(keep)


@pytest.mark.parametrize(
    "fitted_with, criterion",
    [(c, None) for c in CRITERIA] + [(c, c) for c in CRITERIA] + [("variance", "entropy")],
)
def test_types_are_those_of_the_rows_by_the_rule_of_the_remover(
    fitted_pipe, fitted_with, criterion
):
    pipe, X = fitted_pipe
    encoder = pipe["enc"]
    codes = encoder.transform(pipe["scale"].transform(X))
    codes = codes if CRITERIA[fitted_with].reads_variances else codes[:, :8]
    if fitted_with == "explained_variance":
        codes = codes * encoder.code_scale_
    remover = PassiveVariableRemover(criterion=fitted_with, threshold=0.2).fit(codes)
    remover.set_params(threshold=0.9, criterion="variance")  # not fitted: no part of the model
    steps = Pipeline([*pipe.steps[:2], ("prune", remover)])
    rows = X[X["column 0"] > X["column 0"].quantile(0.9)] * [1, *[0.2] * 29]
    moments = encoder.moments(pipe["scale"].transform(rows), entropy=True)
    rule = criterion or fitted_with
    threshold = 0.2 if rule == fitted_with else 0.1
    expected = CRITERIA[rule](moments, threshold)
    display = plots.VariableTypesDisplay.from_estimator(steps, rows, criterion=criterion)
    assert (display.criterion, display.threshold) == (rule, threshold)
    assert_array_equal(display.types, expected)
    other = plots.CorrelationDisplay.from_estimator(steps, rows, criterion=criterion)
    assert_array_equal(other.types, expected)
    if criterion is None:
        assert_array_equal(plots.TraversalDisplay.from_estimator(steps, rows).types, expected)
    given = plots.VariableTypesDisplay.from_estimator(
        steps, rows, criterion=criterion, threshold=0.03, kind="bar"
    )
    assert_array_equal(given.types, CRITERIA[rule](moments, 0.03))


def test_without_rows_the_moments_are_those_of_the_remover(fitted_pipe):
    pipe, _ = fitted_pipe
    fitted = plots.VariableTypesDisplay.from_estimator(pipe["prune"])
    assert fitted.moments is pipe["prune"].moments_
    assert_array_equal(fitted.types, pipe["prune"].variable_types_)
    with pytest.raises(ValueError, match="With an encoder and X, VariableTypesDisplay makes"):
        plots.VariableTypesDisplay.from_estimator(pipe["prune"], criterion="entropy")


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


def test_order_is_by_type_then_by_value():
    assert_array_equal(order_by_type(TYPES, descending=[1, 1, 1, 2, 3]), [3, 1, 2, 4, 0])


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


@pytest.mark.parametrize("seed", range(3))
def test_the_scree_shows_shares_in_descending_order(seed):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(5, 0.5))
    display = render(plots.ScreeDisplay(share, TYPES, names=list("abcde"), threshold=0.01).plot())
    heights = np.array([bar.get_height() for bar in display.bars_])
    assert_allclose(heights, np.sort(share)[::-1])
    assert_allclose(display.cumulative_line_.get_ydata(), heights.cumsum())
    assert [label.get_text() for label in display.labels_] == ["abcde"[j] for j in display.order_]
    for bar, j in zip(display.bars_, display.order_, strict=True):
        assert same_color(bar.get_facecolor(), TYPE_COLORS[TYPES[j]])
    assert display.threshold_line_.get_ydata()[0] == 0.01


def test_the_scree_takes_types_from_wherever_they_are_known(fitted_encoder, cancer):
    X, _ = cancer
    encoder = copy.copy(fitted_encoder).set_params(whiten=False, add_variance=False)
    expected = CRITERIA["variance"](encoder.moments(X), 0.1)
    of_data = plots.ScreeDisplay.from_estimator(encoder, X)
    assert_array_equal(of_data.types, expected)
    assert of_data.threshold_line_ is None
    of_history = plots.ScreeDisplay.from_estimator(encoder)
    assert set(of_history.types) <= {"active", "passive"}
    remover = PassiveVariableRemover(criterion="explained_variance").fit(encoder.transform(X))
    for given in (None, X):
        display = render(
            plots.ScreeDisplay.from_estimator(Pipeline([("e", encoder), ("r", remover)]), given)
        )
        assert_array_equal(display.types, remover.variable_types_)
        assert display.threshold == 0.01
        assert_array_equal(display.explained_variance_ratio, encoder.explained_variance_ratio_)
    with pytest.raises(ValueError, match="needs an encoder with explained_variance_ratio_"):
        plots.ScreeDisplay.from_estimator(PretrainedEncoder().fit(X[:, :8]))
