"""Are the verdicts of `study.compare_pruning` those of rows that it has not seen?

``python -m benchmarks.verdicts`` takes three tables that are not in the map of
`benchmarks.pruning`, splits each at random into halves, five times, and asks `compare_pruning` on
the first half whether pruning helps three pipelines. The truth is what pruning does to the second
half: score without passive variables minus score with all, trained on the first. It runs on one
thread. ``--halves`` changes how many there are.
"""

import argparse
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_table
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.study import compare_pruning

N_COMPONENTS = 32
MODELS = {
    "k-means": (lambda k: KMeans(k, n_init=10, random_state=0), "adjusted_rand_score"),
    "5-NN": (lambda k: KNeighborsClassifier(), "accuracy"),
    "logistic regression": (lambda k: LogisticRegression(max_iter=5000), "accuracy"),
}


def of_islp(name, target):
    from ISLP import load_data

    data = load_data(name)
    return data.drop(columns=target).select_dtypes("number").to_numpy(float), data[target]


TABLES = {
    "iris": lambda: load_iris(return_X_y=True),
    "orange juice": lambda: of_islp("OJ", "Purchase"),
    "cars": lambda: of_islp("Auto", "origin"),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--halves", type=int, default=5)
    n_halves = parser.parse_args(argv).halves
    torch.set_num_threads(1)
    rows = []
    for name, load in TABLES.items():
        X, y = load()
        found = [verdicts_and_truths(X, np.asarray(y), seed) for seed in range(n_halves)]
        rows += [(name, model, *summary([one[model] for one in found])) for model in MODELS]
    print_table(
        ("table", "model, standardised codes", "kept", "verdicts", "difference by compare_pruning",
         "on the second half", "decided and right"),
        rows,
    )  # fmt: skip


def verdicts_and_truths(X, y, seed):
    """By model: the row of `compare_pruning` on one half, and the difference on the other."""
    first, second, y_first, y_second = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    found = {}
    with TemporaryDirectory() as cache:
        for name, (model, scoring) in MODELS.items():
            pipe = Pipeline(
                [
                    ("scale", StandardScaler()),
                    ("enc", VAEEncoder(N_COMPONENTS, random_state=seed)),
                    ("prune", PassiveVariableRemover()),
                    ("rescale", StandardScaler()),
                    ("model", model(len(np.unique(y)))),
                ],
                memory=cache,
            )
            (row,) = compare_pruning(
                pipe, first, y_first, scoring=scoring, random_state=seed
            ).itertuples()
            with_all, pruned = (
                check_scoring(pipe, scoring)(
                    clone(pipe).set_params(prune__threshold=threshold).fit(first, y_first),
                    second,
                    y_second,
                )
                for threshold in (0, 0.1)
            )
            found[name] = row, pruned - with_all
    return found


def summary(found):
    verdicts = [row.verdict for row, _ in found]
    truths = np.array([truth for _, truth in found])
    differences = [row.difference for row, _ in found]
    signs = np.array([{"helps": 1, "hurts": -1}.get(verdict, 0) for verdict in verdicts])
    counts = ", ".join(
        f"{verdicts.count(v)} {v}" for v in ("helps", "hurts", "undecided") if v in verdicts
    )
    n_right = np.sum((signs != 0) & (np.sign(truths) == signs))
    return (
        f"{np.mean([row.n_kept for row, _ in found]):.1f}",
        counts,
        f"{100 * np.mean(differences):+.1f}",
        f"{100 * truths.mean():+.1f} ({100 * truths.min():+.1f} to {100 * truths.max():+.1f})",
        f"{n_right} of {np.sum(signs != 0)}",
    )


if __name__ == "__main__":
    main()
