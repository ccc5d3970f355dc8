"""The library's threads against one and two of torch's, beside other work.

``python -m benchmarks.threads`` starts 0, 2 and 4 processes that are busy, and prints how long
fits and a transform take by default and with torch's count of threads set to one and two, in turn,
as medians of five rounds. ``--rounds`` and ``--busy`` change that.
"""

import argparse
import statistics
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from unittest import mock

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from benchmarks._timing import print_table, seconds
from benchmarks.fit import data, ours
from passive_pruner import VAEEncoder
from passive_pruner.vae import MLP, Conv, _random


@contextmanager
def busy(n_processes):
    """Keep the cores busy with something else."""
    loop = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(loop) for _ in range(n_processes)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def shared_by_torch(count):
    """Let torch share its operations among this number of threads, as it does by itself."""
    former = torch.get_num_threads()
    torch.set_num_threads(count)
    # Without helpers: the work of a transform is then shared in one way only.
    with (
        mock.patch.object(_random, "one_thread", nullcontext),
        mock.patch("joblib.cpu_count", return_value=1),
    ):
        try:
            yield
        finally:
            torch.set_num_threads(former)


def tasks():
    X = StandardScaler().fit_transform(load_breast_cancer().data)
    wide, tall = data(64), np.tile(data(64), (6, 1))
    images = np.random.default_rng(0).random((512, 32 * 32), dtype=np.float32)
    encoder = VAEEncoder(10, device="cpu", random_state=0, max_steps=50).fit(wide[:2000])
    few = {"early_stopping": False, "device": "cpu", "random_state": 0}
    return {
        "fit, breast cancer": VAEEncoder(10, device="cpu", random_state=0, max_steps=40).fit,
        "fit, large network": partial(ours, wide, 16, (256, 256), 256, 20),
        "fit, 784-1024-1024, batch 1024": VAEEncoder(
            32, architecture=MLP((1024, 1024)), batch_size=1024, max_steps=3, **few
        ).fit,
        "fit, Conv on 32 x 32": VAEEncoder(
            10, architecture=Conv((32, 32, 1)), likelihood="bernoulli", max_steps=5, **few
        ).fit,
        "transform, 300,000 x 64": encoder.transform,
    }, {
        "fit, breast cancer": X,
        "fit, 784-1024-1024, batch 1024": np.tile(wide[:4000], (1, 13))[:, :784],
        "fit, Conv on 32 x 32": images,
        "transform, 300,000 x 64": tall,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 2, 4])
    options = parser.parse_args()
    ways = {
        "default": nullcontext,
        "1 thread": partial(shared_by_torch, 1),
        "2 threads": partial(shared_by_torch, 2),
    }
    functions, tables = tasks()
    rows = []
    for name, function in functions.items():
        work = partial(function, tables[name]) if name in tables else function
        with shared_by_torch(1):
            work()  # loads what the first call loads
        for n_busy in options.busy:
            times = {way: [] for way in ways}
            with busy(n_busy):
                for _ in range(options.rounds):
                    for way, context in ways.items():
                        with context():
                            times[way].append(seconds(work))
            medians = {way: statistics.median(values) for way, values in times.items()}
            best = min(medians["1 thread"], medians["2 threads"])
            rows.append(
                (
                    name,
                    n_busy,
                    *(f"{medians[way]:.2f} s" for way in ways),
                    f"{medians['default'] / best:.2f}",
                )
            )
            print(*rows[-1], file=sys.stderr, flush=True)
    print_table(("work", "busy processes", *ways, "default / the better one"), rows)


if __name__ == "__main__":
    main()
