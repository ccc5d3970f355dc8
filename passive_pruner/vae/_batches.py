"""Batches of rows for the network, from data that is never copied as a whole."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch


def permuted_batches(
    X: np.ndarray, rows: np.ndarray, batch_size: int, rng: np.random.RandomState
) -> Iterator[torch.Tensor]:
    """Yield batches of `rows` of `X` without end, in a new order in every pass.

    The rows of a pass are spread evenly over its batches: dropping a short last batch would leave
    none where there are fewer rows than `batch_size`, and a last batch of a single row breaks
    batch normalisation.
    """
    n_batches = -(-len(rows) // batch_size)
    bounds = np.linspace(0, len(rows), n_batches + 1).astype(int)
    while True:
        order = rng.permutation(rows)
        for start, stop in pairwise(bounds):
            yield torch.from_numpy(X.take(order[start:stop], axis=0))
