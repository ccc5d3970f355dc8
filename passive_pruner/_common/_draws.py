"""Random numbers that belong to rows: functions of a seed and of what a row holds.

A generator that is read from the first row to the last gives a row the numbers of its position:
the same row gets others in another batch, and rows of two tables share theirs. Here a row is
hashed, and its hash is the state of a generator of its own.
"""

from hashlib import blake2b

import numpy as np
from scipy.special import ndtri

# Points at which the expectation in the ELBO of a row is taken, half of them mirror images.
ELBO_POINTS = 32
# Numbers that are made at a time: the arrays that they pass through stay in the cache.
_BLOCK = 2**15


def row_keys(rows: np.ndarray) -> np.ndarray:
    """Hash every row by its values.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features), float32
        Rows; equal numbers have equal keys, so the two zeros do, and all NaN.

    Returns
    -------
    keys : ndarray of shape (n_samples, 2), uint64
        128 bits of BLAKE2b, so that in practice no two different rows share a key.
    """
    rows = rows.reshape(len(rows), -1) + np.float32(0)  # -0.0 + 0.0 is 0.0
    np.copyto(rows, np.float32(np.nan), where=np.isnan(rows))
    width = rows.shape[1] * rows.itemsize
    data = memoryview(rows.tobytes())
    digests = (
        blake2b(data[start : start + width], digest_size=16).digest()
        for start in range(0, len(data), width)
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)


def tell_apart(keys: np.ndarray, number: int = 0) -> np.ndarray:
    """Give equal rows different keys, by how many rows before them are equal.

    Parameters
    ----------
    keys : ndarray of shape (n_samples, 2), uint64
        Keys of the rows of one call.
    number : int, default=0
        Number of this part of a call that comes in parts, each of which sees its own rows alone.

    Returns
    -------
    keys : ndarray of shape (n_samples, 2), uint64
        The first of several equal rows keeps its key, in every part. The others get new ones, which
        are also those of no row of another part.
    """
    order = np.lexsort(keys.T)
    ordered = keys[order]
    is_new = np.ones(len(keys), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    if is_new.all():
        return keys
    # lexsort is stable: within a run of equal rows the order is that of the rows.
    start = np.maximum.accumulate(np.where(is_new, np.arange(len(keys)), 0))
    repeats = np.empty(len(keys), dtype=np.uint64)
    repeats[order] = np.arange(len(keys)) - start
    again = repeats > 0
    keys = keys.copy()
    shift = _mix(repeats[again] + (np.uint64(number) << np.uint64(40)))
    keys[again, 0] = _mix(keys[again, 0] ^ shift)
    return keys


def uniform_numbers(keys: np.ndarray, n_numbers: int, seed: int = 0) -> np.ndarray:
    """Draw numbers from the uniform distribution on (0, 1), those of a row from its key.

    SplitMix64, with a state and an odd increment of its own for every row (Steele, Lea and Flood
    2014, "Fast splittable pseudorandom number generators", OOPSLA, section 3).

    Parameters
    ----------
    keys : ndarray of shape (n_samples, 2), uint64
        Keys of the rows.
    n_numbers : int
        Numbers per row.
    seed : int, default=0
        Another seed gives other numbers.

    Returns
    -------
    numbers : ndarray of shape (n_samples, n_numbers), float64
    """
    # Python's integers, because a single number of numpy warns where an array wraps around.
    seeds = _mix(np.array([seed % 2**64, ~seed % 2**64], dtype=np.uint64))
    state, increment = _mix(keys ^ seeds).T
    increment = increment | np.uint64(1)
    steps = np.arange(1, n_numbers + 1, dtype=np.uint64)
    bits = _mix(state[:, np.newaxis] + steps * increment[:, np.newaxis])
    # 53 bits, in the middle of their cells: never 0 or 1.
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal_numbers(keys: np.ndarray, n_numbers: int, seed: int = 0) -> np.ndarray:
    """Draw numbers from the standard normal distribution, those of a row from its key.

    Parameters
    ----------
    keys : ndarray of shape (n_samples, 2), uint64
        Keys of the rows.
    n_numbers : int
        Numbers per row.
    seed : int, default=0
        Another seed gives other numbers.

    Returns
    -------
    numbers : ndarray of shape (n_samples, n_numbers), float32
    """
    numbers = np.empty((len(keys), n_numbers), dtype=np.float32)
    size = max(1, _BLOCK // n_numbers)
    for start in range(0, len(keys), size):
        rows = slice(start, start + size)
        numbers[rows] = ndtri(uniform_numbers(keys[rows], n_numbers, seed))
    return numbers


def elbo_noise(keys: np.ndarray, n_components: int, n_points: int = ELBO_POINTS) -> np.ndarray:
    """Make the standard normal points at which the ELBO of each row is taken.

    Parameters
    ----------
    keys : ndarray of shape (n_samples, 2), uint64
        Keys of the rows.
    n_components : int
        Number of latent variables.
    n_points : int, default=32
        Number of points per row, twice a power of two.

    Returns
    -------
    noise : ndarray of shape (n_points, n_samples, n_components), float64
    """
    from scipy.stats import qmc  # takes as long to import as all else here

    sobol = qmc.Sobol(n_components, rng=np.random.default_rng(0)).random(n_points // 2)
    shift = uniform_numbers(keys, n_components)
    uniform = sobol[:, np.newaxis] + shift
    half = ndtri(np.clip(uniform % 1, 1e-12, 1 - 1e-12))
    return np.concatenate([half, -half])


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64 bits, the finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
