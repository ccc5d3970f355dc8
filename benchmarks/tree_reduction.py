"""Does the remover's tree reduction stay exact and small at 10,000 partitions?

``python -m benchmarks.tree_reduction`` simulates it in one process: the moments of every partition
are pickled, as they would be to travel, and merged in groups of `FAN_IN` until one is left. The
partitions are of very different sizes and cut from rows in an order that makes every one of them
unlike the whole: sorted by the first variable. The moments are compared with those of all rows at
once, and with numpy.longdouble arithmetic.
"""

import pickle
import time

import numpy as np

from benchmarks._timing import print_table
from passive_pruner._common._dask import FAN_IN
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import LatentMoments, variance

N_PARTITIONS = 10_000
N_SAMPLES = 200_000


def partitions(n_samples, n_partitions, rng):
    """Slices of random lengths, at least one row each."""
    cuts = np.sort(rng.choice(n_samples - 1, n_partitions - 1, replace=False) + 1)
    return map(slice, [0, *cuts], [*cuts, n_samples])


def reduce_tree(messages):
    """Merge pickled moments in groups: the result, the levels, and processor seconds of a merge."""
    depth, n_merges, start = 0, 0, time.process_time()
    while len(messages) > 1:
        groups = [messages[i : i + FAN_IN] for i in range(0, len(messages), FAN_IN)]
        messages = []
        for group in groups:
            merged, *others = map(pickle.loads, group)
            for other in others:
                merged = merged.merge(other)
            n_merges += len(others)
            messages.append(pickle.dumps(merged))
        depth += 1
    seconds = (time.process_time() - start) / n_merges
    return pickle.loads(messages[0]), depth, seconds


def long_double_covariance(X):
    X = X.astype(np.longdouble)
    X -= X.mean(axis=0)
    return X.T @ X / len(X)


def simulate(n_components, n_samples):
    types = ["active", "passive", "mixed", "passive"] * (n_components // 4)
    posterior, _ = make_posterior(types, n_samples, random_state=0)
    order = np.argsort(posterior.mean[:, 0])
    mean, second = (x[order] for x in posterior)
    once = LatentMoments.from_batch(mean, second)
    rng = np.random.default_rng(0)
    start = time.process_time()
    messages = [
        pickle.dumps(LatentMoments.from_batch(mean[rows], second[rows]))
        for rows in partitions(n_samples, N_PARTITIONS, rng)
    ]
    of_leaves = time.process_time() - start
    tree, depth, of_merge = reduce_tree(messages)
    same = np.array_equal(variance(tree, 0.1), variance(once, 0.1))
    few = slice(min(n_components, 4))  # the slow reference, for as many variables
    exact = long_double_covariance(mean[:, few])
    scale = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    return (
        n_components,
        f"{n_samples:,}",
        f"{len(messages[0]):,}",
        f"{sum(map(len, messages)) / 2**20:.0f} MiB",
        depth,
        f"{1e6 * of_merge:.0f} µs",
        f"{of_leaves:.1f} s",
        "same" if same else "DIFFERENT",
        f"{np.abs(tree.kl - once.kl).max():.0e}",
        *(
            f"{float(np.abs((moments.mean_covariance[few, few] - exact) / scale).max()):.0e}"
            for moments in (tree, once)
        ),
    )


def main():
    header = (
        "variables",
        "rows",
        "bytes of a partition",
        "bytes of all",
        "levels",
        "one merge (processor)",
        "all leaves (processor)",
        "types",
        "KL, tree - at once (nats)",
        "covariance, tree - long double",
        "at once - long double",
    )
    print(f"{N_PARTITIONS:,} partitions, {FAN_IN} merged at a time")
    print_table(header, [simulate(d, N_SAMPLES) for d in (8, 32, 64)])


if __name__ == "__main__":
    main()
