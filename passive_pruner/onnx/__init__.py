"""Fitted pipelines as ONNX graphs: converters for skl2onnx, registered on import.

With this module imported, :func:`skl2onnx.to_onnx` turns a pipeline of scikit-learn's steps, a
:class:`~passive_pruner.VAEEncoder` or :class:`~passive_pruner.PretrainedEncoder`, and a
:class:`~passive_pruner.PassiveVariableRemover` into one graph, which is served by onnxruntime
alone. An :class:`~passive_pruner.vae.MLP` is written from its numpy weights; other networks, and
likelihoods of your own, go through :func:`torch.onnx.export`, which needs the operator set 18 or
later.

Codes are computed in float32 as in :meth:`~passive_pruner.VAEEncoder.transform`, and cast back to
float64 where the inputs of the graph are float64, which the steps after it expect. What the
estimators validate is not validated by a graph: NaN without `allow_missing` gives NaN, and
numbers beyond float32 infinity.

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

__all__: list[str] = []

skl2onnx.update_registered_converter(
    VAEEncoder, "VAEEncoder", encoder_output, convert_encoder(network_posterior)
)
skl2onnx.update_registered_converter(
    PretrainedEncoder, "PretrainedEncoder", encoder_output, convert_encoder(pretrained_posterior)
)
skl2onnx.update_registered_converter(
    PassiveVariableRemover, "PassiveVariableRemover", remover_output, convert_remover
)
