"""The variational autoencoder as one torch module."""

from contextlib import contextmanager

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import qmc
from torch import nn

from passive_pruner.vae._likelihoods import LikelihoodModule
from passive_pruner.vae._likelihoods._base import clamp
from passive_pruner.vae._objectives import kl_per_variable

# exp(20) is 5e8 and exp(-20) is 2e-9: inside, the exponential, its inverse and their products
# with anything of ordinary size are finite in float32.
LOG_VARIANCE_BOUND = 20.0


class VAE(nn.Module):
    """Encoder, decoder and likelihood of one variational autoencoder.

    Parameters
    ----------
    encoder, decoder : torch.nn.Module
        As an architecture builds them.
    likelihood : LikelihoodModule
        Distribution of the data given the decoder's outputs.
    allow_missing : bool, default=False
        Whether the data may have NaN. The encoder then sees zeros there, the mean of standardised
        data, and one more column per column that tells which cells are present.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: LikelihoodModule,
        allow_missing: bool = False,
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.allow_missing = allow_missing

    def encoder_inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Bring data to what the encoder reads."""
        x = self.likelihood.standardize(x)
        if not self.allow_missing:
            return x
        return torch.cat([x.nan_to_num(nan=0.0), (~x.isnan()).to(x.dtype)], dim=1)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and log-variance of each row, both (batch, n_components)."""
        mean, log_variance = self.encoder(self.encoder_inputs(x)).chunk(2, dim=1)
        return mean, clamp(log_variance, -LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)

    def forward(self, x: torch.Tensor, noise: torch.Tensor | None = None):
        """Encode, draw one sample per row by the reparametrisation trick, and decode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
        noise : Tensor of shape (batch, n_components) or None, default=None
            Standard normal noise; None draws it.

        Returns
        -------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.
        mean, log_variance, sample : Tensor of shape (batch, n_components)
        """
        mean, log_variance = self.encode(x)
        if noise is None:
            noise = torch.randn_like(mean)
        sample = mean + torch.exp(0.5 * log_variance) * noise
        return self.decoder(sample), mean, log_variance, sample

    def weights(self) -> dict[str, np.ndarray]:
        """Copy of every parameter and buffer, by its name in the state dict."""
        return {name: value.cpu().numpy().copy() for name, value in self.state_dict().items()}

    def load_weights(self, weights: dict[str, np.ndarray]) -> "VAE":
        """Take over what :meth:`weights` gave, on whichever device this module is."""
        self.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        return self

    def mean(self, z: torch.Tensor) -> torch.Tensor:
        """Mean of the likelihood at each code, (batch, n_features)."""
        return self.likelihood.mean(self.decoder(z))

    def sample(self, z: torch.Tensor) -> torch.Tensor:
        """One draw from the likelihood at each code, (batch, n_features)."""
        return self.likelihood.sample(self.decoder(z))

    def elbo(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """ELBO of each row in nats, its expectation taken at every row of `noise`; (batch,)."""
        mean, log_variance = self.encode(x)
        scale = torch.exp(0.5 * log_variance)
        log_likelihood = torch.stack(
            [self.likelihood.log_likelihood(self.decoder(mean + scale * e), x) for e in noise]
        )
        return log_likelihood.mean(dim=0) - kl_per_variable(mean, log_variance).sum(dim=1)


def elbo_points(n_components: int, n_points: int = 16) -> torch.Tensor:
    """Make fixed quasi-random points that stand for the standard normal distribution.

    Scrambled Sobol points (Owen 1998) and their mirror images, scaled to unit variance: the mean
    over them is exact for any function that is linear, or quadratic without mixed terms.

    Returns
    -------
    points : Tensor of shape (n_points, n_components), float64
    """
    uniform = qmc.Sobol(n_components, rng=np.random.default_rng(0)).random(n_points // 2)
    half = ndtri(uniform)
    half /= np.sqrt(np.mean(half**2, axis=0))
    return torch.from_numpy(np.vstack([half, -half]))


def resolve_device(device: str, *, or_cpu: bool = False) -> torch.device:
    """Turn the name of a device into the device.

    Parameters
    ----------
    device : str
        Name of a torch device, or "auto" for the accelerator that is present, else the CPU.
    or_cpu : bool, default=False
        Whether a device that this machine lacks is replaced by the CPU.

    Raises
    ------
    ValueError
        If the device is unknown, or missing and `or_cpu` is False.
    """
    n_devices = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if device == "auto":
        device = next(kind for kind in ("cuda", "mps", "cpu") if n_devices[kind])
    kind, colon, number = device.partition(":")
    is_known = kind in n_devices and (number.isdecimal() if colon else True)
    is_present = is_known and int(number or 0) < n_devices[kind]
    if not is_known or not (is_present or or_cpu):
        names = [f"{kind}:{i}" for kind, n in n_devices.items() for i in range(n)]
        raise ValueError(
            f"device={device!r} is not available; this machine has "
            f"{[name.removesuffix(':0') for name in names]}. Pass one of these, or 'auto'."
        )
    return torch.device(device if is_present and kind != "cpu" else "cpu")


@contextmanager
def seeded_torch(seed: int, device: torch.device):
    """Seed torch's global generators for the block, and put them back after it."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device.index or 0] if cuda else []):
        seed_torch(seed, device)
        yield


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the generators that :func:`seeded_torch` puts back."""
    # torch.manual_seed would also reseed the generators of devices that are not forked.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
