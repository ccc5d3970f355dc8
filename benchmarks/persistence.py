"""Files of fitted pipelines: equality after loading in a new process, and size.

``python -m benchmarks.persistence`` writes pipelines of every objective, likelihood and
architecture in every format and loads them in one new process.
"""

import pickle
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks._timing import print_table
from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder, trusted_types
from passive_pruner.vae import (
    DIPVAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    Conv,
    FactorVAE,
    FromFactory,
    Mixed,
)


def own_networks(n_inputs, n_components, n_outputs):
    from torch import nn

    encoder = nn.Sequential(
        nn.Linear(n_inputs, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 2 * n_components)
    )
    return encoder, nn.Linear(n_components, n_outputs)


ENCODERS = {
    **{
        type(objective).__name__: VAEEncoder(objective=objective)
        for objective in (BetaVAE(), AnnealedVAE(), FactorVAE(), DIPVAE(), BetaTCVAE())
    },
    **{
        f"likelihood {name}": VAEEncoder(likelihood=name)
        for name in ("bernoulli", "continuous_bernoulli", "poisson", "negative_binomial")
    },
    "likelihood Mixed": VAEEncoder(
        likelihood=Mixed(
            [("gaussian", slice(0, 20)), ("poisson", slice(20, 63)), ("categorical", [63])]
        )
    ),
    "architecture Conv": VAEEncoder(architecture=Conv((8, 8, 1))),
    "architecture FromFactory": VAEEncoder(architecture=FromFactory(own_networks)),
    "PretrainedEncoder": PretrainedEncoder(second_output="variance"),
}
TRUSTED = [*trusted_types(), "benchmarks.persistence.own_networks"]
DUMP = {
    "pickle": lambda pipe, path: path.write_bytes(pickle.dumps(pipe)),
    "cloudpickle": lambda pipe, path: path.write_bytes(cloudpickle.dumps(pipe)),
    "joblib": joblib.dump,
    "joblib, mmap_mode": joblib.dump,
    "skops": lambda pipe, path: skops.io.dump(pipe, path),
    "skops, deflated": lambda pipe, path: skops.io.dump(
        pipe, path, compression=zipfile.ZIP_DEFLATED
    ),
}
LOAD = {
    "pickle": lambda path: pickle.loads(path.read_bytes()),
    "cloudpickle": lambda path: cloudpickle.loads(path.read_bytes()),
    "joblib": joblib.load,
    "joblib, mmap_mode": lambda path: joblib.load(path, mmap_mode="r"),
    "skops": lambda path: skops.io.load(path, trusted=TRUSTED),
    "skops, deflated": lambda path: skops.io.load(path, trusted=TRUSTED),
}


def probabilities(pipe, X):
    return pipe.predict_proba(X if isinstance(pipe[0], VAEEncoder) else np.abs(X) + 0.1)


def reload_all(folder):
    """Load every file and write its outputs."""
    X = np.load(folder / "rows.npy")
    for name in ENCODERS:
        for form, load in LOAD.items():
            pipe = load(folder / f"{name}.{form}")
            np.save(folder / f"{name}.{form}.npy", probabilities(pipe, X))


def main():
    X, y = load_digits(return_X_y=True)
    X = (X > 8).astype(np.float32)
    X[:, 63] = 1  # a one-hot group of a single category
    rows = []
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        np.save(folder / "rows.npy", X[:100])
        expected = {}
        for name, encoder in ENCODERS.items():
            trained = isinstance(encoder, VAEEncoder)
            if trained:
                encoder.set_params(max_steps=200, random_state=0, device="cpu")
            pipe = make_pipeline(
                encoder, PassiveVariableRemover(threshold=0), LogisticRegression(max_iter=100)
            ).fit(X if trained else np.abs(X) + 0.1, y)
            expected[name] = probabilities(pipe, X[:100])
            for form, dump in DUMP.items():
                dump(pipe, folder / f"{name}.{form}")
        code = (
            f"from pathlib import Path; from benchmarks.persistence import reload_all\n"
            f"reload_all(Path({str(folder)!r}))"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        for name, encoder in ENCODERS.items():
            weights = getattr(encoder, "weights_", {}).values()
            cells = []
            for form in DUMP:
                equal = np.array_equal(np.load(folder / f"{name}.{form}.npy"), expected[name])
                size = (folder / f"{name}.{form}").stat().st_size / 1024
                cells.append(f"{'equal' if equal else 'DIFFERENT'}, {size:.0f}")
            rows.append((name, f"{sum(w.nbytes for w in weights) / 1024:.0f}", *cells))
    print_table(("pipeline", "weights (KiB)", *DUMP), rows)


if __name__ == "__main__":
    # The function that a file refers to must have the name of this module, not __main__.
    import benchmarks.persistence

    benchmarks.persistence.main()
