"""Tables of a sweep, and whether it confirms the claims of "Be More Active!"."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from passive_pruner._common._files import write_whole
from passive_pruner.regime._criteria import PASSIVE, TYPES

MODEL = ["dataset", "objective", "strength", "seed"]
# Two total correlations this close, in nats, are called equal.
AGREEMENT = 0.5
# Objectives whose regularisation gets weaker as their strength grows: a larger capacity admits
# more information.
WEAKENING = ("annealed_vae",)
NO_PASSIVE = "No model has passive variables."


class Claim(NamedTuple):
    """A claim, the rule that decides it, whether it is confirmed (None: no data), and numbers."""

    claim: str
    rule: str
    confirmed: bool | None
    numbers: str


def total_correlations(models, subsets):
    """One row per model: counts of types, and total correlations in nats.

    Infinite values, of variables that are linear in each other, are kept.
    """
    table = subsets[(subsets["metric"] == "total_correlation") & ~subsets["standardised"]]
    table = table[table["subset"].isin(["full", "active+mixed"])]
    names = {"full": "full", "active+mixed": "no_passive"}
    column = table["representation"] + "_" + table["subset"].map(names)
    wide = table.assign(column=column).pivot(index=MODEL, columns="column", values="value")
    wanted = [f"{r}_{s}" for s in ("full", "no_passive") for r in ("mean", "sampled")]
    wide = wide.reindex(columns=wanted)
    return models.set_index(MODEL)[[*TYPES]].join(wide).reset_index()


def by_strength(totals):
    """Average over seeds."""
    keys = ["dataset", "objective", "strength"]
    return totals.drop(columns="seed").groupby(keys, sort=False).mean().reset_index()


def downstream(subsets):
    """Effect of removing passive variables on test scores, averaged over factors and models.

    Only models with passive and with other variables count.

    Returns
    -------
    table : DataFrame
        Per data set, estimator, representation and scaling: number of models, mean test score
        with all variables, difference without the passive ones, and its standard error over
        models.
    """
    table = subsets[(subsets["metric"] == "test_score") & (subsets["subset"] != "random")]
    keys = ["estimator", "representation", "standardised"]
    wide = table.pivot_table(index=[*MODEL, *keys], columns="subset", values="value")
    wide = wide.reindex(columns=["full", "active+mixed", "passive"]).dropna()
    wide["difference"] = wide["active+mixed"] - wide["full"]
    groups = wide.groupby(["dataset", *keys])
    return pd.DataFrame(
        {
            "models": groups.size(),
            "all": groups["full"].mean(),
            "without_passive": groups["active+mixed"].mean(),
            "passive_only": groups["passive"].mean(),
            "difference": groups["difference"].mean(),
            "standard_error": groups["difference"].sem(),
        }
    ).reset_index()


def check_claims(totals, subsets, correlations):
    """Decide the claims of the paper by rules on the results of a sweep."""
    return [
        *_claims_on_totals(totals),
        _claim_on_correlations(correlations),
        _claim_on_strength(totals),
        *_claims_on_scores(downstream(subsets)),
    ]


def _claims_on_totals(totals):
    with_passive = totals[totals["passive"] > 0]
    higher = with_passive["mean_full"] > with_passive["sampled_full"]
    yield Claim(
        "The mean representation has a higher total correlation than the sampled one.",
        "In at least 95 % of the models with passive variables.",
        bool(higher.mean() >= 0.95) if len(higher) else None,
        f"{higher.sum()} of {len(higher)} models; medians "
        f"{with_passive['mean_full'].median():.2f} and "
        f"{with_passive['sampled_full'].median():.2f} nats."
        if len(higher)
        else NO_PASSIVE,
    )
    both = with_passive[with_passive["active"] + with_passive["mixed"] > 1]
    before = both["mean_full"] - both["sampled_full"]
    after = both["mean_no_passive"] - both["sampled_no_passive"]
    close = after <= AGREEMENT
    counts = close.groupby(both["objective"], sort=False).agg(["sum", "size"])
    numbers = "No model has passive variables and at least two others."
    if len(close):
        numbers = (
            f"{close.sum()} of {len(close)} models; the median difference is {before.median():.2f} "
            f"nats with and {after.median():.2f} nats without them. By objective: "
            + ", ".join(f"{row.Index} {row.sum} of {row.size}" for row in counts.itertuples())
            + "."
        )
    yield Claim(
        "Without passive variables the two agree.",
        f"In at least 90 % of the models with passive variables and at least two others, the total "
        f"correlations differ by at most {AGREEMENT} nats.",
        bool(close.mean() >= 0.9) if len(close) else None,
        numbers,
    )


def _claim_on_correlations(correlations):
    last = correlations.groupby(MODEL)["step"].transform("max") == correlations["step"]
    passive = (correlations["type_1"] == PASSIVE) | (correlations["type_2"] == PASSIVE)
    table = correlations[last & passive]
    weighted = table.assign(total=table["mean_absolute_correlation"] * table["n_pairs"])
    sums = weighted.groupby([*MODEL, "representation"])[["total", "n_pairs"]].sum()
    values = sums["total"] / sums["n_pairs"]
    confirmed, numbers = None, NO_PASSIVE
    if len(values):
        wide = values.unstack("representation")
        n_higher = int((wide["mean"] > wide["sampled"]).sum())
        confirmed = bool(wide["sampled"].median() <= 0.05 < wide["mean"].median())
        numbers = (
            f"Medians {wide['mean'].median():.3f} in mean and {wide['sampled'].median():.3f} in "
            f"sampled codes; higher in mean codes for {n_higher} of {len(wide)} models."
        )
    return Claim(
        "Passive variables are correlated with others in the mean representation and not in the "
        "sampled one.",
        "The median over models of their mean absolute correlation is above 0.05 in mean and at "
        "most 0.05 in sampled codes.",
        confirmed,
        numbers,
    )


def _claim_on_strength(totals):
    rows = []
    for (dataset, objective), group in totals.groupby(["dataset", "objective"], sort=False):
        if group["strength"].nunique() < 2:
            continue
        sign = -1 if objective in WEAKENING else 1
        constant = group["passive"].nunique() == 1
        rho = 0.0 if constant else sign * spearmanr(group["strength"], group["passive"]).statistic
        means = group.groupby("strength")["passive"].mean()
        first, last = (means.iloc[0], means.iloc[-1])[::sign]
        rows.append((dataset, objective, rho, first, last))
    grows = [row for row in rows if row[2] > 0]
    return Claim(
        "Stronger regularisation makes more variables passive.",
        "For every objective and data set the rank correlation of strength and number of passive "
        "variables is positive; the capacity of AnnealedVAE counts as strong where it is small.",
        len(grows) == len(rows) if rows else None,
        f"{len(grows)} of {len(rows)} combinations. Weakest to strongest: "
        + "; ".join(f"{d} {o} {a:.1f} to {b:.1f}" for d, o, _, a, b in rows)
        + "."
        if rows
        else "No objective was trained at two strengths.",
    )


def _claims_on_scores(table):
    table = table[(table["estimator"] == "logistic_regression")]
    for dataset, group in table[table["representation"] == "mean"].groupby("dataset", sort=False):
        parts = []
        for row in group.itertuples(index=False):
            scaled = "with" if row.standardised else "without"
            # The standard error of a single model is not known.
            error = f" ± {100 * row.standard_error:.2f}" if row.models > 1 else ""
            models = f"{row.models} model{'s' if row.models > 1 else ''}"
            parts.append(
                f"{scaled} standardisation {100 * row.difference:+.2f}{error} points ({models})"
            )
        yield Claim(
            f"Removing passive variables does not harm logistic regression on mean codes of "
            f"{dataset}.",
            "The mean difference in test accuracy is at least -1 percentage point, with and "
            "without standardisation.",
            bool(group["difference"].min() >= -0.01),
            "Test accuracy without minus with them: " + ", ".join(parts) + ".",
        )


def write_summary(path, settings, command, models, subsets, correlations, figures):
    """Write the summary of a sweep as Markdown."""
    totals = total_correlations(models, subsets)
    n_planned = len(settings.models())
    lines = [
        "# Mean and sampled representations: summary of a sweep",
        "",
        f"`{command}`",
        "",
        f"{len(models)} of {n_planned} models. Total correlations in nats; types by the rule of "
        "the paper with t = 0.1; averages over seeds.",
        "",
        "## Claims of the paper",
        "",
    ]
    marks = {True: "confirmed", False: "**not confirmed**", None: "no data"}
    claims = check_claims(totals, subsets, correlations)
    lines += _markdown(
        pd.DataFrame(
            [(c.claim, c.rule, marks[c.confirmed], c.numbers) for c in claims],
            columns=["claim", "confirmed if", "result", "numbers"],
        )
    )
    lines += ["", "## Does removing passive variables help?", ""]
    effects = downstream(subsets)
    if len(effects):
        lines += [
            "Test accuracy, averaged over factors and over the models that have passive and other "
            "variables; the difference is without passive variables minus with them.",
            "",
            *_markdown(effects, ".4f"),
        ]
    else:
        lines += ["No model has passive variables and others: there is nothing to compare."]
    lines += ["", "## Total correlation by objective and strength", ""]
    columns = {
        "active": "active", "mixed": "mixed", "passive": "passive",
        "mean_full": "mean", "sampled_full": "sampled",
        "mean_no_passive": "mean, no passive", "sampled_no_passive": "sampled, no passive",
    }  # fmt: skip
    averages = by_strength(totals).rename(columns=columns)
    for dataset, group in averages.groupby("dataset", sort=False):
        lines += [f"### {dataset}", "", *_markdown(group.drop(columns="dataset"), ".2f"), ""]
    lines += [f"![{name}]({name})" for name in figures]
    write_whole(path, "\n".join(lines) + "\n")


def _markdown(table, floats="g"):
    """Lines of a Markdown table."""
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    rows += [[_cell(value, floats) for value in record] for record in table.itertuples(index=False)]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _cell(value, floats):
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, float):
        if np.isnan(value):
            return "-"
        return (
            f"{value:g}"
            if value == int(value if np.isfinite(value) else 0)
            else f"{value:{floats}}"
        )
    return str(value)
