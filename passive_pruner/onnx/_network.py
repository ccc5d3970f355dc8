"""The posterior of a VAEEncoder as ONNX nodes."""

import math

import numpy as np
import torch
from onnx import TensorProto

from passive_pruner.onnx._graph import Graph, torch_graph
from passive_pruner.vae import MLP
from passive_pruner.vae._network import LOG_VARIANCE_BOUND

_ACTIVATIONS = {
    "elu": lambda graph, x: graph.node("Elu", x, alpha=1.0),
    "gelu": lambda graph, x: _gelu(graph, x),
    "identity": lambda graph, x: x,
    "leaky_relu": lambda graph, x: graph.node("LeakyRelu", x, alpha=0.01),
    "relu": lambda graph, x: graph.node("Relu", x),
    "silu": lambda graph, x: graph.node("Mul", x, graph.node("Sigmoid", x)),
    "tanh": lambda graph, x: graph.node("Tanh", x),
}


def network_posterior(graph: Graph, encoder, x, is_bytes):
    """Write the nodes from data to the posterior means and variances of a VAEEncoder."""
    if is_bytes and not encoder.is_bytes_ and hasattr(encoder.architecture_, "image_shape"):
        raise ValueError(
            "The ONNX input is bytes (uint8), but this VAEEncoder was fitted on images of floats. "
            "Convert with a row of floats in the scale of the training data, or fit on bytes."
        )
    if encoder.columns_ is None and encoder.origin_.any():
        # In float64, because float32 loses all of a large number such as a time.
        x = graph.cast(x, TensorProto.DOUBLE)
        x = graph.node("Sub", x, graph.constant(encoder.origin_, np.float64))
    x = graph.cast(x, TensorProto.FLOAT)
    if is_bytes and encoder.is_bytes_ and encoder.byte_divisor_ != 1:
        x = graph.node("Div", x, graph.constant(encoder.byte_divisor_))
    standardization = encoder.to_torch().likelihood.standardization(encoder._n_inputs)
    if type(encoder.architecture_) is MLP and standardization is not None:
        return _perceptron(graph, encoder, x, standardization)
    return graph.embed(_exported(encoder, graph.opset), [x])


def _perceptron(graph, encoder, x, standardization):
    """Posterior by the encoder of an MLP, one Gemm per layer; two for the last, its halves."""
    weights, d = encoder.weights_, encoder.n_components_
    x = _encoder_inputs(graph, x, standardization, allow_missing=encoder.allow_missing_)
    prefix = "encoder.perceptron." if encoder.architecture_.linear_path else "encoder."
    layers = [name for name in weights if name.startswith(prefix) and name.endswith(".weight")]
    layers = [
        (weights[name], weights[name.removesuffix("weight") + "bias"])
        for name in sorted(layers, key=lambda name: int(name.removeprefix(prefix).split(".")[0]))
    ]

    def linear(x, weight, bias):
        return graph.node("Gemm", x, graph.constant(weight), graph.constant(bias), transB=1)

    *hidden, (weight, bias) = layers
    given = x
    for layer in hidden:
        x = _ACTIVATIONS[encoder.architecture_.activation](graph, linear(x, *layer))

    def half(rows):
        values = linear(x, weight[rows], bias[rows])
        if not encoder.architecture_.linear_path:
            return values
        beside = graph.constant(weights["encoder.linear.weight"][rows])
        return graph.node("Gemm", given, beside, values, transB=1)

    mean = half(slice(0, d))
    if not encoder.add_variance:
        return mean, None
    low, high = graph.constant(-LOG_VARIANCE_BOUND), graph.constant(LOG_VARIANCE_BOUND)
    log_variance = graph.node("Clip", half(slice(d, None)), low, high)
    return mean, graph.node("Exp", log_variance)


def _gelu(graph, x):
    # x Phi(x), with the distribution function of the normal distribution in terms of erf: an
    # operator Gelu came with operator set 20 only.
    erf = graph.node("Erf", graph.node("Mul", x, graph.constant(math.sqrt(0.5))))
    half = graph.node("Mul", x, graph.constant(0.5))
    return graph.node("Mul", half, graph.node("Add", erf, graph.constant(1)))


def _encoder_inputs(graph, x, standardization, *, allow_missing):
    """Bring data to what the network reads, as `VAE.encoder_inputs` does."""
    logged, location, scale = standardization
    scaled = x
    if logged.any():
        one_more = graph.node("Add", graph.node("Relu", x), graph.constant(1))
        scaled = graph.node("Log", one_more)
        if not logged.all():
            scaled = graph.node("Where", graph.constant(logged, bool), scaled, x)
    if location.any() or (scale != 1).any():
        scaled = graph.node("Sub", scaled, graph.constant(location))
        scaled = graph.node("Div", scaled, graph.constant(scale))
    if not allow_missing:
        return scaled
    missing = graph.node("IsNaN", x)
    filled = graph.node("Where", missing, graph.constant(0), scaled)
    present = graph.cast(graph.node("Not", missing), TensorProto.FLOAT)
    return graph.node("Concat", filled, present, axis=1)


class _Posterior(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        mean, log_variance = self.network.encode(x)
        return mean, log_variance.exp()


def _exported(encoder, opset):
    """Graph of the network from data to posterior means and variances, through torch."""
    network = encoder.to_torch()
    x = torch.zeros(2, encoder._n_inputs, dtype=torch.float32, device="cpu")
    return torch_graph(_Posterior(network).eval(), x, opset)
