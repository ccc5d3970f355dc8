"""The loss: negative log-likelihood plus the weighted regulariser."""

import torch
from torch import nn

from passive_pruner.training._discriminator import Discriminator
from passive_pruner.vae._network import VAE
from passive_pruner.vae._objective import Codes, Objective


def regularizer_weight(step: int, kl_warmup_steps: int) -> float:
    """Weight of the regulariser in the gradient step that follows `step` others.

    Divided by w, the loss with weight w and Gaussian noise of variance v is that with weight 1 and
    noise of variance w v. A linear model of that noise uses one variable for each principal
    component of larger variance (Tipping and Bishop 1999, "Probabilistic Principal Component
    Analysis", equation 7). So a small weight makes active what full weight would not, and as the
    weight grows variables become passive again, those that explain least first. At full weight
    from the start each has to pay for itself before the decoder can read it, and variables are
    lost that would have paid later (Bowman et al. 2016, "Generating Sentences from a Continuous
    Space", arXiv 1511.06349, section 3.1).

    The weight is above 0 in the first step, since otherwise nothing bounds the codes in it, and 1
    in the last step of the warm-up.
    """
    return min(1.0, (step + 1) / kl_warmup_steps) if kl_warmup_steps else 1.0


class Loss(nn.Module):
    """Negative log-likelihood plus the objective's regulariser, in nats averaged over rows.

    In training mode the regulariser has the weight of the warm-up, in evaluation mode weight 1:
    numbers that are compared, by early stopping above all, have to measure the same thing.
    """

    def __init__(
        self,
        objective: Objective,
        kl_warmup_steps: int = 0,
        discriminator: Discriminator | None = None,
    ):
        super().__init__()
        self.objective = objective
        self.kl_warmup_steps = kl_warmup_steps
        self.discriminator = discriminator

    def forward(self, module: VAE, x: torch.Tensor, *, step: int, noise: torch.Tensor):
        """Return the reconstruction term, the regulariser and what the objective was given."""
        outputs, *posterior = module(x, noise)
        reconstruction = -module.likelihood.log_likelihood(outputs, x).mean()
        return reconstruction, *self.regularizer(*posterior, step=step)

    def regularizer(self, mean, log_variance, sample, *, step: int) -> tuple[torch.Tensor, Codes]:
        """Return the weighted regulariser and what the objective was given."""
        logits = self.discriminator.logits(sample) if self.discriminator else None
        codes = Codes(mean, log_variance, sample, logits)
        return self.weight(step) * self.objective.regularizer(codes, step=step), codes

    def weight(self, step: int) -> float:
        """Weight of the regulariser in the present mode."""
        return regularizer_weight(step, self.kl_warmup_steps) if self.training else 1.0
