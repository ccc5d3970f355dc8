"""A variational autoencoder trained by a loop as one writes it, and a held-out ELBO of any of them.

The loop is what a random start costs and reaches: perceptrons of the encoder's default sizes,
Adam at 1e-3, batches of 256 rows, a look at 10 % held-out rows every 100 steps, and the weights of
the best look after five looks in vain. Only the likelihood is that of the package, whose learned
variance starts at a tenth of that of the data.
"""

import copy
import math
from itertools import pairwise
from time import perf_counter, process_time

import numpy as np
import torch
from torch import nn

HIDDEN = (256, 256)
LEARNING_RATE = 1e-3
BATCH_SIZE = 256
LOOK_STEPS = 100
PATIENCE = 5
TOLERANCE = 1e-3
HELD_OUT_SHARE = 0.1
MAX_HELD_OUT = 1024
MAX_STATISTICS_ROWS = 2048
# Draws per row of a held-out ELBO, and rows at a time of its computation.
N_DRAWS = 64
ELBO_CHUNK_ROWS = 256
# Rows times draws of the ELBO of a single look, and fewest draws of it.
LOOK_DRAWS, MIN_LOOK_DRAWS, MAX_LOOK_ROWS = 2**14, 16, 1024


@torch.no_grad()
def held_out_elbo(network, x, n_draws=N_DRAWS):
    """ELBO of each row in nats, by independent draws from a generator with a fixed seed.

    Parameters
    ----------
    network : torch.nn.Module
        With `encode`, `decoder` and `likelihood`, as ``VAEEncoder.to_torch()`` and :class:`Network`
        have them.
    x : ndarray of shape (n_samples, n_features), float32
    n_draws : int, default=64

    Returns
    -------
    elbo : ndarray of shape (n_samples,), float64
    """
    generator = torch.Generator().manual_seed(0)
    parts = []
    for part in torch.from_numpy(x).split(ELBO_CHUNK_ROWS):
        mean, log_variance = network.encode(part)
        noise = torch.randn(n_draws, *mean.shape, generator=generator)
        z = (mean + torch.exp(0.5 * log_variance) * noise).flatten(0, 1)
        log_likelihood = network.likelihood.log_likelihood(
            network.decoder(z), part.repeat(n_draws, 1)
        )
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        parts.append(log_likelihood.double().view(n_draws, -1).mean(dim=0) - kl)
    return torch.cat(parts).numpy()


class Network(nn.Module):
    """Two perceptrons and a likelihood.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_features)
        Training data.
    n_components : int
        Number of latent variables.
    likelihood : Likelihood
        Distribution of the data.
    generator : torch.Generator
        Draws the weights.
    """

    def __init__(self, x, n_components, likelihood, generator):
        super().__init__()
        n_features = x.shape[1]
        likelihood = likelihood.validated().resolve(n_features)
        self.encoder = perceptron(n_features, *HIDDEN, 2 * n_components, generator=generator)
        self.decoder = perceptron(
            n_components, *reversed(HIDDEN), likelihood.n_outputs(n_features), generator=generator
        )
        rows = torch.randperm(len(x), generator=generator)[:MAX_STATISTICS_ROWS]
        self.likelihood = likelihood.build(x[rows].numpy())

    def encode(self, x):
        return self.encoder(self.likelihood.standardize(x)).chunk(2, dim=1)

    def loss(self, x, noise):
        """Negative ELBO at one draw per row, averaged over rows."""
        mean, log_variance = self.encode(x)
        z = mean + torch.exp(0.5 * log_variance) * noise
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return (kl - self.likelihood.log_likelihood(self.decoder(z), x)).mean()


def held_out_order(n_rows, seed):
    """Order of the rows, those that are held out first: as the encoder has it for this seed.

    Which rows these are decides where training ends, so that with others a comparison would need
    more seeds.
    """
    encoder_seed = np.random.RandomState(seed).randint(np.iinfo(np.int32).max)
    return np.random.default_rng(encoder_seed).permutation(n_rows)


def perceptron(*sizes, generator):
    """Linear layers with ReLU between them, started as torch does by default."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
        for parameter in layer.parameters():
            bound = 1 / math.sqrt(n_in)
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def hand_loop(train, test, n_components, likelihood, *, seed, max_steps):
    """Train by hand.

    Parameters
    ----------
    train, test : ndarray of shape (n_samples, n_features), float32
        Rows to train on, and rows on which the ELBO is measured after every look, off the clock.
    n_components : int
        Number of latent variables.
    likelihood : Likelihood
        Distribution of the data.
    seed : int
        Seed of weights, batches, noise and the held-out part of the training rows.
    max_steps : int
        Most gradient steps.

    Returns
    -------
    network : Network
        With the weights of the best look.
    looks : list of dict
        Per look "step", "cpu" and "seconds" since the begin of training, "is_best", whether the
        look had the best held-out rows so far, and "elbo" of the test rows.
    """
    generator = torch.Generator().manual_seed(seed)
    test = test[:MAX_LOOK_ROWS]
    n_draws = min(N_DRAWS, max(MIN_LOOK_DRAWS, LOOK_DRAWS // len(test)))
    looks, misses, lowest, best_weights = [], 0, math.inf, None
    begin = np.array([process_time(), perf_counter()])
    off_clock = np.zeros(2)
    x = torch.from_numpy(train)
    order = torch.from_numpy(held_out_order(len(x), seed))
    n_held_out = min(math.ceil(HELD_OUT_SHARE * len(x)), MAX_HELD_OUT)
    held_out, rows = x[order[:n_held_out]], order[n_held_out:]
    network = Network(x, n_components, likelihood, generator)
    held_out_noise = torch.randn(n_held_out, n_components, generator=generator)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    step = 0
    while misses < PATIENCE and step < max_steps:
        for batch in rows[torch.randperm(len(rows), generator=generator)].split(BATCH_SIZE):
            noise = torch.randn(len(batch), n_components, generator=generator)
            optimizer.zero_grad()
            network.loss(x[batch], noise).backward()
            optimizer.step()
            step += 1
            if step % LOOK_STEPS:
                continue
            with torch.no_grad():
                objective = network.loss(held_out, held_out_noise).item()
            is_best = objective < lowest - TOLERANCE
            misses += 1
            if is_best:
                lowest, misses, best_weights = objective, 0, copy.deepcopy(network.state_dict())
            now = np.array([process_time(), perf_counter()])
            cpu, seconds = (now - begin - off_clock).tolist()
            elbo = held_out_elbo(network, test, n_draws).mean()
            looks.append(
                {
                    "step": step,
                    "cpu": cpu,
                    "seconds": seconds,
                    "is_best": is_best,
                    "elbo": elbo,
                }
            )
            off_clock += np.array([process_time(), perf_counter()]) - now
            if misses >= PATIENCE or step >= max_steps:
                break
    network.load_state_dict(best_weights)
    return network.eval(), looks
