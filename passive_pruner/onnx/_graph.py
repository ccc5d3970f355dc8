"""Nodes of an ONNX graph, written by hand or taken over from torch."""

import logging
import warnings

import numpy as np
import onnx
import onnx.compose
import onnx.inliner

# The oldest operator set that torch.onnx.export writes.
_TORCH_OPSET = 18


class Graph:
    """Adds nodes and constants to what skl2onnx builds, under names that are new to all of it.

    Parameters
    ----------
    scope : skl2onnx.common._topology.Scope
        Gives the names.
    container : skl2onnx.common._container.ModelComponentContainer
        Takes the nodes.
    """

    def __init__(self, scope, container):
        self.scope = scope
        self.container = container
        self.opset = container.target_opset_onnx

    def constant(self, value, dtype=np.float32):
        """Add a constant array; return its name."""
        name = self.scope.get_unique_variable_name("constant")
        tensor = onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name)
        self.container.add_initializer(name, None, None, tensor)
        return name

    def node(self, op_type, *inputs, output=None, name=None, **attributes):
        """Add a node; return the name of its output, which is a new one if not given."""
        output = output or self.scope.get_unique_variable_name(op_type.lower())
        name = self.scope.get_unique_operator_name(name or op_type)
        self.container.add_node(op_type, list(inputs), [output], name=name, **attributes)
        return output

    def cast(self, x, tensor_type):
        """Add a conversion to an element type, such as ``onnx.TensorProto.FLOAT``."""
        return self.node("Cast", x, to=tensor_type)

    def embed(self, model, inputs):
        """Add the graph of an ONNX model; return the names of its outputs."""
        prefix = self.scope.get_unique_variable_name("embedded") + "_"
        model = onnx.compose.add_prefix(onnx.inliner.inline_local_functions(model), prefix)
        for opset in model.opset_import:
            self.container.node_domain_version_pair_sets.add((opset.domain, opset.version))
        for variable, name in zip(model.graph.input, inputs, strict=True):
            self.node("Identity", name, output=variable.name)
        for tensor in model.graph.initializer:
            self.container.add_initializer(tensor.name, None, None, tensor)
        self.container.nodes.extend(model.graph.node)
        return [variable.name for variable in model.graph.output]


def torch_graph(module, x, opset):
    """Export a torch module to an ONNX model for any number of rows.

    Parameters
    ----------
    module : torch.nn.Module
        From one tensor to one or several.
    x : Tensor of shape (n, ...)
        Example of its input; n is at least 2, as the exporter takes a size of 1 for fixed.
    opset : int
        Operator set to write.

    Returns
    -------
    model : onnx.ModelProto
    """
    import torch

    from passive_pruner.vae._random import plain_torch

    if opset < _TORCH_OPSET:
        raise ValueError(
            f"torch.onnx.export writes the operator set {_TORCH_OPSET} or later, but target_opset "
            f"is {opset}. Leave it out, or use an MLP, which is written for earlier ones as well."
        )
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it reports that torchvision is not installed
    try:
        # Autocast and a default device would be written into the graph.
        with plain_torch(grad=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter warns about its own insides
            program = torch.onnx.export(
                module,
                (x,),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=({0: torch.export.Dim("n_rows")},),
                verbose=False,
            )
    except ImportError as error:
        raise ImportError(
            "Networks other than MLP are converted by torch.onnx.export, which needs onnxscript: "
            "pip install 'passive_pruner[onnx]'."
        ) from error
    finally:
        logger.setLevel(level)
    return program.model_proto
