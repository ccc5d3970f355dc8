"""The same VAE trained by other means: what users would write or install instead."""

from itertools import pairwise

import torch
from torch import nn


def halves(n_features, n_components, hidden):
    """Encoder and decoder perceptrons with ReLU."""

    def stack(*sizes):
        layers = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return (
        stack(n_features, *hidden, 2 * n_components),
        stack(n_components, *reversed(hidden), n_features),
    )


class Half(nn.Module):
    """One half as a module of the user's own, which tells nothing about its layers."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x)


class HandWritten(nn.Module):
    """The VAE as one writes it: Gaussian likelihood with a learned variance."""

    def __init__(self, n_features, n_components, hidden):
        super().__init__()
        self.encoder, self.decoder = halves(n_features, n_components, hidden)
        self.log_variance = nn.Parameter(torch.zeros(1))

    def loss(self, x):
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        squared = (self.decoder(z) - x).square() / self.log_variance.exp()
        reconstruction = 0.5 * (squared + self.log_variance).sum(dim=1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return (reconstruction + kl).mean()


def train_by_hand(X, n_components, hidden, batch_size, n_steps, device="cpu"):
    """A plain loop over slices of one in-memory tensor, with fused Adam."""
    x = torch.from_numpy(X).to(device)
    model = HandWritten(X.shape[1], n_components, hidden).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    step = 0
    while True:
        order = torch.randperm(len(x), device=device)
        for start in range(0, len(x), batch_size):
            loss = model.loss(x[order[start : start + batch_size]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                return model


def train_with_skorch(X, n_components, hidden, batch_size, n_epochs):
    """Skorch with its defaults."""
    from skorch import NeuralNet

    class Net(NeuralNet):
        def get_loss(self, y_pred, y_true, X=None, training=False):
            return self.module_.loss(X.to(self.device))

    class Module(HandWritten):
        def forward(self, x):
            return x

    return Net(
        Module(X.shape[1], n_components, hidden),
        criterion=nn.MSELoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=batch_size,
        max_epochs=n_epochs,
        train_split=None,
        verbose=0,
    ).fit(X, X)


def train_with_pythae(X, n_components, hidden, batch_size, n_epochs, folder):
    """The trainer of pythae, with networks of the same shape."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    encoder, decoder = halves(X.shape[1], n_components, hidden)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers = encoder

        def forward(self, x):
            mean, log_variance = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z))

    config = VAEConfig(input_dim=(X.shape[1],), latent_dim=n_components, reconstruction_loss="mse")
    x = torch.from_numpy(X)
    trainer = BaseTrainer(
        model=VAE(config, Encoder(), Decoder()),
        train_dataset=BaseDataset(x, torch.zeros(len(x))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder),
            num_epochs=n_epochs,
            per_device_train_batch_size=batch_size,
            learning_rate=1e-3,
            no_cuda=True,
        ),
    )
    trainer.train()


def train_with_pyod(X, n_components, hidden, batch_size, n_epochs):
    """PyOD's VAE, without its standardisation of the data."""
    from pyod.models.vae import VAE

    VAE(
        latent_dim=n_components,
        encoder_neuron_list=list(hidden),
        decoder_neuron_list=list(reversed(hidden)),
        hidden_activation_name="relu",
        batch_norm=False,
        dropout_rate=0,
        epoch_num=n_epochs,
        batch_size=batch_size,
        preprocessing=False,
        device="cpu",
        verbose=0,
    ).fit(X)
