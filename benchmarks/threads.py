"""Two threads against one, and a grid search on two processes: ``python -m benchmarks.threads``."""

import torch
from sklearn.model_selection import GridSearchCV

from benchmarks._timing import cell, in_turn, print_table, seconds
from benchmarks.fit import data, ours
from passive_pruner import VAEEncoder


def main():
    X = data(64)

    def fit_with(threads):
        def fit():
            torch.set_num_threads(threads)
            ours(X, 16, (256, 256), 256, 400)

        return fit

    times = in_turn({"1 thread": fit_with(1), "2 threads": fit_with(2)})
    rows = [("fit, large network, batch 256: 2 threads / 1", cell(times, "2 threads", "1 thread"))]

    torch.set_num_threads(2)
    encoder = VAEEncoder(16, max_steps=400, early_stopping=False, device="cpu", random_state=0)

    def search(n_jobs):
        grid = GridSearchCV(encoder, {"learning_rate": [1e-3, 2e-3]}, cv=2, n_jobs=n_jobs)
        return lambda: grid.fit(X[:20_000])

    search(2)()  # starts the workers
    alone, together = seconds(search(1)), seconds(search(2))
    rows.append(("GridSearchCV: n_jobs=2 / n_jobs=1", f"{alone / together:.2f}"))
    print_table(("work", "speed-up"), rows)


if __name__ == "__main__":
    main()
