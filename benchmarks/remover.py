"""Speed and memory of PassiveVariableRemover against VarianceThreshold.

``python -m benchmarks.remover``; times are relative to the peer's: lower is better. One thread.
"""

import argparse
import tracemalloc

import numpy as np
from sklearn.feature_selection import VarianceThreshold
from threadpoolctl import threadpool_limits

from benchmarks._timing import in_turn, print_table, ratio
from passive_pruner import PassiveVariableRemover
from passive_pruner.datasets import make_posterior


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    types = ["active", "passive"] * 32
    (mean, variance), _ = make_posterior(types, options.rows, random_state=0)
    both = np.hstack([mean, variance])
    ours, with_variance = PassiveVariableRemover(), PassiveVariableRemover(criterion="variance")
    peer = VarianceThreshold(0.1)

    with threadpool_limits(1):
        times = in_turn(
            {
                "VarianceThreshold.fit": lambda: peer.fit(mean),
                "fit": lambda: ours.fit(mean),
                "fit with variances": lambda: with_variance.fit(both),
                "read pass": lambda: (mean.sum(), variance.sum()),
                "VarianceThreshold.transform": lambda: peer.transform(mean),
                "transform": lambda: ours.transform(mean),
            }
        )
    rows = []
    for name, reference in (
        ("fit", "VarianceThreshold.fit"),
        ("fit with variances", "read pass"),
        ("transform", "VarianceThreshold.transform"),
    ):
        median, low, high = (1 / value for value in ratio(times, name, reference))
        rows.append((f"{name} / {reference}", f"{median:.3f} ({high:.3f} to {low:.3f})"))
    print_table((f"{options.rows:,} x 64 float32", "time relative to the peer"), rows)

    exact = mean.astype(np.float64).var(axis=0)
    error = np.abs(ours.moments_.variance_of_mean / exact - 1).max()
    print(f"\nLargest relative error of a variance: {error:.1e}.")
    for name, model in (("PassiveVariableRemover", ours), ("VarianceThreshold", peer)):
        tracemalloc.start()
        model.fit(mean)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        print(f"{name}.fit: peak {peak:.1f} MiB beside the data of {mean.nbytes / 2**20:.0f} MiB.")


if __name__ == "__main__":
    main()
