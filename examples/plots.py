"""Draw every display on two real data sets, as PNG files in a folder.

Usage: python examples/plots.py [folder], by default the folder plots.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("agg")  # draws files, needs no screen
import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.plots import (
    CorrelationDisplay,
    ReconstructionDisplay,
    ThresholdDisplay,
    TrainingDisplay,
    TraversalDisplay,
    VariableTypesDisplay,
)


def main(folder="plots"):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cancer = load_breast_cancer(as_frame=True)
    digits = load_digits()
    for name, X, y, scaler, image_shape in (
        ("cancer", cancer.data, cancer.target, StandardScaler(), None),
        ("digits", digits.data / 16, digits.target, "passthrough", (8, 8)),
    ):
        print(f"{name}: training one pipeline, then 3 folds of 7 thresholds ...", flush=True)
        pipe = Pipeline(
            [
                ("scale", scaler),
                ("enc", VAEEncoder(n_components=24, random_state=0)),
                ("prune", PassiveVariableRemover()),
                ("clf", LogisticRegression(max_iter=5000)),
            ]
        )
        with TemporaryDirectory() as cache:  # one VAE per fold serves all thresholds
            pipe.set_params(memory=cache).fit(X, y)
            grid = {"prune__threshold": [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4]}
            search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
        displays = {
            "types": VariableTypesDisplay.from_estimator(pipe, X, criterion="variance"),
            "activity": VariableTypesDisplay.from_estimator(pipe, X, kind="bar"),
            "kl": VariableTypesDisplay.from_estimator(pipe, X, criterion="kl", kind="bar"),
            "correlation": CorrelationDisplay.from_estimator(pipe, X),
            "threshold": ThresholdDisplay.from_estimator(search),
            "traversal": TraversalDisplay.from_estimator(pipe, X, image_shape=image_shape),
            "training": TrainingDisplay.from_estimator(pipe),
            "reconstruction": ReconstructionDisplay.from_estimator(
                pipe, X, image_shape=image_shape
            ),
        }
        for kind, display in displays.items():
            path = folder / f"{name}_{kind}.png"
            display.figure_.savefig(path, dpi=120)
            plt.close(display.figure_)
            print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
