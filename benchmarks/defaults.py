"""Are the defaults of VAEEncoder good? Linear models on its codes against PCA of the same width.

``python -m benchmarks.defaults`` prints a Markdown table. Each of six data sets is split three
times; the encoder and PCA see the same standardised training rows, and logistic or ridge
regression is trained on their standardised codes. It runs on one thread.
"""

import time

import numpy as np
import torch
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import VAEEncoder

DATA = {
    "digits": load_digits(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "diabetes (R²)": load_diabetes(return_X_y=True),
    "iris": load_iris(return_X_y=True),
    "synthetic": make_classification(
        2000, 30, n_informative=8, n_redundant=12, n_classes=4, random_state=0
    ),
}
SPLITS = range(3)


def main():
    torch.set_num_threads(1)
    print("| data | PCA | VAEEncoder | difference | active of width | steps | seconds per fit |")
    print("|---|---|---|---|---|---|---|")
    differences = []
    for name, (X, y) in DATA.items():
        runs = [one_split(name, X, y, seed) for seed in SPLITS]
        pca, vae, active, width, steps, seconds = np.mean(runs, axis=0)
        differences.append(vae - pca)
        print(
            f"| {name} | {pca:.3f} | {vae:.3f} | {vae - pca:+.3f} | {active:.1f} of {width:.0f} "
            f"| {steps:.0f} | {seconds:.1f} |",
            flush=True,
        )
    print(f"\nMean difference {np.mean(differences):+.4f}, lowest {np.min(differences):+.4f}.")


def one_split(name, X, y, seed):
    regression = name.startswith("diabetes")
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, random_state=seed, stratify=None if regression else y
    )
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    encoder = VAEEncoder(random_state=seed)
    start = time.perf_counter()
    encoder.fit(X_train)
    seconds = time.perf_counter() - start
    width = min(encoder.n_components, X.shape[1])
    scores = []
    for transformer in (PCA(width).fit(X_train), encoder):
        predictor = RidgeCV(np.logspace(-3, 3, 7)) if regression else LogisticRegression()
        model = make_pipeline(StandardScaler(), predictor)
        model.fit(transformer.transform(X_train), y_train)
        scores.append(model.score(transformer.transform(X_test), y_test))
    active = (encoder.transform(X_train).var(axis=0) > 0.1).sum()
    return *scores, active, encoder.n_components, encoder.n_steps_, seconds


if __name__ == "__main__":
    main()
