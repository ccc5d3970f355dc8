"""The map of :mod:`benchmarks.pruning`: verdicts, Markdown tables, and a picture."""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from benchmarks._pruning_data import SCALINGS
from benchmarks._pruning_uses import ANY_SCALE, NEIGHBOURS, USES

MAIN_SETTING = (32, 1, "all")
CRITERIA_SHOWN = {
    "active_units": "without passive variables",
    "explained_variance": "without negligible variables",
}
# In points; factors of this many points are powers of FACTOR.
LEAST, NOTHING, FACTOR = 0.5, 1.0, 1.1
MIN_TABLES = 4
LEVELS = {None: "all", "active_units": "no passive", "explained_variance": "no negligible"}
# Uses and scalings that are shown for each table.
BY_TABLE = (
    ("k-means", "raw"),
    ("k-means", "standardised"),
    ("k-means", "sampled"),
    ("5 nearest neighbours", "standardised"),
    ("5 nearest neighbours", "sampled"),
    ("logistic regression", "raw"),
    ("logistic regression", "sampled"),
    ("OLS, largest variance inflation", "standardised"),
)
SIGNS = {"helps": "▲", "hurts": "▼", "does nothing": "=", "undecided": "?"}
# Where colours end, in points.
MOST = 10


@dataclass(frozen=True)
class Cell:
    """Differences of a use on a scale, in points, by table.

    Parameters
    ----------
    by_table : dict of str to list of float
        Table -> difference for each seed on which variables were removed.
    """

    by_table: dict[str, list[float]]

    @property
    def means(self):
        return np.array([np.mean(values) for values in self.by_table.values()])

    @property
    def interval(self):
        return interval(self.means)

    @property
    def verdict(self):
        low, high = self.interval
        if len(self.by_table) < MIN_TABLES:
            return "undecided"
        mean = self.means.mean()
        if low > 0 and mean >= LEAST:
            return "helps"
        if high < 0 and mean <= -LEAST:
            return "hurts"
        if low >= -NOTHING and high <= NOTHING:
            return "does nothing"
        return "undecided"

    @property
    def n_clear(self):
        """Number of tables whose own interval over seeds is above 0, and below."""
        bounds = [interval(np.array(values)) for values in self.by_table.values()]
        return sum(low > 0 for low, _ in bounds), sum(high < 0 for _, high in bounds)


def interval(values):
    """95 % interval for the mean, NaN for fewer than two values."""
    n = len(values)
    if n < 2:
        return np.nan, np.nan
    half = t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return values.mean() - half, values.mean() + half


def cell_of(lines, criterion, use, scaling, against="all"):
    """Differences in some lines, against all variables, "random" or "PCA"."""
    by_table = defaultdict(list)
    for line in lines:
        difference = difference_of(line, criterion, use, scaling, against)
        if difference is not None:
            by_table[line["table"]].append(difference)
    return Cell(dict(by_table))


def difference_of(line, criterion, use, scaling, against):
    """Difference in points, None if nothing was removed or a model could not be fitted."""
    subset = line["subsets"].get(criterion)
    if subset in (None, "all"):
        return None
    what = USES[use]
    if what.is_any_scale and scaling != "sampled":
        scaling = "standardised"
    values = line["values"][scaling].get(use, {})
    other = None if against == "all" else f"{against} {line['n_kept'][criterion]}"
    if subset not in values or not (other is None or other in values):
        return None
    difference = np.subtract(*values[subset])
    if other is not None:
        difference -= np.subtract(*values[other])
    if not np.isfinite(difference):
        return None
    return -difference / np.log10(FACTOR) if what.is_log else 100 * difference


def of_setting(lines, setting):
    return [line for line in lines if (line["width"], line["beta"], line["labels"]) == setting]


def shown_uses():
    return [use for use in USES if use != NEIGHBOURS]


def text_of(use, points):
    """A difference in words: points, or a factor."""
    if USES[use].is_log:
        return f"÷ {FACTOR**points:.3g}" if points >= 0 else f"÷ 1/{FACTOR**-points:.3g}"
    return f"{points:+.1f}"


def full_text(use, cell):
    if not cell.by_table:
        return ""
    bounds = " to ".join(text_of(use, bound) for bound in cell.interval)
    clear = "".join(
        f", {n} {way}" for n, way in zip(cell.n_clear, ("up", "down"), strict=True) if n
    )
    return f"{short_text(use, cell)} ({bounds}); {len(cell.by_table)} tables{clear}"


def print_report(lines, picture=None):
    """Print the tables of the page, and draw its picture to a file.

    Parameters
    ----------
    lines : list of dict
        Lines of the file of results.
    picture : path-like, default=None
        File of the picture; without it none is drawn.
    """
    main = of_setting(lines, MAIN_SETTING)
    for criterion, words in CRITERIA_SHOWN.items():
        print(f"\n### Codes {words}\n")
        print_verdicts(main, criterion)
        print()
        header("use", *SCALINGS)
        for use in shown_uses():
            cells = [cell_of(main, criterion, use, scaling) for scaling in SCALINGS]
            row(use, *(full_text(use, cell) for cell in cells))
        print_choice(main, criterion)
    print_criteria(main)
    print_levels(main)
    print_neighbours(main)
    print_kept(main)
    print_by_table(main)
    print_settings(lines)
    print_cells_run(lines)
    if picture is not None:
        draw(main, picture)


def print_verdicts(lines, criterion):
    """List the uses that pruning helps, hurts, or does nothing to."""
    found = defaultdict(lambda: defaultdict(list))
    for use in shown_uses():
        for scaling in ANY_SCALE if USES[use].is_any_scale else SCALINGS:
            cell = cell_of(lines, criterion, use, scaling)
            if not cell.by_table:
                continue
            is_mean = USES[use].is_any_scale and scaling != "sampled"
            found[cell.verdict][use].append("mean codes of any scale" if is_mean else scaling)
    for verdict in SIGNS:
        uses = [f"{use} ({', '.join(of)})" for use, of in found[verdict].items()]
        print(f"- **{verdict}**: {'; '.join(uses) or 'none'}")


def print_cells_run(lines):
    print("\n### Cells that were run\n")
    header("setting", "tables by seed")
    settings = sorted(
        {(line["width"], line["beta"], line["labels"]) for line in lines},
        key=lambda s: (s[2] != "all", s[1], s[0] != 32, s[0]),
    )
    for setting in settings:
        counts = Counter(line["seed"] for line in of_setting(lines, setting))
        cells = ", ".join(f"seed {seed}: {n}" for seed, n in sorted(counts.items()))
        row(words_of(setting), cells)


def words_of(setting):
    width, beta, labels = setting
    return f"width {width}, beta {beta}, {labels} labels"


def print_kept(lines):
    criteria = list(lines[0]["n_kept"])
    print(f"\n### Variables kept of {MAIN_SETTING[0]}, mean over seeds\n")
    header("table", "seeds", *criteria)
    for table in dict.fromkeys(line["table"] for line in lines):
        of_table = [line for line in lines if line["table"] == table]
        kept = [np.mean([line["n_kept"][name] for line in of_table]) for name in criteria]
        row(table, len(of_table), *(f"{number:.1f}" for number in kept))


def print_choice(lines, criterion):
    """Against a random choice and PCA, on the scale of the codes and standardised."""
    columns = [(against, s) for against in ("random", "PCA") for s in ("raw", "standardised")]
    columns.append(("random", "sampled"))
    print(f"\nPruned by `{criterion}` minus other codes of the same size:\n")
    header("use", *(f"{against}, {scaling}" for against, scaling in columns))
    for use in shown_uses():
        cells = [cell_of(lines, criterion, use, scaling, of) for of, scaling in columns]
        texts = [
            f"{SIGNS[cell.verdict]} {text_of(use, cell.means.mean())}" if cell.by_table else ""
            for cell in cells
        ]
        row(use, *texts)


def print_criteria(lines):
    """All criteria on standardised and sampled codes."""
    criteria = list(lines[0]["n_kept"])
    for scaling in ("standardised", "sampled"):
        print(f"\n### All criteria, {scaling} codes\n")
        header("use", *criteria)
        for use in shown_uses():
            cells = [cell_of(lines, criterion, use, scaling) for criterion in criteria]
            row(use, *(short_text(use, cell) for cell in cells))


def print_levels(lines):
    """What some uses give on all scales, with and without pruning, mean over tables."""
    columns = [(scaling, criterion) for scaling in SCALINGS for criterion in LEVELS]
    print(
        "\n### What is reached: points, mean over tables on which a criterion removes something\n"
    )
    header("use", *(f"{scaling}, {LEVELS[criterion]}" for scaling, criterion in columns))
    for use in shown_uses():
        if USES[use].by_variable or USES[use].is_any_scale:
            continue
        levels = []
        for scaling, criterion in columns:
            found = defaultdict(list)
            for line in lines:
                values = line["values"].get(scaling, {}).get(use, {})
                subset = line["subsets"].get(criterion, "all")
                if np.isfinite(values.get(subset, (np.nan,))[0]):
                    found[line["table"]].append(values[subset][0])
            levels.append(np.mean([np.mean(of) for of in found.values()]) if found else np.nan)
        row(use, *(f"{100 * level:.1f}" for level in levels))


def print_neighbours(lines):
    """Recall of exact neighbours, and bytes per row."""
    print("\n### Neighbours: recall at 10 against those of all variables, and bytes per row\n")
    header("codes", "bytes per row", *SCALINGS)
    for criterion, words in CRITERIA_SHOWN.items():
        removed = [line for line in lines if line["subsets"].get(criterion) not in (None, "all")]
        if not removed:
            continue
        size = np.mean([4 * line["n_kept"][criterion] for line in removed])
        for kind in ("", "random ", "PCA "):
            recalls = []
            for scaling in SCALINGS:
                found = defaultdict(list)
                for line in removed:
                    name = (
                        f"{kind}{line['n_kept'][criterion]}" if kind else line["subsets"][criterion]
                    )
                    values = line["values"][scaling].get(NEIGHBOURS, {})
                    if name in values:
                        found[line["table"]].append(values[name][0])
                means = [np.mean(values) for values in found.values()]
                recalls.append(f"{np.mean(means):.2f}" if means else "")
            label = f"{kind}of the same size" if kind else words
            row(label, f"{size:.0f} of {4 * MAIN_SETTING[0]}", *recalls)


def print_by_table(lines):
    """Differences of some uses for each table."""
    for criterion, words in CRITERIA_SHOWN.items():
        print(f"\n### Table by table: {words}\n")
        header("table", *(f"{use}, {scaling}" for use, scaling in BY_TABLE))
        cells = [cell_of(lines, criterion, use, scaling) for use, scaling in BY_TABLE]
        for table in dict.fromkeys(line["table"] for line in lines):
            texts = [
                text_of(use, np.mean(cell.by_table[table])) if table in cell.by_table else ""
                for (use, _), cell in zip(BY_TABLE, cells, strict=True)
            ]
            row(table, *texts)


def print_settings(lines):
    """Means and verdicts of standardised and raw codes in every setting."""
    settings = list(dict.fromkeys((e["width"], e["beta"], e["labels"]) for e in lines))
    if len(settings) < 2:
        return
    settings.sort(key=lambda s: (s[2] != "all", s[1], s[0]))
    for criterion, words in CRITERIA_SHOWN.items():
        for scaling in ("raw", "standardised"):
            print(f"\n### Other settings: {words}, {scaling} codes\n")
            header("use", *map(words_of, settings))
            for use in shown_uses():
                cells = [
                    cell_of(of_setting(lines, setting), criterion, use, scaling)
                    for setting in settings
                ]
                row(use, *(short_text(use, cell) for cell in cells))


def short_text(use, cell):
    if not cell.by_table:
        return ""
    return f"{SIGNS[cell.verdict]} {text_of(use, cell.means.mean())}"


def draw(lines, path):
    """Draw the heat map of uses and scales."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    uses = shown_uses()
    figure, axes = plt.subplots(1, 2, figsize=(11, 7), sharey=True, layout="constrained")
    for ax, (criterion, words) in zip(axes, CRITERIA_SHOWN.items(), strict=True):
        cells = [[cell_of(lines, criterion, use, scaling) for scaling in SCALINGS] for use in uses]
        means = [[cell.means.mean() if cell.by_table else np.nan for cell in of] for of in cells]
        image = ax.imshow(means, cmap="RdBu", vmin=-MOST, vmax=MOST, aspect="auto")
        for i, use in enumerate(uses):
            for j, cell in enumerate(cells[i]):
                if not cell.by_table:
                    continue
                ax.text(
                    j, i, short_text(use, cell), ha="center", va="center", fontsize=9,
                    fontweight="bold" if cell.verdict in ("helps", "hurts") else "normal",
                    color="white" if abs(means[i][j]) > 0.7 * MOST else "black",
                )  # fmt: skip
        ax.set(title=f"Codes {words}", xticks=range(len(SCALINGS)), yticks=range(len(uses)))
        ax.set_xticklabels(SCALINGS)
        ax.set_yticklabels(uses)
    figure.colorbar(image, ax=axes, label="points gained by pruning", shrink=0.6, extend="both")
    legend = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    figure.supxlabel(f"{legend}; ÷ a factor by which errors shrink", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def header(*names):
    row(*names)
    print("|---" * len(names) + "|")


def row(*cells):
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
