"""The posterior of a PretrainedEncoder as ONNX nodes."""

import os

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto

from passive_pruner._runtimes import evaluation_mode, module_of, pick
from passive_pruner.onnx._graph import Graph, torch_graph


def pretrained_posterior(graph: Graph, encoder, x, input_type):
    """Write the nodes from data to the posterior means and variances of a PretrainedEncoder."""
    encode, d = encoder.encode, encoder.n_components_
    if encode is None:
        mean, second = _halves(graph, x, d)
    else:
        if len(encoder.feature_shape_) > 1:
            shape = graph.constant([-1, *encoder.feature_shape_], np.int64)
            x = graph.node("Reshape", x, shape)
        if not callable(encode) and os.fspath(encode).endswith(".onnx"):
            mean, second = _from_file(graph, encoder, x)
        else:
            mean, second = _from_torch(graph, encoder, x)
    if encoder.second_output == "log_variance":
        second = graph.node("Exp", second)
    return mean, graph.node("Max", second, graph.constant(np.finfo(np.float32).tiny))


def _from_file(graph, encoder, x):
    model = onnx.load(encoder.encode)
    (given,) = model.graph.input
    if given.type.tensor_type.shape.dim[0].HasField("dim_value"):
        raise ValueError(
            f"{encoder.encode} was exported for batches of "
            f"{given.type.tensor_type.shape.dim[0].dim_value} rows and cannot be part of a graph "
            "for any number. Export it with a dynamic first dimension."
        )
    model = onnx.version_converter.convert_version(model, graph.opset)
    results = graph.embed(model, [graph.cast(x, given.type.tensor_type.elem_type)])
    names = [output.name for output in model.graph.output]
    results = [graph.cast(result, TensorProto.FLOAT) for result in results]
    if encoder.outputs is not None:
        keys = [names.index(key) if isinstance(key, str) else key for key in encoder.outputs]
        return [results[key] for key in keys]
    return results if len(results) == 2 else _halves(graph, results[0], encoder.n_components_)


def _from_torch(graph, encoder, x):
    import torch

    encode, module = encoder.encode, module_of(encoder.encode)
    if module is None or isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"Cannot convert encode={encoder.encode!r} to ONNX: it must be a torch module that is "
            "no ScriptModule, a method of one, the path of an ONNX file, or None."
        )

    class PosteriorModule(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, x):
            return [values.float() for values in _select(encode(x.to(dtype)), encoder.outputs)]

    tensors = [*module.parameters(), *module.buffers()]
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    rows = torch.zeros(2, *encoder.feature_shape_, device=tensors[0].device if tensors else None)
    posterior = PosteriorModule()
    with evaluation_mode(posterior):
        return graph.embed(torch_graph(posterior, rows, graph.opset), [x])


def _select(result, outputs):
    """Find the mean and the second output, where `outputs` says that they are."""
    if outputs is not None:
        return pick(result, outputs)
    return result if isinstance(result, (tuple, list)) else result.chunk(2, dim=1)


def _halves(graph, x, d):
    """Cut 2 d columns in two."""
    halves = (graph.constant(range(start, start + d), np.int64) for start in (0, d))
    return [graph.node("Gather", x, half, axis=1) for half in halves]
