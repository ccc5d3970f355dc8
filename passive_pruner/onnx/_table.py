"""Tables with categories: the inputs of a graph, one per column, and what a network makes of them.

A graph has an ONNX input for each column, as skl2onnx has it for a ColumnTransformer: text for
categories that are text, and numbers for all others.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from onnx import TensorProto
from skl2onnx.common._topology import Topology
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from passive_pruner._common._cells import column_of, names_of
from passive_pruner._common._typing import MatrixLike
from passive_pruner._encoder import VAEEncoder

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

#: Text that stands for a missing cell, and what onnxruntime makes of None, NaN and pandas.NA.
MISSING = ("", "None", "nan", "<NA>")
_CELLS = {
    "tensor(string)": object,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
}


def initial_types(model: VAEEncoder | Pipeline) -> list[tuple[str, Any]]:
    """Describe the inputs of a graph for a table with categories, one per column.

    :func:`skl2onnx.to_onnx` can infer them from a row of a pandas DataFrame, but not for polars,
    nullable types and categorical columns whose first cell is missing.

    Parameters
    ----------
    model : VAEEncoder or Pipeline
        Encoder that was fitted on a table with categories, or pipeline with this encoder as first
        step.

    Returns
    -------
    initial_types : list of (str, DataType)
        Value of the parameter `initial_types` of :func:`skl2onnx.to_onnx`: text for categories that
        are text, int64 and bool for integers and booleans without missing cells, float32 for
        columns of that type, and float64 for all others.

    Raises
    ------
    ValueError
        If the encoder was not fitted on a table with categories.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> import pandas as pd
    >>> import skl2onnx
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.onnx import feeds, initial_types
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], 99), "size": rng.normal(size=99)})
    >>> X.loc[::7, "kind"] = None
    >>> encoder = VAEEncoder(2, max_steps=300, random_state=0).fit(X)
    >>> types = initial_types(encoder)
    >>> types
    [('kind', StringTensorType(shape=[None, 1])), ('size', DoubleTensorType(shape=[None, 1]))]
    >>> graph = skl2onnx.to_onnx(encoder, initial_types=types)
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString())
    >>> (codes,) = session.run(None, feeds(session, X))
    >>> bool(np.allclose(codes, encoder.transform(X), atol=1e-5))
    True
    """
    encoder = model[0] if isinstance(model, Pipeline) else model
    check_is_fitted(encoder)
    if not is_table(encoder):
        raise ValueError(
            f"{type(encoder).__name__} was not fitted on a table with categories: give "
            "skl2onnx.to_onnx a row of the training data."
        )
    return [(str(column.name), _type_of(column)([None, 1])) for column in encoder.columns_.columns]


def feeds(session: "InferenceSession", X: MatrixLike) -> dict[str, np.ndarray]:
    """Create the inputs of a graph from a table.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Session of a graph with one input per column.
    X : DataFrame of shape (n_samples, n_columns)
        DataFrame of pandas or polars with the columns of the inputs.

    Returns
    -------
    feeds : dict of str to ndarray of shape (n_samples, 1)
        Inputs for ``session.run(None, feeds)``. Missing cells are "" in text and NaN in numbers. In
        the names of inputs, characters that are not letters or digits are replaced by underscores.

    Raises
    ------
    ValueError
        If `X` lacks a column, or has a cell that the type of its input cannot hold.
    """
    if not hasattr(session, "get_inputs"):
        raise TypeError(f"session must be an onnxruntime.InferenceSession, got {session!r}.")
    numbers = {_input_name(name): j for j, name in enumerate(names_of(X))}
    made = {}
    for given in session.get_inputs():
        if given.name not in numbers:
            raise ValueError(
                f"X has no column {given.name!r}, an input of the graph; it has {names_of(X)}."
            )
        dtype, j = _CELLS[given.type], numbers[given.name]
        values = pd.Series(list(column_of(X, j)), dtype=object)
        is_missing = values.isna()
        if is_missing.any() and dtype in (np.bool_, np.int64):
            raise ValueError(
                f"Column {names_of(X)[j]!r} has missing cells, which its input of type "
                f"{given.type} cannot hold: it had none when the encoder was fitted."
            )
        values = values.mask(is_missing, "" if dtype is object else np.nan)
        if dtype is object:
            values = values.map(str)
        made[given.name] = values.to_numpy(dtype)[:, np.newaxis]
    return made


def _input_name(name):
    """Name of the ONNX input that skl2onnx makes of the name of a column."""
    return Topology._generate_unique_name(str(name), set())


def _type_of(column):
    """Type of the ONNX input of a column."""
    dtype = column.dtype.lower()
    kind = "" if column.categories is None else column.categories.dtype.kind
    if kind in ("O", "U"):
        return StringTensorType
    if not column.has_missing:
        if kind == "b":
            return BooleanTensorType
        if kind in ("i", "u") or dtype.startswith(("int", "uint")):
            return Int64TensorType
    return FloatTensorType if dtype == "float32" else DoubleTensorType


def is_table(estimator):
    """Whether an estimator was fitted on a table with categories."""
    return getattr(estimator, "columns_", None) is not None


def check_columns(operator):
    """Refuse inputs that are not the columns of the table that the encoder was fitted on."""
    _inputs_by_column(operator)


def table_inputs(graph, operator):
    """Write the nodes from columns to what the network of an encoder sees, float32."""
    encoder = operator.raw_operator
    parts = []
    for j, (column, (name, tensor_type)) in enumerate(
        zip(encoder.columns_.columns, _inputs_by_column(operator), strict=True)
    ):
        if not column.likelihood:
            continue
        if isinstance(name, tuple):  # a column of an input that has several
            name = graph.node("Gather", name[0], graph.constant([name[1]], np.int64), axis=1)
        x = graph.node("Reshape", name, graph.constant([-1, 1], np.int64))
        if column.categories is not None:
            parts.append(_indicators(graph, encoder, column, x, tensor_type))
            continue
        if encoder.origin_[j]:
            # In float64, because float32 loses all of a large number such as a time.
            x = graph.cast(x, TensorProto.DOUBLE)
            x = graph.node("Sub", x, graph.constant(encoder.origin_[j], np.float64))
        parts.append(graph.cast(x, TensorProto.FLOAT))
    return graph.node("Concat", *parts, axis=1)


def _inputs_by_column(operator):
    """Names, or pairs of a name and a number, and types of the inputs that columns come from."""
    encoder = operator.raw_operator
    columns, variables = encoder.columns_.columns, operator.inputs
    if len(variables) == 1 and len(columns) > 1:
        (one,) = variables
        found = [((one.full_name, j), one.type) for j in range(len(columns))]
    else:
        by_name = {_input_name(variable.raw_name): variable for variable in variables}
        names = [_input_name(column.name) for column in columns]
        twice = [c.name for c, name in zip(columns, names, strict=True) if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"The columns {twice} would be ONNX inputs of the same name, in which whatever is "
                "no letter or digit is an underscore. Rename them before fit."
            )
        if set(by_name) == set(names):
            variables = [by_name[name] for name in names]
        elif encoder.columns_.container != "array":
            raise ValueError(
                f"The ONNX inputs {sorted(by_name)} are not the columns that "
                f"{type(encoder).__name__} was fitted on, {[c.name for c in columns]}. {_WAY_OUT}"
            )
        found = [(variable.full_name, variable.type) for variable in variables]
    for column, (_, tensor_type) in zip(columns, found, strict=True):
        _check_column(encoder, column, tensor_type)
    return found


_WAY_OUT = "Give skl2onnx.to_onnx initial_types=passive_pruner.onnx.initial_types(model)."


def _check_column(encoder, column, tensor_type):
    if not column.likelihood:
        return
    kind = "numbers"
    if column.categories is not None:
        kind = _KINDS.get(column.categories.dtype.kind, kind)
    is_text = isinstance(tensor_type, StringTensorType)
    if is_text and kind == "numbers":
        raise ValueError(
            f"Column {column.name!r} had numbers when {type(encoder).__name__} was fitted, but its "
            f"ONNX input is text. {_WAY_OUT}"
        )
    if not is_text and kind == "text":
        raise ValueError(
            f"Column {column.name!r} has categories that are text, such as "
            f"{column.categories.tolist()[0]!r}, but its ONNX input is {tensor_type}. {_WAY_OUT}"
        )
    if kind == "text" and column.has_missing and "" in column.categories.tolist():
        raise ValueError(
            f"Column {column.name!r} has the category '' and may have missing cells, and in a "
            "graph an empty string is a missing cell. Rename the category before fit, for example "
            f"with X.replace({{{column.name!r}: {{'': 'empty'}}}})."
        )


_KINDS = {"O": "text", "U": "text", "b": "booleans"}


def _indicators(graph, encoder, column, x, tensor_type):
    """Look the inputs of the network up in a table: a row for each category, and what else is.

    A missing cell is the row behind the categories, an unknown one the row behind that. Where
    such cells are refused there is no row, and a graph that looks there ends with an error of the
    runtime, which tells the name of the node: that of the column.
    """
    n = len(column.categories)
    table = np.eye(n) if column.likelihood == "categorical" else np.arange(n)[:, np.newaxis]
    ignores = encoder.handle_unknown == "ignore" and encoder.allow_missing_
    n_others = 2 if ignores else int(column.has_missing)
    table = np.vstack([table, np.full((n_others, table.shape[1]), np.nan)])
    place = (_place_of_text if isinstance(tensor_type, StringTensorType) else _place_of_number)(
        graph, column, x
    )
    return graph.node(
        "Gather",
        graph.constant(table),
        place,
        axis=0,
        name=f"known categories of column {column.name}",
    )


def _place_of_text(graph, column, x):
    categories = [str(category) for category in column.categories.tolist()]
    missing = [text for text in MISSING if text not in categories]
    place = graph.node(
        "LabelEncoder",
        graph.node("Reshape", x, graph.constant([-1], np.int64)),
        op_domain="ai.onnx.ml",
        op_version=2,
        keys_strings=[text.encode() for text in (*categories, *missing)],
        values_int64s=[*range(len(categories)), *[len(categories)] * len(missing)],
        default_int64=len(categories) + 1,
    )
    return place


def _place_of_number(graph, column, x):
    x = graph.cast(x, TensorProto.DOUBLE)
    categories = graph.constant(column.categories.astype(np.float64)[np.newaxis], np.float64)
    is_missing = graph.node("IsNaN", x)
    # The first column that holds is the place: one holds in every row.
    holds = graph.node(
        "Concat",
        graph.node("Equal", x, categories),
        is_missing,
        graph.node("Not", is_missing),
        axis=1,
    )
    return graph.node("ArgMax", graph.cast(holds, TensorProto.INT32), axis=1, keepdims=0)
