"""The network of a variational autoencoder: how it is made, fitted into its weights, and cut."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from passive_pruner._common._parameters import explain_memory
from passive_pruner._common._validation import explain_numbers
from passive_pruner.vae._architectures import MLP, Architecture, Conv
from passive_pruner.vae._likelihoods import Likelihood, LikelihoodModule
from passive_pruner.vae._likelihoods._base import build_module, clamp
from passive_pruner.vae._objective import kl_per_variable
from passive_pruner.vae._random import LocalDraws

# exp(20) is 5e8 and exp(-20) is 2e-9: inside, the exponential, its inverse and their products
# with anything of ordinary size are finite in float32.
LOG_VARIANCE_BOUND = 20.0
# A sum over fewer terms rounds differently: in float32 by about 1e-6 of a typical output.
CUT_TOLERANCE = 1e-4


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

    def forward(self, x: torch.Tensor, noise: torch.Tensor):
        """Encode, take one sample per row by the reparametrisation trick, and decode.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
        noise : Tensor of shape (batch, n_components)
            Standard normal noise.

        Returns
        -------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.
        mean, log_variance, sample : Tensor of shape (batch, n_components)
        """
        mean, log_variance = self.encode(x)
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

    def standardized_mean(self, z: torch.Tensor) -> torch.Tensor:
        """Mean of the likelihood on the scale on which the encoder sees data."""
        return self.likelihood.standardized_mean(self.decoder(z))

    def sample(self, z: torch.Tensor) -> torch.Tensor:
        """One draw from the likelihood at each code, (batch, n_features)."""
        return self.likelihood.sample(self.decoder(z))

    def elbo(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """ELBO of each row in nats, its expectation taken at the noise of the row; (batch,).

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
        noise : Tensor of shape (n_points, batch, n_components)
        """
        mean, log_variance = self.encode(x)
        scale = torch.exp(0.5 * log_variance)
        log_likelihood = torch.stack(
            [self.likelihood.log_likelihood(self.decoder(mean + scale * e), x) for e in noise]
        )
        return log_likelihood.mean(dim=0) - kl_per_variable(mean, log_variance).sum(dim=1)

    def gains(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """ELBO of each row minus that with one variable at its prior; (batch, n_components).

        With the same noise in both, what a variable gains is exactly 0 where its posterior is the
        prior, and exactly minus its divergence where the decoder does not read it.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
        noise : Tensor of shape (n_points, batch, n_components)
        """
        mean, log_variance = self.encode(x)
        scale = torch.exp(0.5 * log_variance)
        gained = torch.zeros_like(mean)
        for e in noise:
            sample = mean + scale * e
            # Copies, because decoders of the user may work in place.
            log_likelihood = self.likelihood.log_likelihood(self.decoder(sample.clone()), x)
            for j in range(mean.shape[1]):
                without = sample.clone()
                without[:, j] = e[:, j]
                at_prior = self.likelihood.log_likelihood(self.decoder(without), x)
                gained[:, j] += log_likelihood - at_prior
        return gained / len(noise) - kl_per_variable(mean, log_variance)


@dataclass(frozen=True)
class Blueprint:
    """What a network is made from, besides its weights.

    Parameters
    ----------
    architecture : Architecture
        Makes encoder and decoder.
    likelihood : Likelihood
        Makes the likelihood module; resolved for the table.
    n_features, n_components : int
        Numbers of columns and of latent variables.
    allow_missing : bool
        Whether the data may have NaN.
    """

    architecture: Architecture
    likelihood: Likelihood
    n_features: int
    n_components: int
    allow_missing: bool

    def build(self, X: np.ndarray, seed: int, sample_weight: np.ndarray | None = None) -> VAE:
        """Make an untrained network on the CPU, in float32.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), float32
            Rows that the likelihood takes its start values from.
        seed : int
            Seed of the weights.
        sample_weight : ndarray of shape (n_samples,), optional
            Weights of the rows.
        """
        what = (
            f"the networks of {self.architecture!r} between {self.n_features} columns and "
            f"{self.n_components} variables"
        )
        with explain_memory(what), LocalDraws(seed):
            encoder, decoder = self.architecture.build(
                self.n_features * (2 if self.allow_missing else 1),
                self.n_components,
                self.likelihood.n_outputs(self.n_features),
            )
            likelihood = build_module(self.likelihood, X, self.allow_missing, sample_weight)
        return VAE(encoder, decoder, likelihood, self.allow_missing).float()

    def load(self, weights: dict[str, np.ndarray]) -> VAE:
        """Make the network that has these weights, in evaluation mode."""
        shapes_alone = np.zeros((1, self.n_features), dtype=np.float32)
        return self.build(shapes_alone, seed=0).load_weights(weights).eval()

    def cut(
        self, weights: dict[str, np.ndarray], keep: np.ndarray
    ) -> tuple["Blueprint", dict[str, np.ndarray]]:
        """Cut latent variables out of a network.

        The last layer of the encoder is W h + b, with one row of W and one entry of b per output:
        the means, then the log-variances. Dropping rows and entries drops outputs and changes no
        other. The first layer of the decoder is W z + b, with one column of W per variable. A
        variable held at 0, the mean of its prior, adds nothing to that sum, so its column can go
        and b stays.

        Which axes count the variables shows in the shapes of the same network with one variable
        more.

        Parameters
        ----------
        weights : dict of str to ndarray
            Weights of the network.
        keep : ndarray of int of shape (n_kept,)
            Numbers of the variables that stay.

        Returns
        -------
        blueprint : Blueprint
            That of the smaller network.
        weights : dict of str to ndarray
            Its weights.

        Raises
        ------
        ValueError
            If the smaller network is not the same function of the kept variables.
        """
        d = self.n_components
        indices = {(d, d + 1): keep, (2 * d, 2 * d + 2): np.concatenate([keep, d + keep])}
        row = np.zeros((1, self.n_features), dtype=np.float32)
        template = replace(self, n_components=d + 1).build(row, seed=0)
        sliced = {}
        for name, tensor in template.state_dict().items():
            value = weights[name]
            for axis, sizes in enumerate(zip(value.shape, tensor.shape, strict=True)):
                if sizes in indices:
                    value = value.take(indices[sizes], axis=axis)
                elif sizes[0] != sizes[1]:
                    raise ValueError(self._not_linear(f"the shape of {name} does not show which"))
            sliced[name] = value.copy()
        smaller = replace(self, n_components=len(keep))
        self._check_same_function(weights, smaller, sliced, keep)
        return smaller, sliced

    def _check_same_function(self, weights, smaller, sliced, keep):
        """Refuse a cut network whose outputs differ, as after a normalisation of all codes.

        Shapes do not tell what a network does with its numbers, so both are run on the same rows:
        random codes, and the data that they decode to.
        """
        network = self.load(weights)
        try:
            small = smaller.load(sliced)
        except RuntimeError as error:  # torch's name for shapes that do not fit
            raise ValueError(self._not_linear("other layers depend on their number")) from error
        generator = torch.Generator("cpu").manual_seed(0)
        z = torch.randn(
            64, self.n_components, generator=generator, dtype=torch.float32, device="cpu"
        )
        z_kept = torch.zeros_like(z)
        z_kept[:, keep] = z[:, keep]
        with LocalDraws(0):  # networks of the user may draw even in evaluation mode
            x = network.mean(z)
            codes = zip(network.encode(x), small.encode(x), strict=True)
            pairs = [(of_all[:, keep], of_kept) for of_all, of_kept in codes]
            pairs.append((network.decoder(z_kept), small.decoder(z[:, keep])))
        if not all(_are_close(*pair) for pair in pairs):
            raise ValueError(self._not_linear("the pruned network gives other outputs"))

    def _not_linear(self, problem):
        return (
            f"Cannot cut latent variables out of {self.architecture!r}: {problem}. The last layer "
            "of its encoder and the first layer of its decoder must be linear in the variables, "
            "and no other layer may depend on n_components."
        )


def is_own(architecture: Architecture) -> bool:
    """Whether the layers are those of the package, which draw nothing and have no hooks."""
    return type(architecture) in (MLP, Conv)


def variable_numbers(keep, n_components):
    """Check what to keep, a mask or numbers, and return numbers."""
    with explain_numbers(keep, "keep", "a mask or numbers of latent variables in one dimension"):
        keep = np.asarray(keep)
    if keep.dtype == bool and keep.shape == (n_components,):
        keep = np.flatnonzero(keep)
    if (
        keep.ndim != 1
        or len(keep) == 0
        or keep.dtype.kind not in "iu"
        or not np.isin(keep, np.arange(n_components)).all()
        or len(np.unique(keep)) < len(keep)
    ):
        raise ValueError(
            f"keep must be a mask of {n_components} latent variables or distinct numbers from 0 to "
            f"{n_components - 1}, and keep at least one, got {keep!r}."
        )
    return keep


def _are_close(a, b):
    scale = 1 + a.abs().median()
    return torch.allclose(a, b, rtol=CUT_TOLERANCE, atol=CUT_TOLERANCE * scale, equal_nan=True)


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
