"""How often does PassiveVariableRemover(alpha=0.05) remove what it should not, what does it find?

``python -m benchmarks.error_control`` prints Markdown tables. Each situation is a population of
rows whose statistics are known, from which 1,000 data sets of n rows are drawn. The realised false
discovery rate is the mean over data sets of the share of removed variables whose statistic over the
population is at least the threshold; power is the share of all other variables that is removed.
It takes five minutes of one processor; ``--data-sets 100`` is a first look.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import false_discovery_control, norm
from sklearn.datasets import load_digits

from passive_pruner import VAEEncoder
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import CRITERIA, LatentMoments, standard_errors
from passive_pruner.regime._criteria import is_kept
from passive_pruner.vae import BetaVAE

ALPHA = 0.05
SIZES = 100, 300, 1000, 3000, 10_000
# Under "entropy" the test is that of "active_units".
TESTED = "active_units", "variance", "kl", "explained_variance"
WAYS = RULE, NORMAL, CONTROLLED = "rule alone", "normal quantiles", "alpha"
POPULATION = 50_000
BORDER = np.arange(4, 10)


class Situation:
    """A population, thresholds, and what is true of its variables.

    Thresholds are those of the criteria times `factor`. If `at` names variables they are the least
    statistic of these, so that the hypothesis is true for them by a hair.
    """

    def __init__(self, mean, variance, informative, *, at=None, factor=1.0, scale=None):
        self.mean, self.variance = mean.astype(np.float32), variance.astype(np.float32)
        self.informative = informative
        d = mean.shape[1]
        # What a variable explains in one unit of the prior; active ones come first.
        self.scale = np.linspace(3, 1, d) if scale is None else scale
        moments = self.moments(slice(None))
        self.thresholds, self.is_active = {}, {}
        for name in TESTED:
            rule = CRITERIA[name]
            statistic = rule.distance(moments)
            threshold = rule.threshold * factor if at is None else statistic[at].min()
            self.thresholds[name] = float(threshold)
            self.is_active[name] = statistic >= threshold

    def moments(self, rows):
        moments = LatentMoments.from_batch(self.mean[rows], self.variance[rows])
        return replace(moments, code_scale=self.scale)

    def draw(self, seed):
        """Moments of data sets of all sizes; each is a part of the next, to which batches add."""
        rng = np.random.default_rng(seed)
        rows = rng.integers(len(self.mean), size=SIZES[-1])
        parts = [self.moments(batch) for batch in np.split(rows, SIZES[:-1])]
        return zip(SIZES, accumulate(parts, LatentMoments.merge), strict=True)

    def measure(self, n_data_sets):
        """Per n, criterion and way: removed that are active, removed that inform, power."""
        found = defaultdict(list)
        for seed in range(n_data_sets):
            for n_samples, moments in self.draw(seed):
                for name in TESTED:
                    for way, removed in self.removed(moments, name):
                        found[n_samples, name, way].append(self.rates(name, removed))
        return {key: np.array(rates) for key, rates in found.items()}

    def removed(self, moments, name):
        rule, threshold = CRITERIA[name], self.thresholds[name]
        types = rule(moments, threshold, alpha=ALPHA)
        yield CONTROLLED, ~is_kept(types, threshold, ("passive",))
        if name == TESTED[0]:
            by_rule = ~is_kept(rule(moments, threshold), threshold, ("passive",))
            yield RULE, by_rule
            # What standard errors say as they are.
            error = standard_errors(moments)[rule.statistic]
            p_values = norm.sf((threshold - rule.distance(moments)) / error)
            yield NORMAL, by_rule & (false_discovery_control(p_values) <= ALPHA)

    def rates(self, name, removed):
        active = self.is_active[name]
        n_removed = max(removed.sum(), 1)
        false, informative = (removed & active).sum(), (removed & self.informative).sum()
        power = removed[~active].mean() if not active.all() else np.nan
        return false / n_removed, informative / n_removed, power


def synthetic():
    few = [*["active"] * 4, *["rare"] * 6, *["passive"] * 6]
    yield "polarised", polarised([*["active"] * 6, *["mixed"] * 2, *["passive"] * 8])
    yield "2 % active", polarised(few)
    yield "2 % active, threshold / 10", polarised(few, factor=0.1)
    rare = partial(few_rows, 0.02, False)
    yield "at the threshold: 2 % active", at_threshold(rare)
    yield "at the threshold: 2 % active, none passive", at_threshold(rare, n_passive=0)
    yield "at the threshold: the same 2 % of rows", at_threshold(partial(few_rows, 0.02, True))
    yield "at the threshold: weak in all rows", at_threshold(weak)
    yield "at the threshold: weak, correlated by 0.9", at_threshold(partial(weak, correlation=0.9))
    yield "at the threshold: weak, tails of t(5)", at_threshold(partial(weak, df=5))
    yield "at the threshold: weak, tails of t(3)", at_threshold(partial(weak, df=3))


def polarised(types, **options):
    (mean, variance), types = make_posterior(types, POPULATION, random_state=0)
    return Situation(mean, variance, types != "passive", **options)


def at_threshold(draw, n_passive=6):
    """Six variables whose statistics are at the threshold, beside active and passive ones."""
    types = [*["active"] * 4, *["passive"] * (6 + n_passive)]
    (mean, variance), _ = make_posterior(types, POPULATION, random_state=0)
    rng = np.random.default_rng(1)
    mean[:, BORDER], variance[:, BORDER] = draw(rng, mean[:, BORDER], variance[:, BORDER])
    return Situation(mean, variance, np.arange(len(types)) < 10, at=BORDER)


def few_rows(share, same_rows, rng, mean, variance):
    is_active = rng.uniform(size=(len(mean), 1 if same_rows else mean.shape[1])) < share
    active = np.sqrt(0.95) * rng.standard_normal(mean.shape)
    return np.where(is_active, active, mean), np.where(is_active, 0.05, variance)


def weak(rng, mean, variance, correlation=0.0, df=None):
    """Var(mu) = 0.1; the further a row is from the origin, the surer its posterior."""
    common = np.sqrt(correlation) * rng.standard_normal((len(mean), 1))
    codes = common + np.sqrt(1 - correlation) * rng.standard_normal(mean.shape)
    if df is not None:
        codes *= np.sqrt((df - 2) / rng.chisquare(df, size=mean.shape))
    return np.sqrt(0.1) * codes, 1 / (1 + 0.1 * codes**2)


def trained():
    """Encoders; the population of digits are their own rows, drawn with replacement."""
    rng = np.random.default_rng(0)
    digits = load_digits().data / 16
    tables = {
        "factors": (factors(5000, rng), factors(POPULATION, rng), BetaVAE()),
        "digits": (digits, digits, BetaVAE(beta=4.0)),
    }
    for name, (X, population, objective) in tables.items():
        encoder = VAEEncoder(24, objective=objective, random_state=0).fit(X)
        posterior = encoder.posterior(population)
        moments = LatentMoments.from_batch(*posterior)
        of_codes = partial(Situation, *posterior, moments.kl > 0.01, scale=encoder.code_scale_)
        yield f"trained: {name}", of_codes()
        variance = moments.variance_of_mean
        weakest = np.argmin(np.where(variance > 0.1, variance, np.inf))
        yield f"at the threshold: trained, {name}, weakest", of_codes(at=[weakest])


def factors(n_samples, rng):
    """Draw eight normal factors, through a random network into 40 columns with noise."""
    weights = np.random.default_rng(8)
    first, second = weights.standard_normal((8, 64)), weights.standard_normal((64, 40))
    X = np.tanh(rng.standard_normal((n_samples, 8)) @ first / np.sqrt(8)) @ second / 6
    return (X + 0.3 * rng.standard_normal(X.shape)).astype(np.float32)


def print_table(title, measured, entry):
    print(f"\n{title}\n")
    print("| situation | " + " | ".join(f"n = {n:,}" for n in SIZES) + " |")
    print("|---" * (1 + len(SIZES)) + "|")
    for name, found in measured.items():
        print(f"| {name} | " + " | ".join(entry(found, n) for n in SIZES) + " |")


def false_and_power(criterion, way, found, n_samples):
    rates = found[n_samples, criterion, way]
    false, _, power = rates.mean(axis=0)
    mark = "**" if is_above(rates) else ""
    return f"{mark}{false:.3f}{mark}, " + ("-" if np.isnan(power) else f"{power:.2f}")


def informative(found, n_samples):
    shares = [found[n_samples, TESTED[0], way].mean(axis=0)[1] for way in (RULE, CONTROLLED)]
    return ", ".join(f"{share:.2f}" for share in shares)


def is_above(rates):
    """Whether the realised rate is above alpha by more than two standard errors."""
    false = rates[:, 0]
    return false.mean() > ALPHA + 2 * false.std(ddof=1) / np.sqrt(len(false))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    situations = dict(chain(synthetic(), trained()))
    found = Parallel(n_jobs=-1)(
        delayed(situation.measure)(options.data_sets) for situation in situations.values()
    )
    measured = dict(zip(situations, found, strict=True))
    print(f"alpha = {ALPHA}, {options.data_sets} data sets.")
    for criterion in TESTED:
        title = f"{criterion}: realised false discovery rate, power"
        print_table(title, measured, partial(false_and_power, criterion, CONTROLLED))
    for way in (RULE, NORMAL):
        title = f"{TESTED[0]}, {way}: realised false discovery rate, power"
        print_table(title, measured, partial(false_and_power, TESTED[0], way))
    title = f"{TESTED[0]}: share of the removed that carry information, rule alone and with alpha"
    print_table(title, measured, informative)
    above = [
        f"- {criterion}, {name}, n = {n_samples:,}"
        for name, found in measured.items()
        for (n_samples, criterion, way), rates in found.items()
        if way == CONTROLLED and is_above(rates)
    ]
    n_rates = len(measured) * len(SIZES) * len(TESTED)
    print(f"\n{len(above)} of {n_rates} rates are above alpha by more than two standard errors.")
    print("\n".join(above))


if __name__ == "__main__":
    main()
