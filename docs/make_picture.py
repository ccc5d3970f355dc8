"""Draw images/correlation.png: mean and sampled codes of a VAE that has many passive variables.

Its noise has one variance for all columns of breast cancer, as in the paper, and it starts at
random. Usage: python docs/make_picture.py
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
from passive_pruner.vae import Gaussian


def main():
    X, y = load_breast_cancer(return_X_y=True)
    X, *_ = train_test_split(X, y, random_state=0, stratify=y)
    pipe = make_pipeline(
        StandardScaler(),
        VAEEncoder(24, likelihood=Gaussian("shared"), init="random", random_state=0),
        PassiveVariableRemover(),
    ).fit(X)
    display = CorrelationDisplay.from_estimator(pipe, X)
    path = Path(__file__).parent / "images" / "correlation.png"
    path.parent.mkdir(exist_ok=True)
    display.figure_.savefig(path, dpi=110)
    print(path)


if __name__ == "__main__":
    main()
