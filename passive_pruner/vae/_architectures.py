"""Architectures: from the number of inputs, latent variables and outputs to two torch modules."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import pairwise
from numbers import Integral
from typing import ClassVar

import torch
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
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


class Architecture(Component, ABC):
    """Base class of architectures. Subclasses implement :meth:`build`."""

    @abstractmethod
    def build(
        self, n_inputs: int, n_components: int, n_outputs: int
    ) -> tuple[nn.Module, nn.Module]:
        """Build the encoder and the decoder.

        Parameters
        ----------
        n_inputs : int
            Number of encoder inputs: the columns of the data, followed, if values may be missing,
            by as many columns that are 1 where a value is present.
        n_components : int
            Number of latent variables.
        n_outputs : int
            Number of decoder outputs, the parameters of the likelihood.

        Returns
        -------
        encoder : torch.nn.Module
            Module that maps (batch, n_inputs) to (batch, 2 * n_components): means, then
            log-variances.
        decoder : torch.nn.Module
            Module that maps (batch, n_components) to (batch, n_outputs).
        """


class MLP(Architecture):
    """Multi-layer perceptron encoder, and the decoder that mirrors it.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Widths of the hidden layers of the encoder, from the data to the codes; the decoder has them
        in reverse order. An empty tuple makes encoder and decoder linear.
    activation : {"elu", "gelu", "identity", "leaky_relu", "relu", "silu", "tanh"}, \
            default="relu"
        Activation after every hidden layer.
    linear_path : bool, default=False
        Whether a parallel linear layer is added to the outputs of each perceptron. Such a network
        can represent every linear model, and can be initialised as one: see `init` of
        :class:`~passive_pruner.VAEEncoder`.

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
        "linear_path": ["boolean"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        linear_path: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.linear_path = linear_path

    def build(
        self, n_inputs: int, n_components: int, n_outputs: int
    ) -> tuple[nn.Module, nn.Module]:
        hidden = _sizes(self, "hidden_layer_sizes")
        return (
            self._perceptron(n_inputs, *hidden, 2 * n_components),
            self._perceptron(n_components, *reversed(hidden), n_outputs),
        )

    def _perceptron(self, *sizes):
        layers = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[self.activation]()]
        perceptron = nn.Sequential(*layers[:-1])
        return WithLinearPath(perceptron, sizes[0], sizes[-1]) if self.linear_path else perceptron


class WithLinearPath(nn.Module):
    """A perceptron and, beside it, a linear layer without a bias; the sum of their outputs.

    Parameters
    ----------
    perceptron : torch.nn.Sequential
        Linear layers with activations between them.
    n_in, n_out : int
        Its numbers of inputs and outputs.
    """

    def __init__(self, perceptron: nn.Sequential, n_in: int, n_out: int):
        super().__init__()
        self.perceptron = perceptron
        self.linear = nn.Linear(n_in, n_out, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.perceptron(x) + self.linear(x)


class Conv(Architecture):
    """Convolutional encoder and decoder for images.

    At 64 x 64 pixels with the default parameters these are the networks of Locatello et al. and
    their disentanglement_lib. Every convolution has stride 2 and halves height and width; their
    number is the length of `channels`, or less if a side becomes odd or 2 earlier: 64 pixels become
    32, 16, 8 and 4, while 28 become 14 and 7, and 8 become 4 and 2. A hidden layer lies between the
    last feature map and the codes, and the decoder mirrors the encoder.

    Parameters
    ----------
    image_shape : tuple of int, default=(64, 64, 1)
        Height, width and number of channels of the images. Height and width must be divisible
        by 4. A row of the data is one image, flattened in this order.
    channels : tuple of int, default=(32, 32, 64, 64)
        Number of channels after each convolution of the encoder.
    hidden_size : int, default=256
        Width of the hidden layer.

    Notes
    -----
    The first two convolutions have kernels of 4 x 4 pixels and the others of 2 x 2; all transposed
    convolutions of the decoder have kernels of 4 x 4. All activations are ReLU.

    If the encoder also gets a mask of present values, or the likelihood needs several outputs per
    value, the row contains one whole image for each of them, one after the other.

    References
    ----------
    Higgins et al. (2017), "beta-VAE: Learning Basic Visual Concepts with a Constrained
    Variational Framework", ICLR, table 1.
    Locatello et al. (2019), "Challenging Common Assumptions in the Unsupervised Learning of
    Disentangled Representations", ICML, arXiv 1811.12359, appendix.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.vae import Conv
    >>> X = load_digits().images
    >>> architecture = Conv((8, 8, 1), channels=(16, 32), hidden_size=64)
    >>> encoder = VAEEncoder(architecture=architecture, max_steps=200, random_state=0)
    >>> encoder.fit_transform(X).shape
    (1797, 10)
    """

    _parameter_constraints: ClassVar[dict] = {
        "image_shape": ["array-like"],
        "channels": ["array-like"],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        image_shape: Sequence[int] = (64, 64, 1),
        channels: Sequence[int] = (32, 32, 64, 64),
        hidden_size: int = 256,
    ) -> None:
        self.image_shape = image_shape
        self.channels = channels
        self.hidden_size = hidden_size

    def build(
        self, n_inputs: int, n_components: int, n_outputs: int
    ) -> tuple[nn.Module, nn.Module]:
        height, width, n_channels = shape = self._checked_shape(n_inputs, n_outputs)
        n_values = math.prod(shape)
        channels = _sizes(self, "channels")
        if not channels:
            raise ValueError("Conv needs at least one entry in channels; use MLP without any.")
        n_layers = 0
        # Not down to a single pixel, where one number per channel would be all that is left of the
        # image: on digits of 8 x 8 pixels that leaves one active variable instead of four.
        while n_layers < len(channels) and height % 2 == width % 2 == 0 and min(height, width) > 2:
            height, width, n_layers = height // 2, width // 2, n_layers + 1
        channels = channels[:n_layers]
        feature_map = (channels[-1], height, width)
        n_flat = math.prod(feature_map)

        # These paddings make a stride of 2 halve an even side exactly, and the transposed
        # convolution double it; they are those of padding="same" in TensorFlow.
        n_images = n_inputs // n_values
        convolutions = []
        for i, (n_in, n_out) in enumerate(pairwise((n_images * n_channels, *channels))):
            kernel_size, padding = (4, 1) if i < 2 else (2, 0)
            convolutions += [nn.Conv2d(n_in, n_out, kernel_size, 2, padding), nn.ReLU()]
        encoder = nn.Sequential(
            nn.Unflatten(1, (n_images, *shape)),
            _Permute(0, 1, 4, 2, 3),
            nn.Flatten(1, 2),
            *convolutions,
            nn.Flatten(),
            nn.Linear(n_flat, self.hidden_size),
            nn.ReLU(),
            nn.Linear(self.hidden_size, 2 * n_components),
        )

        n_images = n_outputs // n_values
        convolutions = []
        for n_in, n_out in pairwise((*reversed(channels), n_images * n_channels)):
            convolutions += [nn.ConvTranspose2d(n_in, n_out, 4, 2, 1), nn.ReLU()]
        decoder = nn.Sequential(
            nn.Linear(n_components, self.hidden_size),
            nn.ReLU(),
            nn.Linear(self.hidden_size, n_flat),
            nn.ReLU(),
            nn.Unflatten(1, feature_map),
            *convolutions[:-1],
            nn.Unflatten(1, (n_images, n_channels)),
            _Permute(0, 1, 3, 4, 2),
            nn.Flatten(),
        )
        return encoder, decoder

    def _checked_shape(self, n_inputs, n_outputs):
        shape = _sizes(self, "image_shape")
        if len(shape) != 3:
            raise ValueError(
                f"image_shape={self.image_shape} must be (height, width, channels), with 1 channel "
                "for grey images."
            )
        if shape[0] % 4 or shape[1] % 4:
            raise ValueError(
                f"image_shape={shape}: height and width must be divisible by 4. Pad the images, "
                "for example with numpy.pad, or crop them."
            )
        n_values = math.prod(shape)
        if n_inputs not in (n_values, 2 * n_values):
            raise ValueError(
                f"image_shape={shape} stands for rows of {n_values} values (twice as many inputs "
                f"if values may be missing), but the encoder has {n_inputs} inputs. Set "
                "image_shape to the (height, width, channels) of the images in X, or use MLP for "
                "data that is no image."
            )
        if n_outputs % n_values:
            raise ValueError(
                f"image_shape={shape} stands for rows of {n_values} values, but the likelihood "
                f"needs {n_outputs} outputs, which is no multiple of that. Choose a likelihood "
                "with the same number of outputs for every value, or use MLP."
            )
        return shape


class _Permute(nn.Module):
    """Reorder the axes of a tensor."""

    def __init__(self, *order: int):
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(self.order)

    def extra_repr(self) -> str:
        return str(self.order)[1:-1]


class FromFactory(Architecture):
    """Custom networks that are built by a function.

    Parameters
    ----------
    factory : callable
        Function that is called as ``factory(n_inputs, n_components, n_outputs)`` and returns two
        torch modules. The encoder maps (batch, n_inputs) to (batch, 2 * n_components), the
        posterior means and then the log-variances. The decoder maps (batch, n_components) to
        (batch, n_outputs), the parameters of the likelihood. If models are pickled or fitted in
        other processes, it must be importable: use a function of a module, a class with
        ``__call__``, or a :func:`functools.partial` of these, but no lambda.

    Notes
    -----
    The factory is called again whenever the networks are rebuilt, such as after unpickling, and
    must return the same layers each time. The returned modules are copied, and run in float32.
    Their results must be determined by their parameters and buffers: store constants with
    ``register_buffer``.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import StandardScaler
    >>> from torch import nn
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.vae import FromFactory
    >>> def batch_normalised(n_inputs, n_components, n_outputs):
    ...     encoder = nn.Sequential(
    ...         nn.Linear(n_inputs, 32),
    ...         nn.BatchNorm1d(32),
    ...         nn.ReLU(),
    ...         nn.Linear(32, 2 * n_components),
    ...     )
    ...     return encoder, nn.Linear(n_components, n_outputs)
    >>> X = StandardScaler().fit_transform(load_wine().data)
    >>> architecture = FromFactory(batch_normalised)
    >>> encoder = VAEEncoder(architecture=architecture, max_steps=200, random_state=0)
    >>> encoder.fit_transform(X).shape
    (178, 10)
    """

    _parameter_constraints: ClassVar[dict] = {"factory": [callable]}

    def __init__(self, factory: Callable[[int, int, int], tuple[nn.Module, nn.Module]]) -> None:
        self.factory = factory

    def build(
        self, n_inputs: int, n_components: int, n_outputs: int
    ) -> tuple[nn.Module, nn.Module]:
        halves = self.factory(n_inputs, n_components, n_outputs)
        if (
            not isinstance(halves, (tuple, list))
            or len(halves) != 2
            or not all(isinstance(half, nn.Module) for half in halves)
        ):
            raise TypeError(
                "The factory must return two torch modules, (encoder, decoder), but returned "
                f"{halves!r}."
            )
        # A factory may hand out the same modules in every call; two models must not share them.
        try:
            encoder, decoder = copy.deepcopy(tuple(halves))
        except RuntimeError as error:
            raise ValueError(
                "The modules of the factory cannot be copied, as those of the deprecated "
                "torch.nn.utils.weight_norm; use torch.nn.utils.parametrizations instead. Torch "
                f"says: {error}"
            ) from error
        _check_half("encoder", encoder, n_inputs, 2 * n_components, "2 * n_components")
        _check_half("decoder", decoder, n_components, n_outputs, "n_outputs")
        return encoder, decoder


def _check_half(name, half, n_in, n_out, meaning):
    """Check what a module makes of a batch of two rows."""
    expected = f"must map (2, {n_in}) to (2, {n_out}), the latter being {meaning},"
    half.float().eval()  # batch normalisation must not count this batch
    try:
        with torch.no_grad():
            y = half(torch.zeros(2, n_in, dtype=torch.float32, device="cpu"))
    except RuntimeError as error:
        raise ValueError(f"The {name} of the factory {expected} but failed: {error}") from error
    half.train()
    if not isinstance(y, torch.Tensor) or y.shape != (2, n_out):
        got = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
        raise ValueError(f"The {name} of the factory {expected} but returned {got}.")


def _sizes(component, name):
    """Return a parameter that lists sizes as a tuple, after checking that they are positive."""
    sizes = getattr(component, name)
    if isinstance(sizes, (Set, Mapping)):
        raise InvalidParameterError(f"{name} must list sizes in an order, got {sizes!r}.")
    for size in sizes:
        if isinstance(size, bool):  # an Integral as well, but no number
            raise InvalidParameterError(f"{name}={sizes!r} must be whole numbers, got {size!r}.")
        validate_parameter_constraints(
            {name: [Interval(Integral, 1, None, closed="left")]},
            {name: size},
            caller_name=type(component).__name__,
        )
    return tuple(map(int, sizes))
