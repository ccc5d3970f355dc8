"""Figures of a sweep."""

from io import BytesIO

import numpy as np

from passive_pruner._common._files import write_whole
from passive_pruner.regime._criteria import PASSIVE
from passive_pruner.study._summary import by_strength, downstream, total_correlations

_COLORS = {"mean": "tab:blue", "sampled": "tab:orange"}


def save_figures(output, models, subsets, correlations):
    """Save the figures that have something to show; return the names of their files.

    Parameters
    ----------
    output : Path
        Folder of the files.
    models, subsets, correlations : DataFrame
        As :func:`passive_pruner.study._sweep.read_results` returns them.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    OSError
        If a file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib: pip install 'passive_pruner[plots]'."
        ) from error

    averages = by_strength(total_correlations(models, subsets))
    figures = {
        f"total_correlation_{dataset}.png": _total_correlation(Figure, group)
        for dataset, group in averages.groupby("dataset", sort=False)
        if np.isfinite(group["mean_full"]).any()
    }
    effects = downstream(subsets)
    if len(effects):
        figures["scores.png"] = _scores(Figure, effects, subsets)
        figures["effect.png"] = _effect(Figure, effects)
    passive = (correlations["type_1"] == PASSIVE) | (correlations["type_2"] == PASSIVE)
    if passive.any():
        figures["correlation_in_training.png"] = _training(Figure, correlations[passive])
    for name, figure in figures.items():
        image = BytesIO()
        figure.savefig(image, format="png", dpi=120)
        write_whole(output / name, image.getvalue())
    return list(figures)


def _total_correlation(Figure, averages):
    """Total correlation of mean and sampled codes by objective and strength."""
    objectives = averages["objective"].unique()
    figure = Figure(figsize=(2.6 * len(objectives) + 1, 3), layout="constrained")
    for ax, objective in zip(_row(figure, len(objectives)), objectives, strict=True):
        group = averages[averages["objective"] == objective]
        x = np.arange(len(group))
        for representation, color in _COLORS.items():
            for subset, style, label in (
                ("full", "-o", representation),
                ("no_passive", "--s", f"{representation}, no passive"),
            ):
                y = group[f"{representation}_{subset}"].replace(np.inf, np.nan)
                ax.plot(x, y, style, color=color, markersize=4, label=label)
        ax.set_xticks(x, [f"{s:g}" for s in group["strength"]])
        ax.set_title(objective)
        ax.set_xlabel("strength")
    figure.axes[0].set_ylabel("total correlation (nats)")
    figure.axes[-1].legend(fontsize="small")
    figure.suptitle(averages["dataset"].iloc[0])
    return figure


def _scores(Figure, effects, subsets):
    """Test scores by subset, averaged over the models that have passive and other variables."""
    columns = {"all": "all", "without_passive": "without\npassive", "passive_only": "passive\nonly"}
    guesses = subsets[(subsets["subset"] == "random") & (subsets["metric"] == "test_score")]
    chance = guesses.groupby("dataset")["value"].mean()
    datasets = effects["dataset"].unique()
    figure = Figure(figsize=(2.6 * len(datasets) + 2, 3.2), layout="constrained")
    for ax, dataset in zip(_row(figure, len(datasets)), datasets, strict=True):
        for row in effects[effects["dataset"] == dataset].itertuples():
            ax.plot(
                range(len(columns)),
                [getattr(row, column) for column in columns],
                {"logistic_regression": "o", "gradient_boosting": "^"}[row.estimator]
                + ("-" if row.standardised else "--"),
                color=_COLORS[row.representation],
                fillstyle="full" if row.standardised else "none",
                label=f"{row.representation}, {_label(row)}",
            )
        ax.axhline(chance[dataset], color="grey", linestyle=":", label="uniform guess")
        ax.set_xticks(range(len(columns)), columns.values())
        ax.set_title(dataset)
    figure.axes[0].set_ylabel("test accuracy")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center",
                  fontsize="small")  # fmt: skip
    return figure


def _effect(Figure, table):
    """Effect of removing passive variables on test scores of mean codes."""
    table = table[table["representation"] == "mean"]
    table = table.sort_values(["dataset", "estimator", "standardised"], ascending=False)
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(table)), layout="constrained")
    ax = figure.subplots()
    y = np.arange(len(table))
    ax.errorbar(100 * table["difference"], y, xerr=200 * table["standard_error"], fmt="o")
    ax.axvline(0, color="grey", linewidth=0.8)
    ax.set_yticks(y, [f"{row.dataset}: {_label(row)}" for row in table.itertuples()])
    ax.set_xlabel("accuracy without passive variables\nminus with them (points, two s.e.)")
    return figure


def _label(row):
    return row.estimator.replace("_", " ") + (", standardised" if row.standardised else "")


def _training(Figure, table):
    """Correlation of variables that end as passive, over training."""
    datasets = table["dataset"].unique()
    figure = Figure(figsize=(3 * len(datasets) + 1, 3), layout="constrained")
    for ax, dataset in zip(_row(figure, len(datasets)), datasets, strict=True):
        group = table[table["dataset"] == dataset]
        for representation, color in _COLORS.items():
            rows = group[group["representation"] == representation]
            curve = rows.groupby("step")["mean_absolute_correlation"].mean()
            ax.plot(curve.index, curve, "-o", color=color, markersize=4, label=representation)
        ax.set_xscale("log")
        ax.set_title(dataset)
        ax.set_xlabel("gradient steps")
    figure.axes[0].set_ylabel("|correlation| with passive variables")
    figure.axes[-1].legend(fontsize="small")
    return figure


def _row(figure, n):
    """Axes side by side with a common vertical scale."""
    return figure.subplots(1, n, sharey=True, squeeze=False)[0]
