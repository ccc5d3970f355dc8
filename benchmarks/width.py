"""Which way to choose n_components finds the right width, and at what price?

``python -m benchmarks.width`` prints a Markdown table of the default width and of "auto";
``--all`` adds other ways, some of which train often, and a table of what counts as information.
The synthetic sets have a known number of standard normal factors, sent through a random network of
64 tanh units into the columns, with noise of standard deviation 0.3 on columns of unit variance.
Each way sees three splits; the ELBO is that of the held-out quarter. It runs on one thread.
"""

import copy
import sys

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from passive_pruner import VAEEncoder
from passive_pruner.regime import CRITERIA, LatentMoments
from passive_pruner.training._width import START_WIDTH

SPLITS = range(3)
RULES = [("variance", 0.1), ("active_units", 0.1), ("kl", 0.02), ("kl", 0.05), ("kl", 0.1)]
CHOSEN = ("kl", 0.05)
# Gradient steps per candidate of FONDUE, and the largest difference between the two
# representations that it accepts.
FONDUE_STEPS = 500
FONDUE_THRESHOLD = 1.0


def factors(n_factors, n_columns, n_samples):
    rng = np.random.default_rng(n_factors)
    hidden = rng.standard_normal((n_samples, n_factors)) @ rng.standard_normal((n_factors, 64))
    X = np.tanh(hidden / np.sqrt(n_factors)) @ rng.standard_normal((64, n_columns))
    X = StandardScaler().fit_transform(X)
    return X + 0.3 * rng.standard_normal(X.shape)


DATA = {
    "3 factors": factors(3, 30, 1000),
    "5 factors": factors(5, 40, 2000),
    "8 factors": factors(8, 40, 2000),
    "12 factors": factors(12, 50, 3000),
    "digits": load_digits().data / 16,
    "breast cancer": StandardScaler().fit_transform(load_breast_cancer().data),
}


class Trainer:
    """Encoders of one split by their parameters; each is trained once."""

    def __init__(self, X, seed):
        self.X, self.X_test = train_test_split(X.astype(np.float32), random_state=seed)
        self.seed = seed
        self.fitted = {}

    def fit(self, width, **params):
        key = (width, *params.items())
        if key not in self.fitted:
            encoder = VAEEncoder(width, random_state=self.seed, **params)
            self.fitted[key] = encoder.fit(self.X)
        return self.fitted[key]

    def moments(self, encoder):
        return LatentMoments.from_batch(*encoder.posterior(self.X))

    def kept(self, encoder, rule=CHOSEN):
        criterion, threshold = rule
        return CRITERIA[criterion](self.moments(encoder), threshold) != "passive"

    def fine_tune(self, encoder):
        """Continue to train, with the rows held out that were held out before."""
        encoder = copy.deepcopy(encoder).set_params(warm_start=True)
        # The seed of a training that continues depends on the number of steps before it.
        encoder.n_steps_ = 0
        return encoder.fit(self.X)


# Each way returns its encoder, the number of trainings and that of gradient steps.


def default(trainer):
    encoder = trainer.fit(10)
    return encoder, 1, encoder.n_steps_


def wide(trainer):
    encoder = trainer.fit(min(START_WIDTH, trainer.X.shape[1]))
    return encoder, 1, encoder.n_steps_


def auto(trainer):
    encoder = trainer.fit("auto")
    return encoder, 1, encoder.n_steps_


def count_and_refit(trainer):
    searched, n_fits, n_steps = wide(trainer)
    encoder = trainer.fit(int(trainer.kept(searched).sum()))
    return encoder, n_fits + 1, n_steps + encoder.n_steps_


def count_and_prune(trainer):
    searched, n_fits, n_steps = wide(trainer)
    return searched.pruned(trainer.kept(searched)), n_fits, n_steps


def count_prune_and_fine_tune(trainer):
    pruned, n_fits, n_steps = count_and_prune(trainer)
    encoder = trainer.fine_tune(pruned)
    return encoder, n_fits + 1, n_steps + encoder.n_steps_


def fondue_dimension(trainer):
    """Compare estimates of the intrinsic dimension."""

    def difference(encoder):
        mean, variance = encoder.posterior(trainer.X)
        noise = np.random.default_rng(0).standard_normal(mean.shape)
        return intrinsic_dimension(mean + np.sqrt(variance) * noise) - intrinsic_dimension(mean)

    return fondue(trainer, difference)


def fondue_trace(trainer):
    """Compare the traces of the covariances, whose difference is exactly the sum of E[s2]."""
    return fondue(trainer, lambda encoder: trainer.moments(encoder).mean_of_variance.sum())


def fondue(trainer, difference):
    """Search the largest width at which mean and sampled representation still agree.

    Algorithm 1 of Bonheme and Grzes (2022), arXiv 2209.12806, as released: from the intrinsic
    dimension of the data, the width is doubled or put halfway between the bounds.
    """
    lower, upper, width = 0, np.inf, max(1, round(intrinsic_dimension(trainer.X)))
    tried = set()
    while width != lower:
        tried.add(width)
        few_steps = trainer.fit(width, max_steps=FONDUE_STEPS, early_stopping=False)
        if difference(few_steps) <= FONDUE_THRESHOLD:
            lower, width = width, min(2 * width, upper)
        else:
            upper, width = width, (lower + width) // 2
    encoder = trainer.fit(max(1, int(width)))
    return encoder, len(tried) + 1, len(tried) * FONDUE_STEPS + encoder.n_steps_


def intrinsic_dimension(X, n_neighbors=20):
    """Maximum likelihood estimate of Levina and Bickel (2004), averaged over rows as inverse."""
    neighbors = NearestNeighbors(n_neighbors=n_neighbors).fit(X)
    distances = np.maximum(neighbors.kneighbors()[0], np.finfo(np.float32).eps)
    inverse = np.log(distances[:, -1:] / distances[:, :-1]).sum(axis=1) / (n_neighbors - 2)
    return 1 / inverse.mean()


WAYS = {
    "width 10, the default": default,
    "**auto**": auto,
}
OTHER_WAYS = {
    "wide, all variables kept": wide,
    "count, then refit": count_and_refit,
    "count, then prune": count_and_prune,
    "count, prune, fine-tune": count_prune_and_fine_tune,
    "FONDUE, intrinsic dimension": fondue_dimension,
    "FONDUE, trace": fondue_trace,
}


def main(*, others):
    torch.set_num_threads(1)
    print("| data | way | widths | passive at the end | held-out ELBO | trainings | steps |")
    print("|---|---|---|---|---|---|---|")
    counts = []
    for name, X in DATA.items():
        trainers = [Trainer(X, seed) for seed in SPLITS]
        for way, run in (WAYS | OTHER_WAYS if others else WAYS).items():
            runs = [run(trainer) for trainer in trainers]
            encoders = [encoder for encoder, _, _ in runs]
            passive = [
                (~trainer.kept(encoder)).sum()
                for trainer, encoder in zip(trainers, encoders, strict=True)
            ]
            elbo = np.mean([e.score(t.X_test) for e, t in zip(encoders, trainers, strict=True)])
            _, n_fits, n_steps = np.mean([(0, *run[1:]) for run in runs], axis=0)
            print(
                f"| {name} | {way} | {listed(e.n_components_ for e in encoders)} "
                f"| {listed(passive)} | {elbo:.2f} | {n_fits:.1f} | {n_steps:.0f} |",
                flush=True,
            )
        if others:
            searched = [wide(trainer)[0] for trainer in trainers]
            counts.append([name, *(count(trainers, searched, rule) for rule in RULES)])
    if not others:
        return
    print(f"\n| data | {' | '.join(f'{name}, {threshold}' for name, threshold in RULES)} |")
    print("|---" * (1 + len(RULES)) + "|")
    for row in counts:
        print(f"| {' | '.join(row)} |")


def count(trainers, encoders, rule):
    return listed(t.kept(e, rule).sum() for t, e in zip(trainers, encoders, strict=True))


def listed(numbers):
    return ", ".join(map(str, numbers))


if __name__ == "__main__":
    main(others="--all" in sys.argv[1:])
