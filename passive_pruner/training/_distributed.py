"""Training on several processes: those of torch's default process group, if there is one.

All processes start from the weights of the first. In every step each takes the gradient on a
batch of its own rows, and all of them step along the mean of these gradients: over batches of
equal size that is the gradient on one batch of all their rows (synchronous data parallelism; Goyal
et al. 2017, "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 2.2). Decisions are taken
on figures that are averaged in the same way, so that all processes take the same ones.

With one process nothing here does anything.
"""

from typing import Any

import numpy as np
import torch
from torch import distributed, nn


def n_processes() -> int:
    """Count the processes that train together."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def is_first_process() -> bool:
    """Whether this is the one of the processes that may speak for all."""
    return n_processes() == 1 or distributed.get_rank() == 0


def own_seed(seed: int) -> int:
    """Turn a seed that all processes may have in common into one for this process.

    With the same noise everywhere, the mean gradient would be as noisy as a single one.
    """
    rank = distributed.get_rank() if n_processes() > 1 else 0
    return int(np.random.SeedSequence([seed, rank]).generate_state(1)[0]) if rank else seed


def agree_on_steps(n_steps: int, module: nn.Module, **settings: Any) -> int:
    """Return the largest number of steps that a process wants to take.

    A process that stopped before the others would leave them waiting for its gradients; one with
    fewer rows reads some of them once more instead.

    Parameters
    ----------
    n_steps : int
        The number that this process wants to take.
    module : torch.nn.Module
        What is trained.
    **settings
        What has to be the same everywhere.

    Raises
    ------
    ValueError
        On every process, if a setting or the shape of a parameter is not the same everywhere.
    """
    settings |= {name: tuple(value.shape) for name, value in module.state_dict().items()}
    everywhere: list[Any] = [None] * n_processes()
    distributed.all_gather_object(everywhere, (n_steps, settings))
    for rank, (_, others) in enumerate(everywhere):
        # The first process compares itself with the others, and all raise the same error.
        first = everywhere[0][1]
        differing = [name for name in first | others if first.get(name) != others.get(name)]
        if differing:
            name = differing[0]
            raise ValueError(
                f"Processes that train together need the same parameters and the same columns, "
                f"but {name} is {first.get(name)!r} on process 0 and {others.get(name)!r} on "
                f"process {rank}."
            )
    return max(wanted for wanted, _ in everywhere)


def share_state(module: nn.Module) -> None:
    """Replace parameters and buffers by those of the first process."""
    if n_processes() > 1:
        for value in module.state_dict().values():
            distributed.broadcast(value, src=0)


def average_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Replace gradients by their mean over processes; a hook for before a step of `optimizer`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parameters = [p for p in parameters if p.requires_grad]
    for p in parameters:
        if p.grad is None:  # here, but perhaps not everywhere
            p.grad = torch.zeros_like(p)
    flat = mean_over_processes(torch.cat([p.grad.flatten() for p in parameters]))
    for p, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(gradient.view_as(p))


def mean_over_processes(values: Any, device: torch.device | str | None = None) -> Any:
    """Mean of a number or tensor over processes, bit for bit the same on all of them.

    Parameters
    ----------
    values : float or Tensor
        Of the same shape on every process.
    device : torch.device or str, optional
        Where a number is put for its way to the others.
    """
    if n_processes() == 1:
        return values
    total = torch.as_tensor(values, device=device).clone()
    distributed.all_reduce(total)
    return total / n_processes()
