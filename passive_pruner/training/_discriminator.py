"""The discriminator that estimates a total correlation, and its training."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

from passive_pruner.training._optimizer_state import export_adam, import_adam


def permute_codes(codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Permute each column on its own, which keeps the marginals and removes the dependence.

    Parameters
    ----------
    codes : Tensor of shape (batch, n_components)
    generator : torch.Generator
        Draws the orders.

    Returns
    -------
    permuted : Tensor of shape (batch, n_components)
    """
    return codes.gather(0, torch.empty_like(codes).uniform_(generator=generator).argsort(dim=0))


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
    generator : torch.Generator
        Draws the permutations.
    """

    def __init__(self, network: nn.Module, device: torch.device, generator: torch.Generator):
        self.generator = generator
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
        logits = self.network(torch.cat([codes, permute_codes(codes, self.generator)]))
        self.optimizer.zero_grad()
        discriminator_loss(*logits.chunk(2)).backward()
        self.optimizer.step()
        self.network.requires_grad_(False)

    def export_state(self) -> dict[str, np.ndarray]:
        """Copy the weights and the state of the optimiser, by name."""
        state = export_adam(self.optimizer, list(self.network.named_parameters()))
        for name, value in self.network.state_dict().items():
            state[name] = value.cpu().numpy().copy()
        return state

    def import_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what :meth:`export_state` gave, if it is that of such a network."""
        mine = self.network.state_dict()
        if any(name not in state or state[name].shape != mine[name].shape for name in mine):
            return  # of another objective
        self.network.load_state_dict({name: torch.tensor(state[name]) for name in mine})
        import_adam(self.optimizer, list(self.network.named_parameters()), None, state)
