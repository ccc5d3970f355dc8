"""What every latent variable of a network explains of what it decodes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from passive_pruner.vae._network import VAE

# A mean square of codes below that of codes of a thousandth of the prior's standard deviation
# counts as this one. The change of decoded rows is known to about 1e-7 of them in float32, its
# square to 1e-14: so much over this limit is a hundred-millionth of the decoded variance.
SMALLEST_SQUARE = 1e-6
# Least square of the scale of a code, as a share of the variance of decoded rows: draws of a
# variable that decodes into nothing keep a size that can be undone, and add nothing to distances.
SMALLEST_SHARE = 1e-6


class Explained(NamedTuple):
    """What the latent variables explain, in squares of standardised columns.

    Attributes
    ----------
    change : ndarray of shape (n_components,)
        Mean over rows of the squared change of the decoded row, summed over columns, when the
        mean of one variable is replaced by 0.
    square : ndarray of shape (n_components,)
        Mean square of the posterior means.
    total : float
        Variance over rows of the decoded rows, summed over columns.
    """

    change: np.ndarray
    square: np.ndarray
    total: float

    @property
    def ratio(self) -> np.ndarray:
        """Share of the variance of the decoded rows."""
        return self.change / self.total if self.total > 0 else np.zeros_like(self.change)

    @property
    def scale(self) -> np.ndarray:
        """What turns codes into such whose mean square is what they explain."""
        square = self.change / np.maximum(self.square, SMALLEST_SQUARE)
        smallest = SMALLEST_SHARE * (self.total if self.total > 0 else 1.0)
        return np.sqrt(np.maximum(square, smallest))


@torch.no_grad()
def explain(
    network: VAE, chunks: Iterable[torch.Tensor], weights: np.ndarray | None = None
) -> Explained:
    """Set one variable at a time to 0 and see how far the decoded rows move.

    Parameters
    ----------
    network : VAE
        In evaluation mode.
    chunks : iterable of Tensor of shape (n_rows, n_features)
        Rows, a few at a time, on the device of the network.
    weights : ndarray of shape (n_samples,), optional
        Weights of all these rows.
    """
    change: list[list[float]] = []
    squares, decodings = [], []
    shares, start = None, 0
    if weights is not None:  # 1 on average
        shares = torch.from_numpy(weights / weights.mean())[:, None]
    for x in chunks:
        mean, _ = network.encode(x)
        decoded = network.standardized_mean(mean)
        of_x = None if shares is None else shares[start : start + len(x)].to(decoded)
        start += len(x)
        change.append([_moved(network, mean, j, decoded, of_x) for j in range(mean.shape[1])])
        squares.append((mean**2).cpu())
        decodings.append(decoded.cpu())
    square = torch.cat(squares).double()
    total = torch.cat(decodings).var(dim=0, correction=0).double().sum()
    if shares is not None:
        square, decoded = shares * square, torch.cat(decodings).double()
        decoded = decoded - (shares * decoded).mean(dim=0)
        total = (shares * decoded**2).mean(dim=0).sum()
    return Explained(np.sum(change, axis=0) / len(square), square.mean(dim=0).numpy(), float(total))


def _moved(network, mean, j, decoded, shares):
    without = mean.clone()
    without[:, j] = 0
    square = (network.standardized_mean(without) - decoded) ** 2
    return float((square if shares is None else shares * square).sum())
