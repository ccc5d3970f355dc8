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


#: Kinds of columns of a pandas DataFrame, made of a generator, a number of rows and whether cells
#: may be missing.
COLUMNS = {
    "text": lambda rng, n, gaps: _gaps(rng, rng.choice(["a", "b c", "π=1"], n), gaps, None),
    "two texts": lambda rng, n, gaps: _gaps(rng, rng.choice(["no", "yes"], n), gaps, None),
    "category": lambda rng, n, gaps: pd.Categorical(
        _gaps(rng, rng.choice(["low", "None"], n), gaps, None), ["None", "never", "low"]
    ),
    "whole categories": lambda rng, n, gaps: pd.Categorical(
        _gaps(rng, rng.choice([3, 1, 20], n), gaps, None), ordered=True
    ),
    "real categories": lambda rng, n, gaps: pd.Categorical(
        _gaps(rng, rng.choice([0.1, 1.5, -2.5], n), gaps, None)
    ),
    "booleans": lambda rng, n, gaps: pd.array(
        _gaps(rng, rng.random(n) < 0.5, gaps, None), dtype="boolean" if gaps else bool
    ),
    "objects": lambda rng, n, gaps: _gaps(rng, rng.random(n) < 0.5, gaps, None),
    "two numbers": lambda rng, n, gaps: _gaps(rng, rng.choice([1.5, 4.0], n), gaps, np.nan),
    "counts": lambda rng, n, gaps: pd.array(
        _gaps(rng, rng.poisson(2.0, n), gaps, None), dtype="Int64" if gaps else "int64"
    ),
    "times": lambda rng, n, gaps: _gaps(rng, 1.7e9 + rng.normal(size=n), gaps, np.nan),
    "float32": lambda rng, n, gaps: _gaps(rng, rng.normal(size=n), gaps, np.nan).astype("float32"),
    "nothing": lambda rng, n, gaps: np.full(n, np.nan),
}


def _gaps(rng, values, gaps, missing):
    return np.where(rng.random(len(values)) < 0.15 * gaps, missing, values)


@st.composite
def frames(draw, n=60):
    """Two DataFrames of the same columns, with at least one of categories and one of numbers."""
    rng = draw(generators())
    kinds = ["text", "times", *draw(st.lists(st.sampled_from(sorted(COLUMNS)), max_size=6))]
    gaps = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    made = [
        {
            f"{kind} {j}": COLUMNS[kind](rng, n, has_gaps)
            for j, (kind, has_gaps) in enumerate(zip(kinds, gaps, strict=True))
        }
        for _ in range(2)
    ]
    return tuple(pd.DataFrame(columns) for columns in made)
