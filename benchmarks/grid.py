"""What a grid over thresholds costs with a cached pipeline: ``python -m benchmarks.grid``."""

from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from benchmarks._timing import print_table, seconds
from passive_pruner import PassiveVariableRemover, VAEEncoder

THRESHOLDS = [0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3]


def main():
    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    encoder = VAEEncoder(24, early_stopping=False, max_steps=2000, random_state=0)
    steps = [
        ("enc", encoder),
        ("prune", PassiveVariableRemover()),
        ("clf", LogisticRegression(C=0.1, max_iter=2000)),
    ]

    def search(thresholds, cache):
        grid = GridSearchCV(Pipeline(steps, memory=cache), {"prune__threshold": thresholds}, cv=3)
        with patch.object(VAEEncoder, "fit", autospec=True, side_effect=VAEEncoder.fit) as fit:
            elapsed = seconds(lambda: grid.fit(X, y))
        return fit.call_count, elapsed

    with TemporaryDirectory() as one, TemporaryDirectory() as all_:
        fits_one, seconds_one = search([0.1], one)
        fits_all, seconds_all = search(THRESHOLDS, all_)
    print_table(
        ("grid, 3 folds", "fits of the VAE", "time relative to one threshold"),
        [
            ("1 threshold", fits_one, "1.00"),
            (f"{len(THRESHOLDS)} thresholds", fits_all, f"{seconds_all / seconds_one:.2f}"),
        ],
    )


if __name__ == "__main__":
    main()
