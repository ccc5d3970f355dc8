"""A gradient step of a perceptron VAE with its derivatives written out.

For networks of the size that tables need, automatic differentiation spends most of a step on
building and walking its graph of small operations. Here the layers are differentiated by hand
into buffers that are allocated once; what is left to autograd are the terms that differ between
objectives and likelihoods, and these see only the small tensors at the ends of the network.

:class:`PerceptronStep` changes no result beyond rounding: the plain path through
:class:`~passive_pruner.vae._training.Criterion` is its reference.
"""

from types import SimpleNamespace

import torch
from torch import nn

from passive_pruner.vae._likelihoods._gaussian import _GaussianModule
from passive_pruner.vae._likelihoods._unit_interval import _BernoulliModule
from passive_pruner.vae._module import LOG_VARIANCE_BOUND, VAE
from passive_pruner.vae._objectives import BetaVAE

# Activations whose derivative follows from their value: (in-place function, derivative of the
# loss by the input, from that by the output g and the output a, in place of g).
_IN_PLACE = {
    nn.ReLU: (torch.relu_, lambda g, a: _threshold_backward(g, a, 0.0, grad_input=g)),
    nn.Tanh: (torch.tanh_, lambda g, a: _tanh_backward(g, a, grad_input=g)),
}
_threshold_backward = torch.ops.aten.threshold_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class PerceptronStep:
    """Loss and gradients of one batch for a VAE whose two halves are perceptrons.

    Parameters
    ----------
    module : VAE
        For which :func:`is_served` is true. Its parameters and their gradients become views of
        :attr:`flat`, so that the optimiser updates all of them in one operation.
    criterion : Criterion
        Supplies the regulariser; it is in training mode.

    Attributes
    ----------
    flat : torch.nn.Parameter of shape (n_parameters,)
        Every parameter that is learned.
    """

    def __init__(self, module: VAE, criterion):
        self.module = module
        self.criterion = criterion
        self.encoder, self.decoder = module.encoder, module.decoder
        self.flat = _flatten([p for p in module.parameters() if p.requires_grad])
        # Passes have batches of at most two sizes.
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
        b = self._buffers.get(len(x)) or self._make_buffers(len(x))
        inputs = self.module.encoder_inputs(x)
        b.encoder.forward(inputs)
        b.log_variance.clamp_(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        torch.mul(b.log_variance, 0.5, out=b.std).exp_()
        torch.addcmul(b.mean, b.std, b.noise.normal_(), out=b.sample)
        b.decoder.forward(b.sample)

        b.decoder.backward(self._reconstruction_gradient(b, inputs, x))
        self._regularizer_gradient(b, step)
        # sample = mean + exp(log_variance / 2) noise; the gradient passes the clamp unchanged.
        b.g_mean.add_(b.g_sample)
        b.g_log_variance.addcmul_(b.g_sample, b.noise.mul_(b.std), value=0.5)
        b.encoder.backward(b.g_head)
        return b.sample

    def _make_buffers(self, batch):
        d = self.decoder[0].in_features
        b = SimpleNamespace(
            g_head=torch.empty(batch, 2 * d),
            **{name: torch.empty(batch, d) for name in ("std", "noise", "sample", "g_sample")},
        )
        b.encoder = _Perceptron(self.encoder, batch, None)
        b.decoder = _Perceptron(self.decoder, batch, b.g_sample)
        b.mean, b.log_variance = b.encoder.outputs.chunk(2, dim=1)
        b.g_mean, b.g_log_variance = b.g_head.chunk(2, dim=1)
        self._buffers[batch] = b
        return b

    def _reconstruction_gradient(self, b, inputs, x):
        """Gradient by the decoder's outputs; that by the likelihood's parameters is stored."""
        likelihood, outputs = self.module.likelihood, b.decoder.outputs
        batch = len(x)
        if type(likelihood) is _GaussianModule and not likelihood.missing:
            # With standardised data t, outputs o, and s to bring them back to units of the data,
            # a cell adds (ln v + s^2 (o - t)^2 / v) / 2, v being the variance of the likelihood.
            weight = likelihood.scale.square() / likelihood.variance() / batch
            residual = outputs.sub_(inputs)
            gradient = residual * weight
            if likelihood.log_ratio.requires_grad:
                squared = residual.mul_(gradient).sum(dim=0)
                likelihood.log_ratio.grad.copy_(likelihood.log_ratio_gradient(squared))
            return gradient
        if type(likelihood) is _BernoulliModule and not likelihood.missing:
            return outputs.sigmoid_().sub_(x).div_(batch)
        parameters = [p for p in likelihood.parameters() if p.requires_grad]
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            loss = -likelihood.log_likelihood(leaf, x).mean()
            gradient, *g_parameters = torch.autograd.grad(loss, [leaf, *parameters])
        for parameter, g in zip(parameters, g_parameters, strict=True):
            parameter.grad.copy_(g)
        return gradient

    def _regularizer_gradient(self, b, step):
        """Write the gradient by mean and log-variance, and add that by the sample."""
        objective = self.criterion.objective
        if type(objective) is BetaVAE:
            # The derivatives of beta (mu^2 + s2 - 1 - ln s2) / 2 by mu and by ln s2.
            scale = self.criterion.weight(step) * objective.beta / len(b.mean)
            torch.mul(b.mean, scale, out=b.g_mean)
            torch.mul(b.std, b.std, out=b.g_log_variance)
            b.g_log_variance.sub_(1.0).mul_(0.5 * scale)
            return
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in (b.mean, b.log_variance, b.sample)]
            regularizer, _ = self.criterion.regularizer(*leaves, step=step)
            g_mean, g_log_variance, g_sample = torch.autograd.grad(
                regularizer, leaves, allow_unused=True, materialize_grads=True
            )
        b.g_mean.copy_(g_mean)
        b.g_log_variance.copy_(g_log_variance)
        b.g_sample.add_(g_sample)


class _Perceptron:
    """Passes of one batch size through linear layers with activations between them.

    Parameters
    ----------
    stack : torch.nn.Sequential
        The layers; their parameters and gradients stay where they are in memory.
    batch : int
        Number of rows.
    g_input : Tensor of shape (batch, n_in) or None
        Where the backward pass writes the gradient by the input; None: nowhere.
    """

    def __init__(self, stack: nn.Sequential, batch: int, g_input: torch.Tensor | None):
        layers = stack[::2]
        # Views are made once: making one costs a third of a small matrix product.
        self.weights = [layer.weight.data for layer in layers]
        self.transposed = [w.t() for w in self.weights]
        self.biases = [layer.bias.data for layer in layers]
        self.g_weights = [layer.weight.grad for layer in layers]
        self.g_biases = [layer.bias.grad for layer in layers]
        self.activations = [_IN_PLACE[type(layer)] for layer in stack[1::2]]
        self.values = [torch.empty(batch, layer.out_features) for layer in layers]
        self.gradients = [g_input, *map(torch.empty_like, self.values[:-1])]
        self.outputs = self.values[-1]

    def forward(self, x: torch.Tensor) -> None:
        """Compute :attr:`outputs`."""
        self.inputs = [x, *self.values]
        last = len(self.values) - 1
        for i, out in enumerate(self.values):
            torch.addmm(self.biases[i], self.inputs[i], self.transposed[i], out=out)
            if i < last:
                self.activations[i][0](out)

    def backward(self, g: torch.Tensor) -> None:
        """Store the gradients by the parameters and by the input."""
        for i in reversed(range(len(self.values))):
            torch.mm(g.t(), self.inputs[i], out=self.g_weights[i])
            torch.sum(g, dim=0, out=self.g_biases[i])
            if self.gradients[i] is None:
                return
            g = torch.mm(g, self.weights[i], out=self.gradients[i])
            if i:
                self.activations[i - 1][1](g, self.inputs[i])


def is_served(module: VAE, device: torch.device) -> bool:
    """Whether the layers of `module` are ones that :class:`PerceptronStep` differentiates."""
    # On an accelerator the operations queue up, and their number matters less.
    return (
        device.type == "cpu" and _is_perceptron(module.encoder) and _is_perceptron(module.decoder)
    )


def _is_perceptron(half: nn.Module) -> bool:
    if type(half) is not nn.Sequential:
        return False
    linear, between = half[::2], half[1::2]
    return (
        len(linear) == len(between) + 1
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in linear)
        and all(type(layer) in _IN_PLACE for layer in between)
        # A layer that is used twice would need the sum of two gradients.
        and len(set(linear)) == len(linear)
    )


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
