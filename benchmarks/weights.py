"""What weights of rows do: against repeated rows, in gradients, and in the control of errors.

``python -m benchmarks.weights`` prints three Markdown tables in some ten minutes on one thread.

- Encoders on three tables in which one class counts five times: with weights, on repeated rows, and
  without weights. Five splits and seeds; the score is the ELBO of the held-out quarter in which
  that class counts five times, with early stopping and, for 500 steps, without.
- The variance of the gradient of a batch of 64 rows, with weights in the loss of rows that are
  drawn alike, over that of rows that are drawn in proportion to their weights.
- How often a variable is shown to be passive at alpha = 0.05 that is not: its weighted Var(mu),
  over all rows that could be drawn, equals the threshold of 0.1.
"""

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from passive_pruner import VAEEncoder
from passive_pruner.regime import CRITERIA, LatentMoments
from passive_pruner.regime._sample_weight import effective_number
from passive_pruner.vae import MLP

SEEDS = range(5)
HEAVY = 5.0
DATA = {
    "wine": (load_wine, 0),
    "breast cancer": (load_breast_cancer, 0),
    "digits": (load_digits, 8),
}
N_BATCHES = 2000
N_SAMPLES = 600


def split(name, seed):
    load, heavy = DATA[name]
    X, y = load(return_X_y=True)
    train, test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(train)
    weights = (np.where(labels == heavy, HEAVY, 1.0) for labels in (y_train, y_test))
    return scaler.transform(train), scaler.transform(test), *weights


def encoder(seed, **params):
    architecture = MLP((64,), linear_path=True)
    return VAEEncoder(8, architecture=architecture, random_state=seed, **params)


def compare_with_repetition():
    print("| table | early stopping | weights | repeated rows | no weights | weights - repeated |")
    print("|---|---|---|---|---|---|")
    for name in DATA:
        for early_stopping, max_steps in ((True, 2000), (False, 500)):
            scores = []
            for seed in SEEDS:
                X, T, weights, of_test = split(name, seed)
                rows = np.repeat(X, weights.astype(int), axis=0)
                fits = (X, {"sample_weight": weights}), (rows, {}), (X, {})
                scores.append(
                    [
                        encoder(seed, early_stopping=early_stopping, max_steps=max_steps)
                        .fit(table, **fit_params)
                        .score(T, sample_weight=of_test)
                        for table, fit_params in fits
                    ]
                )
            scores = np.array(scores)
            difference = scores[:, 0] - scores[:, 1]
            error = difference.std(ddof=1) / np.sqrt(len(SEEDS))
            means = " | ".join(f"{mean:.2f}" for mean in scores.mean(axis=0))
            shown = "yes" if early_stopping else "no"
            print(f"| {name} | {shown} | {means} | {difference.mean():+.2f} ± {error:.2f} |")


def gradient_variance(X, weights, *, in_loss, rng):
    """Sum over parameters of the variance over batches of the gradient of the negative ELBO."""
    network = encoder(0, max_steps=2000).fit(X, sample_weight=weights).to_torch()
    x, shares = torch.tensor(X, dtype=torch.float32), weights / weights.sum()
    generator = torch.Generator().manual_seed(0)
    parameters = [p for p in network.parameters() if p.requires_grad]
    total, square = 0.0, 0.0
    for _ in range(N_BATCHES):
        rows = rng.choice(len(X), 64, p=None if in_loss else shares)
        factor = torch.tensor(shares[rows] * len(X) if in_loss else np.ones(64)).float()
        noise = torch.randn(1, 64, 8, generator=generator)
        loss = -(factor * network.elbo(x[rows], noise)).mean()
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
        total, square = total + gradient.double(), square + gradient.double() ** 2
    return float((square / N_BATCHES - (total / N_BATCHES) ** 2).sum())


def compare_gradients():
    print("\n| weights | n sum w^2 / (sum w)^2 | variance, in the loss / by draws |")
    print("|---|---|---|")
    X, _, of_class, _ = split("breast cancer", 0)
    rng = np.random.default_rng(0)
    for name, weights in (
        ("one class 5 times", of_class),
        ("log-normal, sigma 0.5", np.exp(0.5 * rng.standard_normal(len(X)))),
        ("log-normal, sigma 1", np.exp(rng.standard_normal(len(X)))),
    ):
        of_loss, of_draws = (
            gradient_variance(X, weights, in_loss=in_loss, rng=np.random.default_rng(1))
            for in_loss in (True, False)
        )
        print(f"| {name} | {len(X) / effective_number(weights):.2f} | {of_loss / of_draws:.2f} |")


def share_shown(n_rows, share, weigh):
    """How often a variable that is active in a share of the rows is shown to be passive."""
    rng = np.random.default_rng(0)
    # Var(mu) over all rows is the variance of active rows times their share of the weight.
    active = np.arange(10**6) < share * 10**6
    variance = 0.1 / np.average(active, weights=weigh(active, rng))
    shown = 0
    for _ in range(N_SAMPLES):
        active = rng.random(n_rows) < share
        mean = np.where(active, np.sqrt(variance) * rng.standard_normal(n_rows), 0.0)
        weights = weigh(active, rng)
        moments = LatentMoments.from_batch(mean[:, np.newaxis], sample_weight=weights)
        shown += CRITERIA["active_units"].q_values(moments, 0.1)[0] <= 0.05
    return shown / N_SAMPLES


def compare_error_rates():
    print("\n| weights | rows | active rows | shown to be passive |")
    print("|---|---|---|---|")
    kinds = {
        "none": (0.1, lambda active, rng: np.ones(len(active))),
        "log-normal, sigma 1": (0.1, lambda active, rng: np.exp(rng.standard_normal(len(active)))),
        "active rows 5 times": (0.05, lambda active, rng: np.where(active, 5.0, 1.0)),
        "active rows 20 times": (0.02, lambda active, rng: np.where(active, 20.0, 1.0)),
    }
    for name, (share, weigh) in kinds.items():
        for n_rows in (100, 400):
            rate = share_shown(n_rows, share, weigh)
            print(f"| {name} | {n_rows} | {share:.0%} | {rate:.3f} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    compare_with_repetition()
    compare_gradients()
    compare_error_rates()
