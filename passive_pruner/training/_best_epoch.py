"""Early stopping: which epoch was the best, and whether there has been none for too long."""

from typing import Any

import torch
from torch import nn


class BestEpoch:
    """Remember the weights of the epoch with the lowest objective, and count the misses since.

    Every epoch is compared, those of the warm-up of the regulariser too: all are measured at full
    weight. Misses count from the end of the warm-up, until which training minimises something else
    than what is measured.

    Parameters
    ----------
    patience : int
        Number of misses after which training is over.
    tol : float
        Improvement that is no miss, in nats.
    kl_warmup_steps : int
        Gradient steps of the warm-up.

    Attributes
    ----------
    best : (dict, dict of str to Tensor) or None
        Record and weights of the best epoch, which change together: an interrupt that comes in
        between leaves those of the former one.
    """

    def __init__(self, patience: int, tol: float, kl_warmup_steps: int):
        self.patience = patience
        self.tol = tol
        self.kl_warmup_steps = kl_warmup_steps
        self.misses = 0
        self.best: tuple[dict[str, Any], dict[str, torch.Tensor]] | None = None

    def compare(self, record: dict[str, Any], module: nn.Module) -> None:
        """Compare an epoch, after which `module` has the present weights, with the best one."""
        if self.best is None or record["objective"] < self.best[0]["objective"] - self.tol:
            self.best = record, copy_of_weights(module)
            self.misses = 0
        elif record["step"] >= self.kl_warmup_steps:
            self.misses += 1

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return self.misses >= self.patience


def copy_of_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """Copy what a module has in its state dict."""
    return {name: value.clone() for name, value in module.state_dict().items()}
