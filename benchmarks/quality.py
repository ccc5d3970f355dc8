"""Held-out log-likelihoods: linear models, a random start, and the start at factor analysis.

    python -m benchmarks.quality [--seeds 5] [--data wine]

Standardised columns, 30 % test rows. The score of an encoder is its ELBO, a lower bound, in nats
per row; those of PCA and FactorAnalysis are exact. Columns that are constant in the training rows
are left out. Times are of one fit on one thread.
"""

import argparse
from collections import defaultdict
from time import perf_counter

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from passive_pruner import VAEEncoder


def curved_surface(n_rows=2000, n_columns=20, n_factors=5):
    """Columns that are smooth functions of a few factors, with noise."""
    rng = np.random.default_rng(0)
    hidden = np.tanh(
        rng.standard_normal((n_rows, n_factors)) @ rng.standard_normal((n_factors, 64))
    )
    return hidden @ rng.standard_normal((64, n_columns)) + 2 * rng.standard_normal(
        (n_rows, n_columns)
    )


def angle(n_rows=3000):
    """Columns that depend on an angle, of which no two are correlated."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, n_rows)[:, np.newaxis] * np.arange(1, 4)
    X = np.hstack([np.cos(angles), np.sin(angles)])
    return X + 0.1 * rng.standard_normal(X.shape)


def tables():
    """Name, data and width of every table."""
    yield "angle", angle(), 4
    yield "breast cancer", load_breast_cancer().data, 10
    yield "wine", load_wine().data, 10
    yield "diabetes", load_diabetes().data, 9
    yield "digits", load_digits().data, 10
    yield "curved surface", curved_surface(), 10
    try:
        import statsmodels.api as sm
    except ImportError:
        return
    yield "star98", sm.datasets.star98.load_pandas().exog.to_numpy(float), 10
    yield "anes96", sm.datasets.anes96.load_pandas().data.to_numpy(float), 9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of splits")
    parser.add_argument("--data", help="name of one of the tables alone")
    arguments = parser.parse_args()
    n_seeds = arguments.seeds
    torch.set_num_threads(1)
    print("| data, width | PCA | FactorAnalysis | random start | factor analysis start |")
    print("|---|---|---|---|---|")
    for name, X, d in tables():
        if arguments.data not in (None, name):
            continue
        scores = defaultdict(list)
        for seed in range(n_seeds):
            train, test = train_test_split(X, test_size=0.3, random_state=seed)
            varies = train.std(axis=0) > 0
            scaler = StandardScaler().fit(train[:, varies])
            train, test = scaler.transform(train[:, varies]), scaler.transform(test[:, varies])
            for model in (PCA(d), FactorAnalysis(d)):
                scores[type(model).__name__].append(model.fit(train).score(test))
            for init in ("random", "factor_analysis"):
                start = perf_counter()
                encoder = VAEEncoder(d, init=init, random_state=seed).fit(train)
                scores[f"{init} seconds"].append(perf_counter() - start)
                scores[f"{init} steps"].append(encoder.n_steps_)
                scores[init].append(encoder.score(test))
        cells = [f"{np.mean(scores[model]):.1f}" for model in ("PCA", "FactorAnalysis")]
        for init in ("random", "factor_analysis"):
            mean = {k: np.mean(scores[k]) for k in (init, f"{init} steps", f"{init} seconds")}
            text = "{:.1f} ({:.0f} steps, {:.1f} s)".format(*mean.values())
            cells.append(text)
        print(f"| {name}, {d} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
