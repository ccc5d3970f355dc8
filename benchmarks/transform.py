"""Speed of encoding: a million rows, and one row through a pipeline.

``python -m benchmarks.transform`` compares `VAEEncoder.transform` with a loop over batches of 8192
rows under `torch.inference_mode`, and one row through Pipeline(StandardScaler, VAEEncoder,
PassiveVariableRemover) with the same through Pipeline(StandardScaler). One thread.
"""

import argparse
import tracemalloc

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._peers import HandWritten
from benchmarks._timing import cell, in_turn, print_table, ratio
from passive_pruner import PassiveVariableRemover, VAEEncoder


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    X = np.random.default_rng(0).standard_normal((options.rows, 64), dtype=np.float32)
    small = X[:2000] * np.linspace(0.1, 2, 64, dtype=np.float32)
    encoder = VAEEncoder(16, max_steps=300, early_stopping=False, device="cpu", random_state=0)
    encoder.fit(small)
    model = HandWritten(64, 16, (256, 256)).eval()

    def by_hand():
        with torch.inference_mode():
            parts = [model.encoder(x)[:, :16] for x in torch.from_numpy(X).split(8192)]
            return torch.cat(parts).numpy()

    times = in_turn({"ours": lambda: encoder.transform(X), "by hand": by_hand})
    tracemalloc.start()
    codes = encoder.transform(X)
    extra = (tracemalloc.get_traced_memory()[1] - codes.nbytes) / 2**20
    tracemalloc.stop()
    rows = [
        (f"transform, {options.rows:,} x 64", cell(times, "ours", "by hand"), f"{extra:.1f} MiB")
    ]

    scaler = make_pipeline(StandardScaler()).fit(small)
    pipe = make_pipeline(StandardScaler(), encoder, PassiveVariableRemover(threshold=0)).fit(small)
    row = small[:1]

    def repeat(model):
        return lambda: [model.transform(row) for _ in range(200)]

    times = in_turn({"scaler": repeat(scaler), "pipeline": repeat(pipe)})
    low_high = [1 / value for value in ratio(times, "pipeline", "scaler")]
    rows.append(("one row: time / that of StandardScaler alone", f"{low_high[0]:.2f}", ""))
    print_table(("work", "ratio", "memory besides the output"), rows)


if __name__ == "__main__":
    main()
