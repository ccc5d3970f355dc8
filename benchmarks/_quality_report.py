"""Markdown tables of the results of :mod:`benchmarks.quality`."""

from collections import defaultdict

import numpy as np

# Below the best ELBO of a loop by hand by this much, it is as good as there.
NEAR = 0.1
# How far below its rivals the default may be.
MARGINS = (0.05, 0.1, 0.3)
LINEAR = ("PCA", "FactorAnalysis")
BY_HAND = ("by hand, shared noise", "by hand, noise per column")
ENCODERS = ("random start", "default")
VARIANTS = ("as they come", "pruned", "standardised")


def print_report(results):
    """Print all tables.

    Parameters
    ----------
    results : list of dict
        Lines of the file of results.
    """
    runs = defaultdict(lambda: defaultdict(dict))  # table -> seed -> model -> result
    for result in results:
        runs[result["table"]][result["seed"]][result["model"]] = result
    runs = {
        table: [models for _, models in sorted(seeds.items()) if "default" in models]
        for table, seeds in runs.items()
    }
    runs = {table: seeds for table, seeds in runs.items() if seeds}
    print_elbo(runs)
    print_times(runs)
    print_passive(runs)
    print_codes(runs)


def print_elbo(runs):
    models = (*LINEAR, *BY_HAND, *ENCODERS)
    print(
        "\nHeld-out log-likelihood or ELBO in nats per row. Margins of the default: mean, worst.\n"
    )
    header(
        "data",
        "seeds",
        *models,
        "margin to the better linear model",
        "margin to the better loop by hand",
    )
    margins = {LINEAR: {}, BY_HAND: {}}
    for table, seeds in runs.items():
        cells = [mean_of(seeds, lambda models, m=m: elbo(models, m), ".2f") for m in models]
        for rivals, of_table in margins.items():
            found = drop_none(margin(models, rivals) for models in seeds)
            if found:
                of_table[table] = found
            cells.append(mean_and_worst(found, min, "+.2f"))
        row(table, len(seeds), *cells)
    for name, of_table in zip(("linear model", "loop by hand"), margins.values(), strict=True):
        if not of_table:
            continue
        lowest = {table: min(found) for table, found in of_table.items()}
        table = min(lowest, key=lowest.get)
        counts = [
            f"{sum(np.mean(found) >= -limit for found in of_table.values())} have a mean and "
            f"{sum(low >= -limit for low in lowest.values())} a worst margin of at least -{limit}"
            for limit in MARGINS
        ]
        print(
            f"\nMargin to the better {name}: worst {lowest[table]:+.2f} ({table}); of "
            f"{len(of_table)} tables {', '.join(counts)}."
        )


def print_times(runs):
    print(
        "\nWhole fit of the default, and CPU time until a loop by hand first is within "
        f"{NEAR} nats of its ELBO in the end; ratios by the time to that of the better loop: "
        "geometric mean, worst.\n"
    )
    header(
        "data", "default: s", "CPU s", "steps",
        *(f"{name}: CPU s (steps)" for name in BY_HAND),
        "better loop: CPU s (steps)", "ratio",
    )  # fmt: skip
    all_logs, worst = [], {}
    for table, seeds in runs.items():
        arrivals = [mean_arrival([first_near(m, [name]) for m in seeds]) for name in BY_HAND]
        of_best = [first_near(models, BY_HAND) for models in seeds]
        ratios = [
            models["default"]["cpu"] / look["cpu"]
            for models, look in zip(seeds, of_best, strict=True)
            if look
        ]
        times = [
            mean_of(seeds, lambda models, k=key: models["default"][k], form)
            for key, form in (("seconds", ".2f"), ("cpu", ".2f"), ("steps", ".0f"))
        ]
        cell = ""
        if ratios:
            all_logs.append(np.log(ratios).mean())
            worst[table] = max(ratios)
            cell = f"{np.exp(all_logs[-1]):.2f}, {max(ratios):.2f}"
        row(table, *times, *arrivals, mean_arrival(of_best), cell)
    if worst:
        table = max(worst, key=worst.get)
        print(
            f"\nGeometric mean of the ratios over tables {np.exp(np.mean(all_logs)):.2f}, worst "
            f"{worst[table]:.2f} ({table})."
        )


def print_passive(runs):
    print("\nVariables that are not passive, mean over splits.\n")
    header("data", *(f"{name}, {rule}" for name in ENCODERS for rule in ("variance", "kl")))
    for table, seeds in runs.items():
        cells = [
            mean_of(seeds, lambda m, n=name, r=rule: m.get(n, {}).get(f"non-passive, {r}"), ".1f")
            for name in ENCODERS
            for rule in ("variance", "kl")
        ]
        row(table, *cells)


def print_codes(runs):
    shown = [(model, variant) for model in LINEAR for variant in ("as they come", "standardised")]
    shown += [(model, variant) for model in ENCODERS for variant in VARIANTS]
    for predictor in ("logistic regression", "5-NN", "k-means", "ridge"):
        lines = []
        differences = defaultdict(list)
        for table, seeds in runs.items():
            values = [mean_score(seeds, *of, predictor) for of in shown]
            if all(value is None for value in values):
                continue
            lines.append((table, *("" if v is None else f"{v:.3f}" for v in values)))
            best_linear = max(drop_none(values[:4]), default=None)
            for variant in VARIANTS:
                value = values[shown.index(("default", variant))]
                if None not in (value, best_linear):
                    differences[variant].append(value - best_linear)
        if not lines:
            continue
        print(f"\nTest scores of {predictor} on codes, mean over splits.\n")
        header("data", *(f"{model}, {variant}" for model, variant in shown))
        for line in lines:
            row(*line)
        texts = [
            f"{variant} {np.mean(d):+.3f}, worst {min(d):+.3f}"
            for variant, d in differences.items()
        ]
        print(f"\nDefault against the best of the linear ones: {'; '.join(texts)}.")


def elbo(models, name):
    return models.get(name, {}).get("elbo")


def margin(models, rivals):
    """ELBO of the default over that of the best rival, None without one."""
    known = drop_none(elbo(models, name) for name in rivals)
    return elbo(models, "default") - max(known) if known else None


def first_near(models, names):
    """First look of a loop by hand that is near the best that these loops end with.

    The ELBO of the end is that of the look with the best held-out part of the training rows, on the
    same test rows and draws as that of all looks.
    """
    loops = [models[name]["looks"] for name in names if name in models]
    if not loops:
        return None
    ends = [[look["elbo"] for look in looks if look["is_best"]][-1] for looks in loops]
    near = [look for looks in loops for look in looks if look["elbo"] >= max(ends) - NEAR]
    return min(near, key=lambda look: look["cpu"])


def mean_arrival(looks):
    looks = drop_none(looks)
    if not looks:
        return ""
    cpu, steps = (np.mean([look[key] for look in looks]) for key in ("cpu", "step"))
    return f"{cpu:.2f} ({steps:.0f})"


def mean_score(seeds, model, variant, predictor):
    found = drop_none(
        models.get(model, {}).get("codes", {}).get(variant, {}).get(predictor) for models in seeds
    )
    return np.mean(found) if found else None


def mean_of(seeds, value, form):
    found = drop_none(value(models) for models in seeds)
    return format(np.mean(found), form) if found else ""


def mean_and_worst(values, worst, form):
    return f"{np.mean(values):{form}}, {worst(values):{form}}" if values else ""


def drop_none(values):
    return [value for value in values if value is not None]


def header(*names):
    row(*names)
    print("|---" * len(names) + "|")


def row(*cells):
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
