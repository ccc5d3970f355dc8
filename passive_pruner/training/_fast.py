"""A gradient step whose derivatives are written out.

For networks of the size that tables need, automatic differentiation spends most of a step on
building and walking its graph of small operations. Here the ELBO is differentiated by hand into
buffers that are allocated once, and so are perceptrons and the objectives of
:mod:`~passive_pruner.training._gradients`; what is left to autograd are networks of other layers,
and the terms of other objectives and likelihoods, which see only the small tensors at the ends of
the network.

:class:`FastStep` changes no result beyond rounding: the plain path through
:class:`~passive_pruner.training._loss.Loss` is its reference.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import nn

from passive_pruner.training._gradients import GRADIENTS
from passive_pruner.vae._architectures import WithLinearPath
from passive_pruner.vae._likelihoods._base import STRETCH
from passive_pruner.vae._likelihoods._gaussian import LOG_FLOOR, GaussianModule
from passive_pruner.vae._likelihoods._unit_interval import BernoulliModule
from passive_pruner.vae._network import LOG_VARIANCE_BOUND, VAE

# exp of more is infinite in float32, and an error in Python.
LARGEST_EXPONENT = 88.0
# Sizes of batches that have buffers at a time.
MAX_BUFFERS = 4
# Activations whose derivative follows from their value a: the function in place, and the gradient
# by the input, in place of the gradient g by the output.
#
# The operators of torch's own derivatives, in the form that writes into a given tensor, are no
# public functions; 2.13 has them. Where one is missing, no activation is known here, and autograd
# takes the derivatives.
_IN_PLACE: dict[type, tuple[Callable, Callable]] = {}
try:
    _threshold_backward: Any = torch.ops.aten.threshold_backward.grad_input
    _tanh_backward: Any = torch.ops.aten.tanh_backward.grad_input
except AttributeError:
    pass
else:
    _IN_PLACE[nn.ReLU] = (
        torch.relu_,
        lambda g, a: _threshold_backward(g, a, 0.0, grad_input=g),
    )
    _IN_PLACE[nn.Tanh] = (torch.tanh_, lambda g, a: _tanh_backward(g, a, grad_input=g))


class FastStep:
    """Gradients of one batch, on the CPU.

    Parameters
    ----------
    module : VAE
        What is trained.
    criterion : Loss
        Supplies the regulariser; it is in training mode.
    n_components : int
        Number of latent variables.
    generator : torch.Generator
        Draws the noise.
    is_mlp : bool
        Whether the halves are perceptrons that the package made. The layers of others are left to
        autograd, whatever they look like: they may be shared, hooked or parametrised.

    Attributes
    ----------
    flat : torch.nn.Parameter of shape (n_parameters,) or None
        Where both halves are perceptrons that the package made, every parameter that is learned:
        parameters and gradients are views of it, so that the optimiser updates all of them in one
        operation.
    """

    def __init__(
        self,
        module: VAE,
        criterion,
        n_components: int,
        generator: torch.Generator,
        *,
        is_mlp: bool,
    ):
        self.generator = generator
        self.module = module
        self.criterion = criterion
        self.n_components = n_components
        # Kept here, because attributes of a torch module are found by a slow path of their own.
        self.encoder = module.encoder
        self.decoder = module.decoder
        self.likelihood = cast(Any, module.likelihood)
        self.objective = criterion.objective
        self.learned = [p for p in module.parameters() if p.requires_grad]
        self.flat = None
        if is_mlp and is_known(self.encoder) and is_known(self.decoder):
            self.flat = _flatten(self.learned)
        complete, kind = not self.likelihood.missing, type(self.likelihood)
        self.is_bernoulli = complete and kind is BernoulliModule
        self.is_gaussian = complete and kind is GaussianModule
        if self.is_gaussian:
            self.has_one_noise = len(self.likelihood.start) == 1
            self.log_start = self.likelihood.start[0].item()
            self.squared_scale = self.likelihood.scale.square()
        self._buffers: dict[int, SimpleNamespace] = {}

    @torch.no_grad()
    def __call__(self, x: torch.Tensor, *, step: int) -> torch.Tensor:
        """Write the gradient of the loss at the batch `x` into the parameters' ``grad``.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features), float32
        step : int
            Number of gradient steps done before this one.

        Returns
        -------
        sample : Tensor of shape (batch, n_components)
            The draws that were decoded; overwritten by the next call.
        """
        if self.flat is None:
            for parameter in self.learned:
                parameter.grad = None
        inputs = self.module.encoder_inputs(x)
        b = self._buffers.get(len(x)) or self._make_buffers(len(x))
        b.mean, log_variance = b.encoder.forward(inputs).chunk(2, dim=1)
        b.g_mean, b.g_log_variance = b.encoder.g_outputs.chunk(2, dim=1)
        torch.clamp(log_variance, -LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND, out=b.log_variance)
        torch.mul(b.log_variance, 0.5, out=b.std).exp_()
        torch.addcmul(b.mean, b.std, b.noise.normal_(generator=self.generator), out=b.sample)
        self._reconstruction_gradient(b, b.decoder.forward(b.sample), inputs, x)
        b.decoder.backward()
        self._regularizer_gradient(b, step)
        # sample = mean + exp(log_variance / 2) noise; the gradient passes the clamp unchanged.
        b.g_log_variance.addcmul_(b.g_sample, b.noise.mul_(b.std), value=0.5)
        b.encoder.backward()
        return b.sample

    def _make_buffers(self, batch):
        # A pass has batches of at most two sizes; blocks of a stream may each have others.
        if len(self._buffers) >= MAX_BUFFERS:
            self._buffers.clear()
        names = ("log_variance", "std", "variance", "noise", "sample", "g_sample")
        b = SimpleNamespace(**{name: _empty(batch, self.n_components) for name in names})
        half = _Perceptron if self.flat is not None else _Network
        b.encoder = half(self.encoder, batch, None)
        b.decoder = half(self.decoder, batch, b.g_sample)
        self._buffers[batch] = b
        return b

    def _reconstruction_gradient(self, b, outputs, inputs, x):
        """Write the gradient by the decoder's outputs and the likelihood's parameters."""
        g_outputs = b.decoder.g_outputs
        if self.is_gaussian:
            self._gaussian_gradient(outputs - inputs, g_outputs)
        elif self.is_bernoulli:
            torch.sigmoid(outputs, out=g_outputs).sub_(x).div_(len(x))
        else:
            parameters = [p for p in self.likelihood.parameters() if p.requires_grad]
            with torch.enable_grad():
                leaf = outputs.detach().requires_grad_()
                loss = -self.likelihood.log_likelihood(leaf, x).mean()
                gradient, *g_parameters = torch.autograd.grad(loss, [leaf, *parameters])
            g_outputs.copy_(gradient)
            for parameter, g in zip(parameters, g_parameters, strict=True):
                _store_gradient(parameter, g)

    def _gaussian_gradient(self, residual, g_outputs):
        # With standardised data t, outputs o, and s to bring them back to units of the data, a
        # cell adds (ln v + s^2 (o - t)^2 / v) / 2, v being the variance of the likelihood. On the
        # CPU a number can be read from a tensor without waiting for anything.
        log_ratio, batch = self.likelihood.log_ratio, len(residual)
        if not self.has_one_noise:
            log_v_ratio = log_ratio.detach() * STRETCH
            log_floor = self.likelihood.log_floor
            is_above = log_v_ratio >= log_floor
            log_v = self.likelihood.start + log_v_ratio.clamp_(min=log_floor)
            weight = self.squared_scale * torch.exp(-log_v)
            torch.mul(residual, weight / batch, out=g_outputs)
            squared = torch.mul(residual, g_outputs, out=residual).sum(dim=0)
            _store_gradient(log_ratio, squared.neg_().add_(1).mul_(0.5 * STRETCH).mul_(is_above))
            return
        log_v_ratio = STRETCH * log_ratio.item()
        v = math.exp(min(self.log_start + max(log_v_ratio, LOG_FLOOR), LARGEST_EXPONENT))
        torch.mul(residual, self.squared_scale, out=g_outputs).mul_(1 / (v * batch))
        if log_ratio.requires_grad:
            # The derivative by ln v, summed over columns and averaged over rows.
            squared = torch.dot(residual.view(-1), g_outputs.view(-1)).item()
            g = 0.5 * (residual.shape[1] - squared) if log_v_ratio >= LOG_FLOOR else 0.0
            _store_gradient(log_ratio, torch.full_like(log_ratio, STRETCH * g))

    def _regularizer_gradient(self, b, step):
        """Write the gradient by mean and log-variance, and add that by the sample."""
        gradient = GRADIENTS.get(type(self.objective))
        if gradient is None:
            self._regularizer_gradient_by_autograd(b, step)
            return
        torch.mul(b.std, b.std, out=b.variance)
        weight = self.criterion.weight(step)
        kl_weight, by_mean, by_log_variance, by_sample = gradient(self.objective, b, step)
        # The derivatives of (mu^2 + s2 - 1 - ln s2) / 2 by mu and by ln s2.
        scale = weight * kl_weight / len(b.mean)
        torch.sub(b.variance, 1.0, out=b.g_log_variance).mul_(0.5 * scale)
        if by_sample is not None:
            b.g_sample.add_(by_sample, alpha=weight)
        torch.add(b.g_sample, b.mean, alpha=scale, out=b.g_mean)
        if by_mean is not None:
            b.g_mean.add_(by_mean, alpha=weight)
        if by_log_variance is not None:
            b.g_log_variance.add_(by_log_variance, alpha=weight)

    def _regularizer_gradient_by_autograd(self, b, step):
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in (b.mean, b.log_variance, b.sample)]
            regularizer, _ = self.criterion.regularizer(*leaves, step=step)
            g_mean, g_log_variance, g_sample = torch.autograd.grad(
                regularizer, leaves, allow_unused=True, materialize_grads=True
            )
        b.g_sample.add_(g_sample)
        torch.add(g_mean, b.g_sample, out=b.g_mean)
        b.g_log_variance.copy_(g_log_variance)


class _Network:
    """Passes through any network, by autograd.

    Parameters
    ----------
    network : torch.nn.Module
    batch : int
        Number of rows.
    g_input : Tensor of shape (batch, n_in) or None
        Where the backward pass writes the gradient by the input; None: nowhere.

    Attributes
    ----------
    g_outputs : Tensor of shape (batch, n_out)
        The gradient by the outputs, which the backward pass reads.
    """

    def __init__(self, network: nn.Module, batch: int, g_input: torch.Tensor | None):
        self.network = network
        self.g_input = g_input
        self.g_outputs: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        with torch.enable_grad():
            self.x = x.detach().requires_grad_(self.g_input is not None)
            # A copy, because a leaf cannot be changed in place, as the first layer may do.
            x = self.x.clone() if self.x.requires_grad else self.x
            self.outputs = self.network(x)
        if self.g_outputs is None:
            self.g_outputs = torch.empty_like(self.outputs)
        return self.outputs.detach()

    def backward(self) -> None:
        """Store the gradients by the parameters and by the input."""
        if self.outputs.requires_grad:  # not where every layer is frozen
            torch.autograd.backward(self.outputs, self.g_outputs)
        if self.g_input is not None:
            self.g_input.copy_(cast(torch.Tensor, self.x.grad))


class _Perceptron:
    """Passes through linear layers with activations between them, with derivatives by hand.

    The methods are those of :class:`_Network`. The parameters and their gradients stay where they
    are in memory.
    """

    def __init__(self, half: nn.Module, batch: int, g_input: torch.Tensor | None):
        self.linear = half.linear if isinstance(half, WithLinearPath) else None
        stack = list((half.perceptron if isinstance(half, WithLinearPath) else half).children())
        layers = cast(list[nn.Linear], stack[::2])
        self.activations = [_IN_PLACE[type(layer)] for layer in stack[1::2]]
        self.values = [_empty(batch, layer.out_features) for layer in layers]
        gradients = [torch.empty_like(value) for value in self.values]
        self.g_outputs = gradients[-1]
        # Views are made once: making one costs a third of a small matrix product.
        weights = [layer.weight.data for layer in layers]
        self.forward_operands = [
            (layer.bias.data, w.t(), out)
            for layer, w, out in zip(layers, weights, self.values, strict=True)
        ]
        self.backward_operands = [
            (g, g.t(), layer.weight.grad, layer.bias.grad, w, g_input_of_layer)
            for layer, w, g, g_input_of_layer in zip(
                layers, weights, gradients, [g_input, *gradients[:-1]], strict=True
            )
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs; overwritten by the next call."""
        self.inputs = [x, *self.values]
        last = len(self.values) - 1
        for i, (bias, transposed, out) in enumerate(self.forward_operands):
            torch.addmm(bias, self.inputs[i], transposed, out=out)
            if i < last:
                self.activations[i][0](out)
        if self.linear is not None:
            self.values[-1].addmm_(x, self.linear.weight.data.t())
        return self.values[-1]

    def backward(self) -> None:
        """Store the gradients by the parameters and by the input."""
        for i in reversed(range(len(self.values))):
            g, g_transposed, g_weight, g_bias, weight, g_input = self.backward_operands[i]
            torch.mm(g_transposed, self.inputs[i], out=g_weight)
            torch.sum(g, dim=0, out=g_bias)
            if g_input is not None:
                torch.mm(g, weight, out=g_input)
            if i:
                self.activations[i - 1][1](g_input, self.inputs[i])
        if self.linear is not None:
            g_input = self.backward_operands[0][-1]
            torch.mm(self.g_outputs.t(), self.inputs[0], out=self.linear.weight.grad)
            if g_input is not None:
                g_input.addmm_(self.g_outputs, self.linear.weight.data)


def is_known(half: nn.Module) -> bool:
    """Whether the activations of a perceptron are among those that are differentiated here."""
    stack = half.perceptron if isinstance(half, WithLinearPath) else half
    return all(type(layer) in _IN_PLACE for layer in list(stack.children())[1::2])


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _store_gradient(parameter, gradient):
    if parameter.grad is None:
        parameter.grad = torch.empty_like(parameter)
    parameter.grad.copy_(gradient)


def _flatten(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Turn the parameters and their gradients into views of one, which is returned."""
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        stop = start + p.numel()
        p.data = flat.data[start:stop].view_as(p)
        p.grad = flat.grad[start:stop].view_as(p)
        start = stop
    return flat
