"""Random images of sprites per second, on one core.

``python -m benchmarks.sprites`` draws factors at random and computes their images, in batches of
256: medians of ten rounds with the lowest and highest. Peak memory is that of making the data set
and drawing one batch.
"""

import statistics
import time
import tracemalloc
from functools import partial

import numpy as np

from benchmarks._timing import in_turn, print_table
from passive_pruner.datasets import make_sprites

BATCH = 256
N_BATCHES = 40
SETTINGS = {
    "binary": {},
    "color": {"variant": "color"},
    "noisy": {"variant": "noisy"},
    "small, binary": {"image_size": 32},
    "small, color": {"image_size": 32, "variant": "color"},
    "small, noisy": {"image_size": 32, "variant": "noisy"},
}


def main():
    rows, data = [], {}
    for name, params in SETTINGS.items():
        tracemalloc.start()
        start = time.perf_counter()
        data[name] = make_sprites(**params, random_state=0)
        elapsed = time.perf_counter() - start
        data[name].sample(BATCH, random_state=0)
        rows.append([elapsed, tracemalloc.get_traced_memory()[1] / 2**20])
        tracemalloc.stop()
    rng = np.random.RandomState(0)

    def draw(images):
        for _ in range(N_BATCHES):
            images.sample(BATCH, rng)

    times = in_turn({name: partial(draw, images) for name, images in data.items()}, repeats=10)
    table = []
    for (name, images), (elapsed, peak) in zip(data.items(), rows, strict=True):
        shape = " x ".join(map(str, images.image_shape))
        speed = [BATCH * N_BATCHES / t for t in times[name]]
        cell = f"{statistics.median(speed):,.0f} ({min(speed):,.0f} to {max(speed):,.0f})"
        table.append((name, shape, f"{len(images):,}", cell, f"{elapsed:.2f}", f"{peak:.0f} MiB"))
    print_table(
        (
            "variant",
            "shape",
            "images",
            "random images per second",
            "seconds to make",
            "peak memory",
        ),
        table,
    )


if __name__ == "__main__":
    main()
