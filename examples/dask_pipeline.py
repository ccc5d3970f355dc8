"""Encode and prune rows that are never in one place: dask blocks on two worker processes.

The rows are made block by block on the workers, from five factors; the encoder has 12 variables.
``python examples/dask_pipeline.py``
"""

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP

N_BLOCKS, BLOCK_ROWS, N_COLUMNS, N_FACTORS = 20, 5_000, 30, 5


def make_block(block_id=None):
    """Rows of one block: a non-linear mixture of the factors, and noise."""
    weights = np.random.default_rng(0).standard_normal((N_FACTORS, N_COLUMNS)) / N_FACTORS**0.5
    rng = np.random.default_rng(1 + block_id[0])
    rows = np.tanh(rng.standard_normal((BLOCK_ROWS, N_FACTORS)) @ weights)
    return (rows + 0.1 * rng.standard_normal(rows.shape)).astype(np.float32)


def main():
    X = da.map_blocks(
        make_block,
        chunks=((BLOCK_ROWS,) * N_BLOCKS, (N_COLUMNS,)),
        meta=np.empty((0, 0), np.float32),
    )
    encoder = VAEEncoder(12, architecture=MLP((64,)), max_steps=1500, random_state=0)
    pipe = make_pipeline(encoder, PassiveVariableRemover())

    codes = pipe.fit_transform(X)  # two fits read blocks; the codes are not computed yet
    print("codes:", codes)
    encoder, remover = pipe
    print(f"{encoder.n_steps_} gradient steps")
    print(f"moments of {remover.moments_.n_samples:,} rows:", *remover.variable_types_)
    print("variances of the codes:", codes.var(axis=0).compute().round(2))
    decoded = pipe.inverse_transform(codes)
    print("mean squared error:", ((decoded - X) ** 2).mean().compute().round(4))


if __name__ == "__main__":
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        main()
