"""Fitted pipelines as ONNX graphs: converters for skl2onnx, registered on import.

With this module imported, :func:`skl2onnx.to_onnx` turns a pipeline of scikit-learn's steps, a
:class:`~passive_pruner.VAEEncoder` or :class:`~passive_pruner.PretrainedEncoder`, and a
:class:`~passive_pruner.PassiveVariableRemover` into one graph, which is served by onnxruntime
alone. An :class:`~passive_pruner.vae.MLP` is written from its numpy weights; other networks, and
likelihoods of your own, go through :func:`torch.onnx.export`, which needs the operator set 18 or
later.

Codes are computed in float32 as in :meth:`~passive_pruner.VAEEncoder.transform`, and cast back to
float64 where the first input of the graph is float64, which the steps after it expect. What the
estimators validate is not validated by a graph: NaN without `allow_missing` gives NaN, and
numbers beyond float32 infinity.

A table with categories has one input per column: text for categories that are text, numbers or
booleans for all others. :func:`initial_types` describes these inputs for skl2onnx and
:func:`feeds` fills them from a DataFrame. A missing cell is NaN in numbers and an empty string in
text, and so are None, NaN and pandas.NA, unless a category is spelled as onnxruntime spells them:
"None", "nan" and "<NA>". For unknown categories the graph does what `handle_unknown` says when it
is made: with "error" it ends with an error of the runtime whose node is named after the column,
with "ignore" they are missing cells, and no warning tells of them. A missing cell in a column that
had none in fit is like an unknown category; in a column of numbers it gives NaN, or is taken for
one that may be missing if others may.

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
