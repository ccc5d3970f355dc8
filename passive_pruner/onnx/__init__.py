"""Converters of skl2onnx for fitted pipelines, registered on import.

With this module imported, :func:`skl2onnx.to_onnx` turns a pipeline of scikit-learn's steps, a
:class:`~passive_pruner.VAEEncoder` or :class:`~passive_pruner.PretrainedEncoder`, and a
:class:`~passive_pruner.PassiveVariableRemover` into one graph, which runs in onnxruntime alone. An
:class:`~passive_pruner.vae.MLP` is written from its numpy weights; other networks and custom
likelihoods are exported by :func:`torch.onnx.export`, which needs operator set 18 or later.

Codes are computed in float32 as in :meth:`~passive_pruner.VAEEncoder.transform`, and cast back to
float64 if the first input of the graph is float64, as later steps expect. A graph does not validate
its inputs as the estimators do: without `allow_missing`, NaN results in NaN, and numbers beyond the
range of float32 in infinity.

A table with categories has one input per column: text for categories that are text, numbers or
booleans for all others. :func:`initial_types` describes these inputs for skl2onnx and
:func:`feeds` fills them from a DataFrame. Missing cells are NaN in numeric inputs and empty strings
in text inputs. None, NaN and pandas.NA in text are also missing, unless there is a category with
the spelling that onnxruntime gives them: "None", "nan" or "<NA>". Unknown categories are handled
according to the value of `handle_unknown` at conversion: with "error" the runtime raises an error
whose node is named after the column, with "ignore" they are missing cells, without a warning. A
missing cell in a column that had none in fit is handled like an unknown category. In a numeric
column it results in NaN, or is handled as a missing cell if other columns may have missing cells.

Examples
--------
>>> import onnxruntime
>>> import skl2onnx
>>> from sklearn.datasets import load_breast_cancer
>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> import passive_pruner.onnx
>>> from passive_pruner import PassiveVariableRemover, VAEEncoder
>>> X, y = load_breast_cancer(return_X_y=True)
>>> pipe = make_pipeline(
...     StandardScaler(),
...     VAEEncoder(max_steps=300, random_state=0),
...     PassiveVariableRemover(),
...     LogisticRegression(),
... ).fit(X, y)
>>> graph = skl2onnx.to_onnx(pipe, X[:1], options={"zipmap": False})
>>> session = onnxruntime.InferenceSession(graph.SerializeToString())
>>> labels, probabilities = session.run(None, {"X": X})
>>> bool((labels == pipe.predict(X)).all())
True
"""

try:
    import skl2onnx  # which needs onnx
except ImportError as error:
    raise ImportError(
        "passive_pruner.onnx needs skl2onnx: pip install 'passive_pruner[onnx]'."
    ) from error

from passive_pruner._encoder import VAEEncoder
from passive_pruner._pretrained import PretrainedEncoder
from passive_pruner._remover import PassiveVariableRemover
from passive_pruner.onnx._codes import (
    convert_encoder,
    convert_remover,
    encoder_output,
    remover_output,
)
from passive_pruner.onnx._network import network_posterior
from passive_pruner.onnx._pretrained import pretrained_posterior
from passive_pruner.onnx._table import feeds, initial_types

__all__ = ["feeds", "initial_types"]

skl2onnx.update_registered_converter(
    VAEEncoder, "VAEEncoder", encoder_output, convert_encoder(network_posterior)
)
skl2onnx.update_registered_converter(
    PretrainedEncoder, "PretrainedEncoder", encoder_output, convert_encoder(pretrained_posterior)
)
skl2onnx.update_registered_converter(
    PassiveVariableRemover, "PassiveVariableRemover", remover_output, convert_remover
)
