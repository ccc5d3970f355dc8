"""Architectures: from the number of inputs, latent variables and outputs to two torch modules."""

from abc import abstractmethod
from itertools import pairwise
from numbers import Integral
from typing import ClassVar

from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints
from torch import nn

from passive_pruner.vae._component import Component

ACTIVATIONS = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Architecture(Component):
    """Base class of architectures: implement :meth:`build`."""

    @abstractmethod
    def build(self, n_features: int, n_components: int, n_outputs: int):
        """Make the two halves of the autoencoder.

        Parameters
        ----------
        n_features : int
            Number of columns of the data.
        n_components : int
            Number of latent variables.
        n_outputs : int
            Number of decoder outputs, the parameters of the likelihood.

        Returns
        -------
        encoder : torch.nn.Module
            Maps (batch, n_features) to (batch, 2 * n_components): means, then log-variances.
        decoder : torch.nn.Module
            Maps (batch, n_components) to (batch, n_outputs).
        """


class MLP(Architecture):
    """Multi-layer perceptron encoder, and the decoder that mirrors it.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Widths of the hidden layers of the encoder, from the data to the codes; the decoder has
        them in reverse. An empty tuple makes both halves linear.
    activation : {"elu", "gelu", "identity", "leaky_relu", "relu", "silu", "tanh"}, \
            default="relu"
        Activation after every hidden layer.

    Examples
    --------
    >>> from passive_pruner.vae import MLP
    >>> encoder, decoder = MLP(hidden_layer_sizes=(32,)).build(8, 3, 8)
    >>> encoder
    Sequential(
      (0): Linear(in_features=8, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=6, bias=True)
    )
    """

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    def __init__(self, hidden_layer_sizes=(256, 256), activation="relu"):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation

    def build(self, n_features, n_components, n_outputs):
        for size in self.hidden_layer_sizes:
            validate_parameter_constraints(
                {"hidden_layer_sizes": [Interval(Integral, 1, None, closed="left")]},
                {"hidden_layer_sizes": size},
                caller_name=type(self).__name__,
            )
        hidden = tuple(self.hidden_layer_sizes)
        return (
            self._perceptron(n_features, *hidden, 2 * n_components),
            self._perceptron(n_components, *reversed(hidden), n_outputs),
        )

    def _perceptron(self, *sizes):
        layers = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[self.activation]()]
        return nn.Sequential(*layers[:-1])
