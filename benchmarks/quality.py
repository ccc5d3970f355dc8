"""Is the default VAEEncoder a good model of a table, soon, and are its codes good features?

    python -m benchmarks.quality --out quality.jsonl [--data wine digits] [--seeds 5]

Thirteen tables, of which 30 % of the rows are for testing, and on each: PCA and FactorAnalysis,
whose log-likelihoods are exact; the encoder as it comes, and from a random start if that is not the
default; and a loop by hand with one noise variance, and with one per column. An ELBO is that of the
test rows, by 64 independent draws each, in nats per row. Real numbers are standardised by the
training rows, and columns or pixels that hardly vary in these are left out.

Every result is a line of JSON in the file ``--out``. What is there is not measured again, unless
``--again`` names the model: to measure other defaults, copy the file and give ``--again default``.
The Markdown tables at the end come from all lines; ``--report`` prints them alone.

``--factors`` trains on 100 tables of a known number of factors instead and counts the variables
that are not passive, and ``--pipelines`` compares pipelines with and without a StandardScaler in
front. Their results go into the same file.

It runs on one thread. Ratios of times are of CPU time, which other work on the machine changes
least.
"""

import argparse
from time import perf_counter, process_time

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks._hand_loop import hand_loop, held_out_elbo
from benchmarks._quality_checks import compare_pipelines, count_factors
from benchmarks._quality_data import TABLES
from benchmarks._quality_report import print_report
from benchmarks._results import Results
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.regime import CRITERIA
from passive_pruner.vae import Gaussian

# Rows at most of FactorAnalysis, of an ELBO, of moments, and of models on codes.
MAX_LINEAR_ROWS = 20_000
MAX_TEST_ROWS = 5000
MAX_CODE_ROWS = 10_000
NON_PASSIVE = {"variance": 0.1, "kl": 0.1}


class Run:
    """One table, split by one seed, on which every model is fitted."""

    def __init__(self, table, seed):
        self.table, self.seed = table, seed
        self.train, test, self.y_train, y_test = table.split(seed)
        # Rows are in random order after the split.
        self.test, self.y_test = test[:MAX_TEST_ROWS], y_test[:MAX_TEST_ROWS]

    def measure(self, model):
        """Results of one model, as they go into the file."""
        return MODELS[model](self)

    def likelihood(self, real=None):
        return self.table.likelihood(real) if self.table.likelihood else real

    def linear(self, model):
        rows = self.train if isinstance(model, PCA) else self.train[:MAX_LINEAR_ROWS]
        clock = Clock()
        model.fit(rows)
        result = clock.read()
        if self.table.is_gaussian:
            result["elbo"] = float(model.score(self.test))
        return result | {"codes": self.codes(model)}

    def encoder(self, **params):
        likelihood = self.likelihood()
        encoder = VAEEncoder(
            self.table.n_components, likelihood=likelihood, random_state=self.seed, **params
        )
        clock = Clock()
        encoder.fit(self.train)
        result = clock.read() | {"steps": encoder.n_steps_, "init": encoder.init}
        result["elbo"] = held_out_elbo(encoder.to_torch(), self.test).mean()
        moments = encoder.moments(self.train[:MAX_LINEAR_ROWS])
        for name, threshold in NON_PASSIVE.items():
            types = CRITERIA[name](moments, threshold)
            result[f"non-passive, {name}"] = int((types != "passive").sum())
        return result | {"codes": self.codes(encoder)}

    def by_hand(self, variance):
        likelihood = self.likelihood(Gaussian(variance))
        network, looks = hand_loop(
            self.train,
            self.test,
            self.table.n_components,
            likelihood,
            seed=self.seed,
            max_steps=self.table.max_steps,
        )
        last = {name: looks[-1][name] for name in ("cpu", "seconds")}
        elbo = held_out_elbo(network, self.test).mean()
        return last | {"steps": looks[-1]["step"], "elbo": elbo, "looks": looks}

    def codes(self, transformer):
        """Test scores of models on the codes: as they come, pruned and standardised."""
        rows = self.train[:MAX_CODE_ROWS]
        train, test = transformer.transform(rows), transformer.transform(self.test)
        codes = {"as they come": (train, test)}
        if isinstance(transformer, VAEEncoder):
            remover = PassiveVariableRemover().fit(train)
            if remover.get_support().any():
                codes["pruned"] = remover.transform(train), remover.transform(test)
        scaler = StandardScaler().fit(train)
        codes["standardised"] = scaler.transform(train), scaler.transform(test)
        y_train = self.y_train[:MAX_CODE_ROWS]
        return {
            name: scores(*pair, y_train, self.y_test, self.seed) for name, pair in codes.items()
        }


MODELS = {
    "PCA": lambda run: run.linear(PCA(run.table.n_components, random_state=run.seed)),
    "FactorAnalysis": lambda run: run.linear(
        FactorAnalysis(run.table.n_components, random_state=run.seed)
    ),
    "by hand, shared noise": lambda run: run.by_hand("shared"),
    "by hand, noise per column": lambda run: run.by_hand("per_feature"),
    "random start": lambda run: run.encoder(init="random"),
    "default": lambda run: run.encoder(),
}


class Clock:
    """CPU time and time on the clock since it was made."""

    def __init__(self):
        self.cpu, self.seconds = process_time(), perf_counter()

    def read(self):
        return {"cpu": process_time() - self.cpu, "seconds": perf_counter() - self.seconds}


def scores(train, test, y_train, y_test, seed):
    """Test scores of models that are trained on codes."""
    if np.issubdtype(y_train.dtype, np.floating):
        ridge = RidgeCV(np.logspace(-3, 3, 7)).fit(train, y_train)
        return {"ridge": ridge.score(test, y_test)}
    k_means = KMeans(len(np.unique(y_train)), n_init=3, random_state=seed).fit(train)
    return {
        "logistic regression": LogisticRegression(max_iter=5000)
        .fit(train, y_train)
        .score(test, y_test),
        "5-NN": KNeighborsClassifier(5).fit(train, y_train).score(test, y_test),
        "k-means": adjusted_rand_score(y_test, k_means.predict(test)),
    }


def models_of(table):
    """Names of the models that differ on a table."""
    same = set()
    if VAEEncoder().init == "random":
        same.add("random start")
    if not table.is_gaussian:
        shared, per_column = (table.likelihood(Gaussian(v)) for v in ("shared", "per_feature"))
        if repr(shared) == repr(per_column):
            same.add("by hand, noise per column")
    return [name for name in MODELS if name not in same]


def run_tables(names, n_seeds, results, again):
    """Measure what is not known yet, and the models in `again`."""
    for name in names:
        table = TABLES[name]
        for seed in range(n_seeds):
            models = [
                model
                for model in models_of(table)
                if model in again or (name, seed, model) not in results.known
            ]
            if not models:
                continue
            try:
                run = Run(table, seed)
            except ImportError as error:
                print(f"{name}: left out, {error}")
                break
            for model in models:
                result = run.measure(model)
                results.add(name, seed, model, **result)
                print(
                    f"{name}, seed {seed}, {model}: {result.get('elbo', np.nan):.2f} nats, "
                    f"{result['seconds']:.1f} s, {result.get('steps', 'no')} steps",
                    flush=True,
                )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="quality.jsonl", help="file of results")
    parser.add_argument("--data", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--seeds", type=int, default=5, help="number of splits")
    parser.add_argument("--again", nargs="+", default=[], choices=list(MODELS))
    parser.add_argument("--report", action="store_true", help="print the tables alone")
    parser.add_argument("--factors", action="store_true", help="count known factors instead")
    parser.add_argument("--pipelines", action="store_true", help="compare pipelines instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(arguments.out)
    if arguments.factors:
        count_factors(results)
    elif arguments.pipelines:
        compare_pipelines(results, arguments.seeds)
    else:
        if not arguments.report:
            run_tables(arguments.data, arguments.seeds, results, arguments.again)
        print_report(results.of(*arguments.data))


if __name__ == "__main__":
    main()
