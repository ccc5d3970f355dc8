"""Draw images/correlation.png: codes of the quickstart's VAE on breast cancer, mean and sampled.

Usage: python docs/make_picture.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")  # draws files, needs no screen
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.plots import CorrelationDisplay


def main():
    X, y = load_breast_cancer(return_X_y=True)
    X, *_ = train_test_split(X, y, random_state=0, stratify=y)
    pipe = make_pipeline(
        StandardScaler(),
        VAEEncoder(n_components=24, random_state=0),
        PassiveVariableRemover(),
    ).fit(X)
    display = CorrelationDisplay.from_estimator(pipe, X)
    path = Path(__file__).parent / "images" / "correlation.png"
    path.parent.mkdir(exist_ok=True)
    display.figure_.savefig(path, dpi=110)
    print(path)


if __name__ == "__main__":
    main()
