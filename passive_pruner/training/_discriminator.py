"""The discriminator that estimates a total correlation, and its training."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import softplus


def permute_codes(codes: torch.Tensor) -> torch.Tensor:
    """Permute each column on its own, which keeps the marginals and removes the dependence.

    Parameters
    ----------
    codes : Tensor of shape (batch, n_components)

    Returns
    -------
    permuted : Tensor of shape (batch, n_components)
    """
    return codes.gather(0, torch.rand_like(codes).argsort(dim=0))


def discriminator_loss(codes_logits: torch.Tensor, permuted_logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of telling codes (class 0) from permuted codes (class 1); scalar.

    With both equally frequent, the best discriminator is Bayes' rule, D(z) = q(z) / (q(z) + r(z))
    where r is the product of the marginals of q. The difference of its two logits, ln D - ln(1-D),
    is then ln q(z) / r(z), whose expectation under q is the total correlation.
    """

    def log_ratio(logits):
        return logits[:, 0] - logits[:, 1]

    return 0.5 * (
        softplus(-log_ratio(codes_logits)).mean() + softplus(log_ratio(permuted_logits)).mean()
    )


class Discriminator:
    """A discriminator network together with its optimiser.

    It is no :class:`torch.nn.Module`: as one it would hand its parameters to the optimiser of the
    autoencoder and to the fitted weights.

    Parameters
    ----------
    network : torch.nn.Module
        As an objective builds it.
    device : torch.device
        Where the autoencoder is.
    """

    def __init__(self, network: nn.Module, device: torch.device):
        self.network = network.to(device)
        # Kim and Mnih (2018), appendix A.
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=1e-4, betas=(0.5, 0.9), fused=device.type in ("cpu", "cuda")
        )
        # Its weights are constants of the autoencoder's loss; without this, a third of the time
        # of its backward pass would go into gradients that nobody reads.
        network.requires_grad_(False)

    def logits(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits for each row of `codes`, (batch, 2), differentiable by the codes."""
        return self.network(codes)

    def train_step(self, codes: torch.Tensor) -> None:
        """Take one gradient step on a batch of codes against their permutation."""
        codes = codes.detach()
        self.network.requires_grad_(True)
        logits = self.network(torch.cat([codes, permute_codes(codes)]))
        self.optimizer.zero_grad()
        discriminator_loss(*logits.chunk(2)).backward()
        self.optimizer.step()
        self.network.requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """State of network and optimiser."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
