"""Serve a pipeline over HTTP: trained with scikit-learn and torch, served with neither.

    pip install "passive_pruner[onnx,serve]"
    python examples/serve.py train model.onnx
    python examples/serve.py serve model.onnx --port 8000
    curl localhost:8000/health

`POST /predict` takes ``{"rows": [[...], ...]}``, up to 1000 rows of numbers, and answers with a
label and the probabilities of all classes for each row. Anything else gets status 422 and the
reason; a body that is too long gets 413, one that does not come 408. Behind a proxy that ends TLS,
asks who is calling, and closes connections on which nothing is ever asked.

The graph of a table with categories has an input per column; docs/production.md says how rows of
JSON are fed to it.
"""

import argparse
import asyncio
from typing import Annotated

import numpy as np
import onnxruntime
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Far beyond any measurement in the training data, and far from the end of float32.
LIMIT = 1e6
MAX_ROWS = 1000
# Bytes of a number in JSON, with 17 digits, sign, exponent, comma and a space.
NUMBER_BYTES = 26
# Seconds in which a body must have arrived.
BODY_SECONDS = 10


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

    class Question(BaseModel):
        model_config = ConfigDict(extra="forbid")
        rows: Annotated[list[Row], Field(min_length=1, max_length=MAX_ROWS)]

    class Answer(BaseModel):
        labels: list[int]
        probabilities: list[list[float]]

    max_bytes = MAX_ROWS * (n_features + 1) * NUMBER_BYTES

    async def read_body(request: Request) -> bytes:
        """Read a body without keeping more of it, or waiting longer, than a question can take."""
        too_long = HTTPException(413, f"The body has more than {max_bytes} bytes.")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > max_bytes:
            raise too_long
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > max_bytes:
                        raise too_long
        except TimeoutError:
            raise HTTPException(408, f"The body took more than {BODY_SECONDS} s.") from None
        return bytes(body)

    app = FastAPI(title="passive_pruner pipeline", openapi_url=None)  # and so without /docs

    @app.get("/health")
    def health():
        """Run the graph on one row, so that "ok" means that it answers."""
        session.run(None, {given.name: np.zeros((1, n_features))})
        return {"status": "ok", "n_features": n_features}

    # No coroutine: FastAPI runs it in a thread, and others are served while a body is parsed.
    @app.post("/predict")
    def predict(body: Annotated[bytes, Depends(read_body)]) -> Answer:
        try:
            question = Question.model_validate_json(body)
        except ValidationError as error:
            # Without the input itself, which may hold NaN: no JSON.
            errors = error.errors(include_url=False, include_context=False, include_input=False)
            detail = [{**e, "loc": ("body", *e["loc"])} for e in errors]
            raise HTTPException(422, detail) from None
        labels, probabilities = session.run(None, {given.name: np.array(question.rows)})
        return Answer(labels=labels.tolist(), probabilities=probabilities.tolist())

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
        # Connections beyond these get 503 at once instead of a place in a growing queue.
        uvicorn.run(make_app(options.path), port=options.port, limit_concurrency=1000)


if __name__ == "__main__":
    main()
