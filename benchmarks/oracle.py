"""Randomised runs against what is known to be right.

``python -m benchmarks.oracle --minutes 20`` draws cases for five questions, a fifth of the time
each, and prints what they say beside the rules they are judged by. The seed is printed; with
``--seed`` and as many minutes a run can be repeated, up to how many cases fit into them. The exit
status is 1 if a rule is broken.

- Standard errors: two of them cover the true value of a statistic in 0.93 to 0.97 of all cases
  where posteriors are light-tailed and rows are 200 or more.
- ``alpha``: of the variables that a remover with ``alpha=0.1`` drops, at most 0.1 (and three
  standard errors of that share) have a true variance of the mean above the threshold.
- Factors: of k factors that stand out of the noise, factor analysis finds k in 0.9 of all tables
  and never more than k + 1; in noise alone it finds none in 0.9.
- ELBO: it is nowhere above the importance-weighted bound of 64 draws by more than three standard
  errors of their difference over different rows.
- Gradients: those by hand differ from those of autograd by at most 1e-4 of the largest one.
"""

import argparse
import copy
import math
import secrets
import sys
import time
import warnings

import numpy as np
import torch
from scipy.special import digamma
from scipy.stats import norm, t

from benchmarks._timing import print_table
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.regime import LatentMoments, standard_errors
from passive_pruner.training._factor_analysis import factor_analysis
from passive_pruner.training._fast import FastStep
from passive_pruner.training._loss import Loss
from passive_pruner.vae import DIPVAE, MLP, AnnealedVAE, BetaTCVAE, BetaVAE, Gaussian
from passive_pruner.vae._architectures import ACTIVATIONS
from passive_pruner.vae._likelihoods import LIKELIHOODS
from passive_pruner.vae._network import Blueprint

N_DRAWS = 64


def add(counts, name, hits, n=1):
    """Add cases, and those of them that are as they should be."""
    before = counts.get(name, (0, 0))
    counts[name] = (before[0] + int(hits), before[1] + n)


def posterior_of(rng, n, d):
    """Means and variances of a posterior, and the true values of its statistics."""
    variance = np.exp(rng.uniform(np.log(0.01), np.log(1), d))
    a, b = rng.uniform(1, 8, (2, d))
    mean = rng.standard_normal((n, d)) * np.sqrt(variance)
    s2 = rng.beta(a, b, (n, d))
    truth = {
        "variance_of_mean": variance,
        "mean_of_variance": a / (a + b),
        "variance_of_variance": a * b / ((a + b) ** 2 * (a + b + 1)),
        "kl": (variance + a / (a + b) - 1 - digamma(a) + digamma(a + b)) / 2,
    }
    return mean, s2, truth


def coverage(rng, counts):
    """Count how often two standard errors cover the true value."""
    mean, s2, truth = posterior_of(rng, int(rng.integers(200, 2000)), 8)
    moments = LatentMoments.from_batch(mean, s2)
    errors = standard_errors(moments)
    for name, value in truth.items():
        inside = np.abs(getattr(moments, name) - value) <= 2 * errors[name]
        add(counts, name, inside.sum(), inside.size)


def error_rate(rng, counts):
    """Count variables that `alpha` drops, and those of them that are not passive in truth."""
    threshold, alpha = 0.1, 0.1
    variance = rng.choice([0.01, 0.05, 0.09, 0.11, 0.15, 0.5, 0.9], int(rng.integers(3, 20)))
    mean = rng.standard_normal((int(rng.integers(50, 1000)), len(variance))) * np.sqrt(variance)
    remover = PassiveVariableRemover(threshold=threshold, alpha=alpha)
    remover.partial_fit(mean)
    dropped = remover.variable_types_ == "passive"
    wrong = dropped & (variance > threshold)
    # The share is 0 where nothing is dropped: that is what the rule controls the mean of.
    share = wrong.sum() / max(1, dropped.sum())
    counts["shares"] = [*counts.get("shares", []), share]
    counts["dropped"] = counts.get("dropped", 0) + int(dropped.sum())


def factors(rng, counts):
    """Count tables whose number of factors is found."""
    n, p = int(rng.integers(300, 3000)), int(rng.integers(8, 40))
    k = int(rng.integers(0, p // 4))
    noise = np.exp(rng.uniform(-1, 1, p))
    loadings = rng.standard_normal((p, k)) * np.sqrt(noise)[:, None]
    X = rng.standard_normal((n, k)) @ loadings.T + rng.standard_normal((n, p)) * np.sqrt(noise)
    found = len(factor_analysis(np.cov(X, rowvar=False, ddof=0), n, p).gain)
    of = "noise" if k == 0 else "factors"
    add(counts, of, found == k)
    counts["excess"] = max(counts.get("excess", 0), found - k)


def table_of(rng, likelihood, n):
    d = int(rng.integers(3, 12))
    if likelihood in ("bernoulli", "categorical"):
        d *= 4  # else there are few different rows
    X = rng.standard_normal((n, 2)) @ rng.standard_normal((2, d)) + 0.5 * rng.standard_normal(
        (n, d)
    )
    if likelihood == "bernoulli":
        X = X > 0
    elif likelihood == "continuous_bernoulli":
        X = 1 / (1 + np.exp(-X))
    elif likelihood in ("poisson", "negative_binomial"):
        X = np.floor(np.exp(X.clip(max=4)))
    elif likelihood == "categorical":
        X = np.eye(d)[X.argmax(axis=1)]
    return X.astype(np.float32)


def architecture_of(rng):
    sizes = tuple(int(s) for s in rng.integers(1, 20, rng.integers(0, 3)))
    return MLP(sizes, str(rng.choice(sorted(ACTIVATIONS))), bool(rng.integers(2)))


def bound(rng, counts):
    """Compare ELBO and importance-weighted bound of a fitted network."""
    likelihood = str(rng.choice(sorted(LIKELIHOODS)))
    X = table_of(rng, likelihood, 100)
    encoder = VAEEncoder(
        int(rng.integers(1, 5)), likelihood=likelihood, architecture=architecture_of(rng),
        init="random", max_steps=int(rng.integers(1, 100)), learning_rate=5e-3, device="cpu",
        random_state=int(rng.integers(2**31)),
    ).fit(X)  # fmt: skip
    elbo = encoder.score_samples(X)
    network = encoder.to_torch().double()
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    with torch.inference_mode():
        x = torch.from_numpy(X - encoder.origin_.astype(np.float32)).double()
        mean, log_variance = network.encode(x)
        log_weights = []
        for _ in range(N_DRAWS):
            noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
            z = mean + (log_variance / 2).exp() * noise
            log_ratio = (noise**2 + log_variance - z**2).sum(1) / 2  # ln p(z) - ln q(z | x)
            log_weights.append(network.likelihood.log_likelihood(network.decoder(z), x) + log_ratio)
        weighted = torch.logsumexp(torch.stack(log_weights), 0) - math.log(N_DRAWS)
    # Rows of equal values have the same points, and errors, in the ELBO.
    _, rows, n_equal = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    gap = np.bincount(rows.ravel(), weighted.numpy() - elbo) / n_equal
    share = n_equal / len(X)
    average = share @ gap
    error = math.sqrt(share**2 @ (gap - average) ** 2 * len(gap) / (len(gap) - 1))
    excess = -average - t.ppf(norm.cdf(3), len(gap) - 1) * error
    name = f"ELBO, {likelihood}"
    add(counts, name, excess <= 0)


def gradient(rng, counts):
    """Compare the gradients of a step by hand and by autograd."""
    likelihood = LIKELIHOODS[str(rng.choice(sorted(LIKELIHOODS)))]()
    if type(likelihood) is Gaussian:
        likelihood = Gaussian(["shared", "per_feature", 0.3][rng.integers(3)])
    name = next(n for n, kind in LIKELIHOODS.items() if kind is type(likelihood))
    X, missing = table_of(rng, name, int(rng.integers(2, 60))), bool(rng.integers(2))
    if missing:
        X[rng.uniform(size=X.shape) < 0.1] = np.nan
    d = int(rng.integers(1, 5))
    objective = [
        BetaVAE(float(rng.uniform(0, 4))), AnnealedVAE(10.0, c_max=2.0, iteration_threshold=10),
        DIPVAE("i", lambda_od=2.0), DIPVAE("ii", lambda_od=2.0), BetaTCVAE(3.0),
    ][rng.integers(5)]  # fmt: skip
    resolved = likelihood.resolve(X.shape[1], None)
    blueprint = Blueprint(architecture_of(rng), resolved, X.shape[1], d, missing)
    plain = blueprint.build(X, int(rng.integers(2**31))).train()
    by_hand, generator = copy.deepcopy(plain), torch.Generator()
    loss = Loss(objective, kl_warmup_steps=int(rng.integers(0, 9))).train()
    step, x = int(rng.integers(0, 12)), torch.from_numpy(X)
    fast = FastStep(by_hand, loss, d, generator, is_mlp=True)
    noise = torch.randn(len(x), d, generator=generator.manual_seed(7), dtype=torch.float32)
    plain.zero_grad()
    sum(loss(plain, x, step=step, noise=noise)[:2]).backward()
    generator.manual_seed(7)
    fast(x, step=step)
    wrong = 0.0
    grads = dict(by_hand.named_parameters())
    largest = max(p.grad.abs().max().item() for p in plain.parameters() if p.grad is not None)
    for key, parameter in plain.named_parameters():
        if parameter.grad is not None:
            difference = (parameter.grad - grads[key].grad).abs().max().item()
            wrong = max(wrong, difference / max(largest, 1e-3))
    add(counts, "gradient", wrong <= 1e-4)
    counts["largest"] = max(counts.get("largest", 0.0), wrong)


def rows_of(counts):
    """Yield a line per question: what, cases, figure, rule, whether it is kept."""
    for name in ("variance_of_mean", "mean_of_variance", "variance_of_variance", "kl"):
        hits, n = counts[name]
        yield f"cover of {name}", n, f"{hits / n:.3f}", "0.93 to 0.97", 0.93 <= hits / n <= 0.97
    shares = np.array(counts["shares"])
    most = 0.1 + 3 * shares.std() / math.sqrt(len(shares))
    kept = shares.mean() <= most
    yield (
        "false drops at alpha=0.1",
        len(shares),
        f"{shares.mean():.3f}",
        f"{most:.3f} at most",
        kept,
    )
    yield "variables dropped there", len(shares), counts["dropped"], "some", counts["dropped"] > 0
    for name in ("factors", "noise"):
        hits, n = counts.get(name, (1, 1))
        yield f"number found: {name}", n, f"{hits / n:.3f}", "0.9 at least", hits / n >= 0.9
    yield "factors too many, at most", "", counts["excess"], "1", counts["excess"] <= 1
    for name in sorted(key for key in counts if key.startswith("ELBO")):
        hits, n = counts[name]
        yield name, n, f"{hits / n:.3f}", "all", hits == n
    hits, n = counts["gradient"]
    yield "gradients by hand", n, f"{hits / n:.3f}", "all", hits == n
    yield "their largest error", "", f"{counts['largest']:.1e}", "1e-4 at most", hits == n


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.oracle", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="(default: 20)")
    parser.add_argument("--seed", type=int, help="by default a new one, which is printed")
    options = parser.parse_args()
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    print(f"seed {seed}, {options.minutes:g} minutes\n", flush=True)
    torch.set_num_threads(1)
    counts = {}
    questions = (coverage, error_rate, factors, bound, gradient)
    for number, question in enumerate(questions):
        until = time.monotonic() + 60 * options.minutes / len(questions)
        case = 0
        while case == 0 or time.monotonic() < until:
            rng = np.random.default_rng([seed, number, case])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    question(rng, counts)
                except Exception as error:
                    error.add_note(f"{question.__name__}, case {case} of seed {seed}")
                    raise
            case += 1
    rows = list(rows_of(counts))
    print_table(
        ("what", "cases", "figure", "rule", "kept"),
        [(what, n if n == "" else int(n), figure, rule, "yes" if kept else "NO")
         for what, n, figure, rule, kept in rows],
    )  # fmt: skip
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
