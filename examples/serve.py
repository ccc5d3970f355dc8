"""Serve a pipeline over HTTP: trained with scikit-learn and torch, served with neither.

    pip install "passive_pruner[onnx,serve]"
    python examples/serve.py train model.onnx
    python examples/serve.py serve model.onnx --port 8000
    curl localhost:8000/health

`POST /predict` takes ``{"rows": [[...], ...]}``, up to 1000 rows of numbers, and answers with a
label and the probabilities of all classes for each row. Anything else gets status 422 and the
reason.
"""

import argparse
from typing import Annotated

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

# Far beyond any measurement in the training data, and far from the end of float32.
LIMIT = 1e6


def train(path):
    """Fit scaler, encoder, remover and classifier on breast cancer; write them as one graph."""
    import skl2onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import passive_pruner.onnx  # noqa: F401  (registers the converters)
    from passive_pruner import PassiveVariableRemover, VAEEncoder

    X, y = load_breast_cancer(return_X_y=True)
    pipe = make_pipeline(
        StandardScaler(),
        VAEEncoder(n_components=16, max_steps=1000, random_state=0),
        PassiveVariableRemover(),
        LogisticRegression(),
    ).fit(X, y)
    graph = skl2onnx.to_onnx(pipe, X[:1], options={"zipmap": False})
    with open(path, "wb") as file:
        file.write(graph.SerializeToString())
    return pipe


def make_app(path):
    """Make the service around a graph that has one input of rows."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    n_features = given.shape[1]
    Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LIMIT, le=LIMIT)]
    Row = Annotated[list[Number], Field(min_length=n_features, max_length=n_features)]

    class Request(BaseModel):
        model_config = ConfigDict(extra="forbid")
        rows: Annotated[list[Row], Field(min_length=1, max_length=1000)]

    class Response(BaseModel):
        labels: list[int]
        probabilities: list[list[float]]

    app = FastAPI(title="passive_pruner pipeline")

    @app.exception_handler(RequestValidationError)
    def refuse(_, error):
        # Without the input itself, which may hold NaN: no JSON.
        detail = [{key: e[key] for key in ("loc", "msg", "type")} for e in error.errors()]
        return JSONResponse({"detail": detail}, status_code=422)

    @app.get("/health")
    def health():
        """Run the graph on one row, so that "ok" means that it answers."""
        session.run(None, {given.name: np.zeros((1, n_features))})
        return {"status": "ok", "n_features": n_features}

    @app.post("/predict")
    def predict(request: Request) -> Response:
        labels, probabilities = session.run(None, {given.name: np.array(request.rows)})
        return Response(labels=labels.tolist(), probabilities=probabilities.tolist())

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["train", "serve"])
    parser.add_argument("path", help="the ONNX file")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    if options.action == "train":
        train(options.path)
    else:
        uvicorn.run(make_app(options.path), port=options.port)


if __name__ == "__main__":
    main()
