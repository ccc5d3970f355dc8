"""The posterior of a PretrainedEncoder as ONNX nodes."""

import copy

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto

from passive_pruner._runtimes import is_path, module_of, pick, unchanged_files
from passive_pruner.onnx._graph import Graph, torch_graph


def pretrained_posterior(graph: Graph, encoder, x, is_bytes):
    """Write the nodes from data to the posterior means and variances of a PretrainedEncoder."""
    x = graph.cast(x, TensorProto.FLOAT)
    if encoder.encode_ is None:
        mean, second = _halves(graph, x, encoder.n_components_)
    else:
        if len(encoder.feature_shape_) > 1:
            shape = graph.constant([-1, *encoder.feature_shape_], np.int64)
            x = graph.node("Reshape", x, shape)
        mean, second = (_from_file if is_path(encoder.encode_) else _from_torch)(graph, encoder, x)
    if encoder.second_output_ == "log_variance":
        second = graph.node("Exp", second)
    return mean, graph.node("Max", second, graph.constant(np.finfo(np.float32).tiny))


def _from_file(graph, encoder, x):
    path, *_ = unchanged_files(encoder.encode_, encoder.file_digest_)
    if path.suffix != ".onnx":
        raise ValueError(
            f"Cannot convert the TorchScript file {str(path)!r} to ONNX. Export the module that it "
            "was made of with torch.onnx.export, and pass the path of that file as encode."
        )
    model = onnx.load(path)
    (given,) = model.graph.input
    if given.type.tensor_type.shape.dim[0].HasField("dim_value"):
        raise ValueError(
            f"{path} was exported for batches of "
            f"{given.type.tensor_type.shape.dim[0].dim_value} rows and cannot be part of a graph "
            "for any number. Export it with a dynamic first dimension."
        )
    model = onnx.version_converter.convert_version(model, graph.opset)
    results = graph.embed(model, [graph.cast(x, given.type.tensor_type.elem_type)])
    names = [output.name for output in model.graph.output]
    results = [graph.cast(result, TensorProto.FLOAT) for result in results]
    if encoder.outputs_ is not None:
        keys = [names.index(key) if isinstance(key, str) else key for key in encoder.outputs_]
        return [results[key] for key in keys]
    return results if len(results) == 2 else _halves(graph, results[0], encoder.n_components_)


def _from_torch(graph, encoder, x):
    import torch

    from passive_pruner.vae._random import plain_torch

    # A copy, because the encoder may be in use while its module is traced; and one of ordinary
    # tensors, which the exporter needs, if the caller is in inference mode.
    with plain_torch(grad=True):
        encode = copy.deepcopy(encoder.encode_)
        rows = torch.zeros(2, *encoder.feature_shape_, dtype=torch.float32, device="cpu")
    module = module_of(encode)
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
            return [values.float() for values in _select(encode(x.to(dtype)), encoder.outputs_)]

    tensors = [*module.parameters(), *module.buffers()]
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    posterior = PosteriorModule()
    posterior.training = False  # as all that is in it
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
