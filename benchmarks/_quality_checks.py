"""How many factors the default encoder finds, and whether it needs standardised columns."""

from collections import Counter
from itertools import product

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._quality_data import anes96, of_sklearn
from benchmarks._quality_report import header, mean_of, row
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.regime import CRITERIA

FACTOR_RUNS = 100
FACTOR_COLUMNS, FACTOR_WIDTH = 30, 16
N_FACTORS = (2, 3, 4, 5, 6)
N_ROWS = (500, 1000, 2000, 5000)
NOISE = ("equal", "unequal")
KEPT = ("active", "mixed")

PIPELINE_TABLES = {
    "breast cancer": of_sklearn("breast_cancer"),
    "wine": of_sklearn("wine"),
    "anes96": anes96,
    "digits": of_sklearn("digits"),
    "iris": of_sklearn("iris"),
}
N_FOLDS = 3
SCALED = {"raw": (), "scaled": (StandardScaler(),)}


def factor_table(n_factors, n_rows, noise, seed):
    """Standardised columns that are linear in standard normal factors, with noise.

    Loadings are standard normal. The standard deviation of the noise is 1 in all columns, or drawn
    for each of them between 0.3 and 2.
    """
    rng = np.random.default_rng(seed)
    scale = 1.0 if noise == "equal" else rng.uniform(0.3, 2, FACTOR_COLUMNS)
    factors = rng.standard_normal((n_rows, n_factors))
    X = factors @ rng.standard_normal((n_factors, FACTOR_COLUMNS))
    return StandardScaler().fit_transform(X + scale * rng.standard_normal(X.shape))


def count_factors(results):
    """Count the variables that are not passive on tables with a known number of factors."""
    cells = list(product(N_FACTORS, NOISE, N_ROWS))
    for run in range(FACTOR_RUNS):
        if ("factors", run, "default") in results.known:
            continue
        n_factors, noise, n_rows = cells[run % len(cells)]
        X = factor_table(n_factors, n_rows, noise, run)
        encoder = VAEEncoder(FACTOR_WIDTH, random_state=run).fit(X)
        moments = encoder.moments(X, entropy=True)
        counts = {
            name: int(np.isin(criterion(moments, criterion.threshold), KEPT).sum())
            for name, criterion in CRITERIA.items()
        }
        setting = {"n_factors": n_factors, "noise": noise, "n_rows": n_rows}
        results.add("factors", run, "default", **setting, counts=counts)
        print(f"{setting}: {counts}", flush=True)
    print_factors(results.of("factors"))


def print_factors(runs):
    print("\nRuns in which the number of variables that are not passive is that of the factors.\n")
    criteria = list(runs[0]["counts"])
    header("tables", "runs", *criteria, "all of them")
    groups = {"all": runs}
    for key, values in (("noise", NOISE), ("n_rows", N_ROWS), ("n_factors", N_FACTORS)):
        for value in values:
            groups[f"{key} {value}"] = [run for run in runs if run[key] == value]
    for name, group in groups.items():
        if group:
            right = Counter(c for run in group for c in criteria if is_right(run, c))
            n_all = sum(all(is_right(run, c) for c in criteria) for run in group)
            row(name, len(group), *(right[c] for c in criteria), n_all)


def is_right(run, criterion):
    return run["counts"][criterion] == run["n_factors"]


def compare_pipelines(results, n_seeds):
    """Accuracy of encoder, remover and logistic regression on raw and on standardised columns."""
    for (name, load), seed, (kind, first) in product(
        PIPELINE_TABLES.items(), range(n_seeds), SCALED.items()
    ):
        if (f"pipeline, {name}", seed, kind) in results.known:
            continue
        try:
            X, y = load()
        except ImportError as error:
            print(f"{name}: left out, {error}")
            continue
        pipe = make_pipeline(
            *first,
            VAEEncoder(random_state=seed),
            PassiveVariableRemover(),
            LogisticRegression(max_iter=5000),
        )
        found = cross_validate(pipe, X, y, cv=N_FOLDS, return_estimator=True, error_score="raise")
        score = float(found["test_score"].mean())
        kept = float(np.mean([fitted[-1].n_features_in_ for fitted in found["estimator"]]))
        results.add(f"pipeline, {name}", seed, kind, score=score, kept=kept)
        print(f"{name}, seed {seed}, {kind}: {score:.3f}, {kept:.1f} kept", flush=True)
    print_pipelines(results)


def print_pipelines(results):
    print(f"\nAccuracy in {N_FOLDS} folds, mean over seeds; difference: mean, worst.\n")
    header("data", "raw", "with StandardScaler", "difference", "kept: raw", "with StandardScaler")
    for name in PIPELINE_TABLES:
        runs = results.of(f"pipeline, {name}")
        by_kind = {kind: [run for run in runs if run["model"] == kind] for kind in SCALED}
        pairs = list(zip(*by_kind.values(), strict=False))
        if pairs:
            differences = [raw["score"] - scaled["score"] for raw, scaled in pairs]
            row(
                name,
                *(mean_of(by_kind[kind], lambda run: run["score"], ".3f") for kind in SCALED),
                f"{np.mean(differences):+.3f}, {min(differences):+.3f}",
                *(mean_of(by_kind[kind], lambda run: run["kept"], ".1f") for kind in SCALED),
            )
