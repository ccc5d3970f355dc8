"""Train on a Parquet file that does not fit into memory, and write its pruned codes to another.

    pip install "passive_pruner" pyarrow
    python examples/out_of_core.py              # makes a file of 64 MiB and reads that
    python examples/out_of_core.py data.parquet codes.parquet

The file is read in blocks, so the memory in use depends on their size and hardly on the number of
rows. The first row group is left out of training, which makes passes over the others until the ELBO
of the first block no longer grows.
"""

import argparse
import copy
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP

GROUP_ROWS = 32_768
BLOCK_ROWS = 8192


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("codes", nargs="?", type=Path, default=Path("codes.parquet"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            options.data = Path(folder) / "data.parquet"
            options.codes = Path(folder) / "codes.parquet"
            make_data(options.data, n_rows=8 * GROUP_ROWS)
        scaler, encoder = train(options.data, make_encoder(), verbose=True)
        remover = find_passive(options.data, scaler, encoder)
        n_rows = write_codes(options.data, options.codes, scaler, encoder, remover)
        passive = remover.variable_types_ == "passive"
        print(f"{passive.sum()} of {len(passive)} variables are passive")
        print(f"{n_rows:,} rows of {np.sum(~passive)} codes in {options.codes}")


def make_data(path, n_rows, n_columns=64, n_factors=6):
    """Write rows that are mixtures of a few factors, and noise."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((n_factors, n_columns), dtype=np.float32)
    schema = pa.schema([(f"x{j}", pa.float32()) for j in range(n_columns)])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as file:
        for start in range(0, n_rows, GROUP_ROWS):
            n = min(GROUP_ROWS, n_rows - start)
            X = rng.standard_normal((n, n_factors), dtype=np.float32) @ mixing
            X += rng.standard_normal(X.shape, dtype=np.float32)
            file.write_batch(pa.record_batch(list(X.T.copy()), schema=schema))


def blocks(path, groups=None):
    """Yield the rows of a file as arrays, a block at a time."""
    file = pq.ParquetFile(path, buffer_size=2**16)  # else whole columns of a group are read
    groups = range(file.num_row_groups) if groups is None else groups
    # One call per row group: with several, the reader may decode the next ones ahead.
    for group in groups:
        for batch in file.iter_batches(BLOCK_ROWS, row_groups=[group], use_threads=False):
            X = np.empty(batch.num_rows * batch.num_columns, dtype=np.float32)
            X = X.reshape(batch.num_rows, batch.num_columns)
            for j, column in enumerate(batch.columns):
                X[:, j] = column
            yield X


def make_encoder(random_state=0):
    return VAEEncoder(
        n_components=12,
        architecture=MLP((64,)),
        batch_size=512,
        learning_rate=5e-3,
        random_state=random_state,
    )


def train(path, encoder, *, max_passes=20, tol=0.1, verbose=False):
    """Fit a scaler in one pass and the encoder in as many as the held-out rows ask for."""
    training_groups = np.arange(1, pq.ParquetFile(path).num_row_groups)
    if not len(training_groups):
        raise ValueError(f"{path} has a single row group; write it with a smaller row_group_size.")
    scaler = StandardScaler()
    for X in blocks(path, training_groups):
        scaler.partial_fit(X)
    held_out = scaler.transform(next(blocks(path, [0])))
    rng = np.random.default_rng(0)
    best, best_elbo = None, -np.inf
    for number in range(1, max_passes + 1):
        # partial_fit shuffles the rows of a block; a file in some order is to be shuffled before.
        for X in blocks(path, rng.permutation(training_groups)):
            encoder.partial_fit(scaler.transform(X))
        elbo = encoder.score(held_out)
        if verbose:
            print(f"pass {number}: ELBO of held-out rows {elbo:.2f} nats")
        if elbo < best_elbo + tol:
            break
        best, best_elbo = copy.deepcopy(encoder), elbo
    return scaler, best


def find_passive(path, scaler, encoder):
    """Fit the remover on the codes of all rows."""
    remover = PassiveVariableRemover()
    for X in blocks(path):
        remover.partial_fit(encoder.transform(scaler.transform(X)))
    return remover


def write_codes(path, codes_path, scaler, encoder, remover):
    """Write the codes of the variables that are not passive; return the number of rows."""
    names = remover.get_feature_names_out(encoder.get_feature_names_out())
    schema = pa.schema([(name, pa.float32()) for name in names])
    n_rows = 0
    with pq.ParquetWriter(codes_path, schema) as file:
        for X in blocks(path):
            codes = remover.transform(encoder.transform(scaler.transform(X)))
            file.write_batch(pa.record_batch(list(codes.T.copy()), schema=schema))
            n_rows += len(codes)
    return n_rows


if __name__ == "__main__":
    main()
