"""How times grow with rows, columns and steps: ``python -m benchmarks.growth``. One thread."""

import numpy as np
import torch

from benchmarks._timing import print_table, seconds
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.datasets import make_posterior

ROWS = (10_000, 100_000, 1_000_000)
COLUMNS = (16, 64, 256)


def main():
    torch.set_num_threads(1)
    rows = [
        (f"{n_rows:,}", n_columns, *measure(n_rows, n_columns))
        for n_columns in COLUMNS
        for n_rows in ROWS
        if n_rows * n_columns <= 64_000_000
    ]
    print_table(
        ("rows", "columns", "fit: µs per step", "fit: s beside the steps",
         "transform: µs per row", "remover.fit: µs per row"),
        rows,
    )  # fmt: skip


def measure(n_rows, n_columns):
    X = np.random.default_rng(0).standard_normal((n_rows, n_columns), dtype=np.float32)
    types = ["active", "passive"] * (n_columns // 2)
    (codes, _), _ = make_posterior(types, n_rows, random_state=0)
    encoder = VAEEncoder(8, early_stopping=False, device="cpu", random_state=0)

    def fit(n_steps):
        return seconds(lambda: encoder.set_params(max_steps=n_steps).fit(X))

    beside, n_steps = fit(1), 1000
    per_step = (fit(n_steps) - beside) / (n_steps - 1)
    encode = seconds(lambda: encoder.transform(X)) / n_rows
    select = seconds(lambda: PassiveVariableRemover().fit(codes)) / n_rows
    return f"{1e6 * per_step:.0f}", f"{beside:.2f}", f"{1e6 * encode:.2f}", f"{1e6 * select:.3f}"


if __name__ == "__main__":
    import warnings

    from passive_pruner.exceptions import CollapseWarning

    warnings.simplefilter("ignore", CollapseWarning)  # noise has nothing to encode
    main()
