"""ONNX graphs of whole pipelines: equality with scikit-learn, and speed.

``python -m benchmarks.onnx`` converts Pipeline(scaler, VAEEncoder, PassiveVariableRemover,
LogisticRegression), compares 10,000 rows, and times one row and 1000 rows in onnxruntime and in
scikit-learn. One thread.
"""

import numpy as np
import onnxruntime
import skl2onnx
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import passive_pruner.onnx  # noqa: F401
from benchmarks._timing import cell, in_turn, print_table
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import Conv

N_ROWS = 10_000


def cancer_pipelines(dtype, **params):
    X, y = load_breast_cancer(return_X_y=True)
    criterion = "variance" if params.get("add_variance") else "active_units"
    pipe = make_pipeline(
        StandardScaler(),
        VAEEncoder(24, max_steps=1000, device="cpu", random_state=0, **params),
        PassiveVariableRemover(criterion=criterion),
        LogisticRegression(),
    )
    return pipe.fit(X.astype(dtype), y), X.astype(dtype)


def digits_pipeline():
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    pipe = make_pipeline(
        MinMaxScaler(),
        VAEEncoder(architecture=Conv((8, 8, 1)), max_steps=500, device="cpu", random_state=0),
        PassiveVariableRemover(),
        LogisticRegression(max_iter=1000),
    )
    return pipe.fit(X, y), X


def main():
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    rows = []
    for name, (pipe, X) in {
        "MLP, float32": cancer_pipelines(np.float32),
        "MLP, float64": cancer_pipelines(np.float64),
        "MLP, float32, variances": cancer_pipelines(np.float32, add_variance=True),
        "Conv on digits, float32": digits_pipeline(),
    }.items():
        rng = np.random.default_rng(0)
        many = X[rng.integers(len(X), size=N_ROWS)] * rng.lognormal(0, 0.1, (N_ROWS, X.shape[1]))
        many = many.astype(X.dtype)
        graph = skl2onnx.to_onnx(pipe, X[:1], options={"zipmap": False})
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
        labels, probabilities = session.run(None, {"X": many})
        error = np.abs(probabilities - pipe.predict_proba(many)).max()

        def repeat(function, x, n):
            return lambda: [function(x) for _ in range(n)]

        def in_onnx(x, session=session):
            return session.run(None, {"X": x})

        speedups = []
        for n_rows, n in ((1, 300), (1000, 10)):
            x = many[:n_rows]
            times = in_turn(
                {"onnx": repeat(in_onnx, x, n), "sklearn": repeat(pipe.predict_proba, x, n)}
            )
            speedups.append(cell(times, "onnx", "sklearn"))
        different = int((labels != pipe.predict(many)).sum())
        rows.append((name, different, f"{error:.1e}", *speedups))
    print_table(
        (
            "pipeline",
            f"different labels of {N_ROWS:,}",
            "largest error of a probability",
            "speed, 1 row",
            "speed, 1000 rows",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
