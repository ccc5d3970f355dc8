"""Converters of encoders and of the remover: read the inputs of a step, write its columns."""

import math

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
    UInt8TensorType,
)
from sklearn.utils.validation import check_is_fitted

from passive_pruner.onnx._graph import Graph
from passive_pruner.onnx._table import check_columns, is_table, table_inputs


def encoder_output(operator):
    """Set the type of the codes of an encoder, the shape calculator of skl2onnx."""
    encoder = operator.raw_operator
    _check_inputs(operator)
    if encoder.output == "sampled":
        raise ValueError(
            f"{type(encoder).__name__} with output='sampled' has no ONNX graph: its codes are new "
            "random draws in every call, and no graph would give those of scikit-learn. Fit the "
            "pipeline with output='mean'."
        )
    _set_output(operator, len(encoder.get_feature_names_out()))


def remover_output(operator):
    """Set the type of the kept columns, the shape calculator of skl2onnx."""
    _check_inputs(operator)
    _set_output(operator, int(operator.raw_operator.get_support().sum()))


def convert_encoder(posterior):
    """Make the converter of an encoder from what writes the nodes of its posterior.

    Parameters
    ----------
    posterior : callable
        Called as ``posterior(graph, encoder, x, is_bytes)`` with the name of the data, of shape
        (n_samples, n_features), and whether they are bytes (uint8); returns the names of the
        posterior means and variances, float32. The latter may be None without `add_variance`.
    """

    def convert(scope, operator, container):
        graph, encoder = Graph(scope, container), operator.raw_operator
        is_bytes = all(isinstance(given.type, UInt8TensorType) for given in operator.inputs)
        if is_table(encoder):
            x, is_bytes = table_inputs(graph, operator), False
        else:
            x = _rows(graph, operator)
        mean, variance = posterior(graph, encoder, x, is_bytes)
        if not getattr(encoder, "whiten", True):
            mean = graph.node("Mul", mean, graph.constant(encoder.code_scale_))
            if encoder.add_variance:
                variance = graph.node("Mul", variance, graph.constant(encoder.code_scale_**2))
        codes = graph.node("Concat", mean, variance, axis=1) if encoder.add_variance else mean
        _write_output(graph, operator, codes)

    return convert


def _rows(graph, operator):
    """All inputs of an encoder of numbers as rows."""
    n_features = operator.raw_operator.n_features_in_
    x = _columns(graph, operator.inputs)
    shape = operator.inputs[0].type.shape
    if len(shape) == 2 and not isinstance(shape[1], int):
        # A width that is known only when the graph runs: a single column would be broadcast.
        x = graph.node("Reshape", x, graph.constant([0, n_features], np.int64))
    if len(shape) > 2:  # such as images
        x = graph.node("Reshape", x, graph.constant([-1, n_features], np.int64))
    return x


def convert_remover(scope, operator, container):
    """Gather the kept columns, the converter of skl2onnx."""
    graph = Graph(scope, container)
    kept = graph.constant(operator.raw_operator.get_support(indices=True), np.int64)
    columns = _columns(graph, operator.inputs)
    _write_output(graph, operator, graph.node("Gather", columns, kept, axis=1))


def _check_inputs(operator):
    """Refuse inputs that the fitted estimator does not take: its graph could not."""
    estimator = operator.raw_operator
    check_is_fitted(estimator)
    text = [v.raw_name for v in operator.inputs if isinstance(v.type, StringTensorType)]
    if text and not is_table(estimator):
        raise ValueError(
            f"{type(estimator).__name__} takes numbers, but the ONNX input {text[0]!r} is text. "
            "Encode such columns in a step before, and describe the inputs of the whole pipeline."
        )
    widths = [variable.type.shape[1:] for variable in operator.inputs]
    if any(not isinstance(size, int) for shape in widths for size in shape):
        return  # a number that is known only when the graph runs
    n_columns = sum(math.prod(shape) for shape in widths)
    if n_columns != estimator.n_features_in_:
        raise ValueError(
            f"The ONNX inputs of {type(estimator).__name__} have {n_columns} columns, but it was "
            f"fitted on {estimator.n_features_in_}. Give skl2onnx.to_onnx a row of the training "
            "data, or initial_types of that width."
        )
    if is_table(estimator):
        check_columns(operator)


def _columns(graph, variables):
    """All inputs of a step side by side: a DataFrame arrives as one input per column."""
    names = [variable.full_name for variable in variables]
    if len(names) == 1:
        return names[0]
    # float32 holds bytes and itself, float64 all that is left.
    is_small = all(isinstance(v.type, (FloatTensorType, UInt8TensorType)) for v in variables)
    to = TensorProto.FLOAT if is_small else TensorProto.DOUBLE
    return graph.node("Concat", *[graph.cast(name, to) for name in names], axis=1)


def _element_type(variables):
    # skl2onnx goes by the first input too when it lays out the steps behind this one.
    is_double = isinstance(variables[0].type, DoubleTensorType)
    return TensorProto.DOUBLE if is_double else TensorProto.FLOAT


def _set_output(operator, n_columns):
    is_double = _element_type(operator.inputs) == TensorProto.DOUBLE
    tensor_type = DoubleTensorType if is_double else FloatTensorType
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = tensor_type([n_rows, n_columns])


def _write_output(graph, operator, name):
    output = operator.outputs[0]
    graph.node("Cast", name, output=output.full_name, to=_element_type([output]))
