"""What codes and pruning keep of a rare class.

``python -m benchmarks.imbalance`` trains encoders of width 16 in five stratified folds of tables
with a rare class, without labels, and asks a logistic regression for the class: by the
standardised columns, by all codes, and by those that removers of several thresholds keep. The
figures are average precisions (its chance level is the share of the class) in points, means over
folds. Beside them stand the number of kept variables, the average precision of minus the ELBO of
encoders that saw the other class alone, and balanced accuracies with and without class weights.
It runs on one thread and takes some minutes. Caravan is in the package ISLP.
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_table
from passive_pruner import PassiveVariableRemover, VAEEncoder

N_COMPONENTS = 16
THRESHOLDS = (0.01, 0.1, 0.3)


def caravan():
    from ISLP import load_data

    data = load_data("Caravan")
    return data.drop(columns="Purchase").to_numpy(float), (data["Purchase"] == "Yes").to_numpy(int)


def digits():
    X, y = load_digits(return_X_y=True)
    return X, (y == 8).astype(int)


def cancer():
    """Malignant in one of twenty rows."""
    X, y = load_breast_cancer(return_X_y=True)
    rare = np.flatnonzero(y == 0)
    kept = np.random.default_rng(0).choice(rare, 19, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(y == 1), kept]))
    return X[rows], 1 - y[rows]


TABLES = {"caravan": caravan, "digits, the 8": digits, "breast cancer, 5 %": cancer}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    torch.set_num_threads(1)
    rows = []
    for name in parser.parse_args(argv).tables:
        X, y = TABLES[name]()
        folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
        found = [measure(X[a], y[a], X[b], y[b]) for a, b in folds]
        means = {key: np.mean([one[key] for one in found]) for key in found[0]}
        rows.append((f"{name} ({100 * y.mean():.0f} %)", *(f"{v:.1f}" for v in means.values())))
    print_table(("table", *means), rows)


def measure(X, y, X_test, y_test):
    """Points of one fold."""
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    encoder = VAEEncoder(N_COMPONENTS, random_state=0).fit(X)
    codes, test_codes = encoder.transform(X), encoder.transform(X_test)

    def precision(train, test):
        return 100 * average_precision_score(y_test, fitted(train).decision_function(test))

    def fitted(train, **kwargs):
        return LogisticRegression(max_iter=5000, **kwargs).fit(train, y)

    found = {"columns": precision(X, X_test), "all codes": precision(codes, test_codes)}
    for threshold in THRESHOLDS:
        remover = PassiveVariableRemover(threshold=threshold).fit(codes)
        found[f"threshold {threshold}"] = precision(
            remover.transform(codes), remover.transform(test_codes)
        )
        found[f"kept at {threshold}"] = remover.get_support().sum()
    usual = VAEEncoder(N_COMPONENTS, random_state=0).fit(X[y == 0])
    found["ELBO"] = 100 * average_precision_score(y_test, -usual.score_samples(X_test))
    for name, weights in {"balanced accuracy": None, "with weights": "balanced"}.items():
        predicted = fitted(codes, class_weight=weights).predict(test_codes)
        found[name] = 100 * balanced_accuracy_score(y_test, predicted)
    return found


if __name__ == "__main__":
    main()
