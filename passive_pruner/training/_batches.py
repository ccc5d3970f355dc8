"""Batches of rows for the network, from data that is never converted or copied as a whole."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from passive_pruner._common._rows import Rows
from passive_pruner._common._sample_weight import drawn_by_weight

# Draws in a pass over rows with weights, per row. The more there are, the closer the draws of a
# pass are to the weights, and the more memory their numbers take.
MOST_DRAWS_PER_ROW = 4


def permuted_batches(
    X: Rows, rows: np.ndarray, batch_size: int, rng: np.random.RandomState
) -> Iterator[torch.Tensor]:
    """Yield batches of `rows` of `X` without end, in a new order in every pass.

    The rows of a pass are spread evenly over its batches: dropping a short last batch would leave
    none where there are fewer rows than `batch_size`. Batch normalisation takes no batch of a
    single row. Only batches of two leave one over, and it waits for a later pass, in which the
    order is another one.

    Rows with weights are drawn in proportion to these, anew for every pass, and then count alike.
    The expected gradient is that of the weighted loss, and an objective that is no sum over rows,
    such as one of the covariance of a batch, sees batches as of repeated rows. Weights in the loss
    of rows that are drawn alike would give a gradient of the same expectation, with about
    n sum w^2 / (sum w)^2 times the variance.

    A pass has one draw for each unit of weight. That of integer weights is one over rows that are
    repeated, if the smallest weight is 1 and the mean is at most 4.
    """
    weight, n_rows = X.pass_weight(rows)
    unit = weight / n_rows
    if X.weights is not None:
        unit = np.clip(X.weights[rows].min(), unit / MOST_DRAWS_PER_ROW, unit)
    while True:
        for part, numbers in X.parts(rows, rng):
            weights = part.weights_of(numbers)
            if weights is not None:
                drawn = drawn_by_weight(weights, weights.sum() / unit, rng.random_sample())
                numbers = numbers[drawn]
            order = rng.permutation(numbers)
            if batch_size == 2 and len(order) > 1:
                order = order[: len(order) // 2 * 2]
            n_batches = -(-len(order) // batch_size)
            bounds = np.linspace(0, len(order), n_batches + 1).astype(int)
            for start, stop in pairwise(bounds):
                yield torch.from_numpy(part[order[start:stop]])
