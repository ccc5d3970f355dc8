"""Early stopping: averages of weights, the best epoch, and whether there was none for too long."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

# Gradient steps that an average is mostly of. Single weights jump about their mean by a step of
# Adam at a time, which costs held-out rows some tenths of a nat.
HORIZON = 50


class Average:
    """Exponential average of parameters, which can stand in their place for a while.

    The average over the last steps has less of the noise of single steps than the parameters
    themselves [1]_, so it is what is evaluated, compared and kept.

    Parameters
    ----------
    parameters : sequence of torch.nn.Parameter
        They go on being trained from their own values.

    References
    ----------
    .. [1] B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by
       averaging", SIAM Journal on Control and Optimization 30, 1992.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self.parameters = parameters
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew from the present parameters."""
        self.values = [p.clone() for p in self.parameters]
        self.own: list[torch.Tensor] | None = None
        self.n_steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters after one more step."""
        self.n_steps += 1
        for value, parameter in zip(self.values, self.parameters, strict=True):
            # In a short run, mostly of its last quarter: the first steps lead away from the start.
            value.lerp_(parameter, 1 / min(1 + self.n_steps / 4, HORIZON))

    @torch.no_grad()
    def show(self) -> None:
        """Put the average in the place of the parameters."""
        self.own = [p.clone() for p in self.parameters]
        for value, parameter in zip(self.values, self.parameters, strict=True):
            parameter.copy_(value)

    @torch.no_grad()
    def hide(self) -> None:
        """Put the parameters back, if the average is in their place."""
        if self.own is None:
            return
        for own, parameter in zip(self.own, self.parameters, strict=True):
            parameter.copy_(own)
        self.own = None


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
