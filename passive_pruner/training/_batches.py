"""Batches of rows for the network, from data that is never converted or copied as a whole."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from passive_pruner._common._rows import Rows


def permuted_batches(
    X: Rows, rows: np.ndarray, batch_size: int, rng: np.random.RandomState
) -> Iterator[torch.Tensor]:
    """Yield batches of `rows` of `X` without end, in a new order in every pass.

    The rows of a pass are spread evenly over its batches: dropping a short last batch would leave
    none where there are fewer rows than `batch_size`. Batch normalisation takes no batch of a
    single row. Only batches of two leave one over, and it waits for a later pass, in which the
    order is another one.
    """
    while True:
        for part, numbers in X.parts(rows, rng):
            order = rng.permutation(numbers)
            if batch_size == 2 and len(order) > 1:
                order = order[: len(order) // 2 * 2]
            n_batches = -(-len(order) // batch_size)
            bounds = np.linspace(0, len(order), n_batches + 1).astype(int)
            for start, stop in pairwise(bounds):
                yield torch.from_numpy(part[order[start:stop]])
