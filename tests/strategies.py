"""What the property tests draw: tables, posteriors, containers."""

import itertools

import dask.array as da
import numpy as np
import pandas as pd
import polars as pl
from hypothesis import strategies as st
from scipy import sparse


def generators():
    """Seeded generators, so that a failing example is told by one number."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def posteriors(draw, min_rows=2, max_rows=200, max_components=6):
    """Means and variances over any scale that float64 can square, some of them constant."""
    rng = draw(generators())
    n, d = draw(st.integers(min_rows, max_rows)), draw(st.integers(1, max_components))
    offset = rng.choice([0, 1, 1e6, -1e9], d)
    mean = offset + rng.choice([0, 1e-3, 1, 1e4], d) * rng.standard_normal((n, d))
    variance = rng.choice([0, 1e-6, 1, 50], d) * rng.uniform(size=(n, d))
    return mean, variance


@st.composite
def cuts(draw, n):
    """Slices that part `n` rows, in order."""
    inner = draw(st.sets(st.integers(1, n - 1), max_size=5)) if n > 1 else set()
    bounds = [0, *sorted(inner), n]
    return [slice(a, b) for a, b in itertools.pairwise(bounds)]


#: Ways to hold the same finite numbers of a float32 table; the first is the table itself.
CONTAINERS = {
    "array": lambda X: X,
    "float64": lambda X: X.astype(np.float64),
    "big endian": lambda X: X.astype(">f8"),
    "list": lambda X: X.tolist(),
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "pandas": lambda X: pd.DataFrame(X),
    "nullable": lambda X: pd.DataFrame(X).astype("Float32"),
    "objects": lambda X: X.astype(object),
    "polars": lambda X: pl.DataFrame(X),
    "csr matrix": sparse.csr_matrix,
    "csr array": sparse.csr_array,
    "csc": sparse.csc_array,
    "masked": lambda X: np.ma.masked_array(X),
    "dask": lambda X: da.from_array(X, chunks=(7, -1)),
}
