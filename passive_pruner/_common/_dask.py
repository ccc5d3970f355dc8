"""Estimators on dask arrays and DataFrames: lazy transforms, fits that read blocks of rows.

Nothing here imports dask before it is given a dask collection.
"""

import copy
import threading
from functools import wraps
from typing import TypeVar

import numpy as np
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from passive_pruner._common._validation import refuse_series, seed_from, validate_numeric
from passive_pruner.regime import CRITERIA
from passive_pruner.regime._sample_weight import checked_weights

T = TypeVar("T")

# Moments that one task of the reduction adds up.
FAN_IN = 16

_NO_ROWS = "Found a dask collection without rows while at least 1 row is required."
_NO_WEIGHT = "Sample weights must contain at least one non-zero number."

# Blocks pass through an estimator one at a time in each process, whatever threads the scheduler
# uses: the network has threads of its own, and the activations of one block in memory are enough.
_one_at_a_time = threading.Lock()


def is_dask(X) -> bool:
    """Whether `X` is a dask array or DataFrame."""
    return type(X).__module__.startswith(("dask.array", "dask.dataframe", "dask_expr"))


def in_memory(X):
    """Return a dask collection as the array or DataFrame that it stands for, all else as it is."""
    return X.compute() if is_dask(X) else X


def accepts_dask(cls: type[T]) -> type[T]:
    """Class decorator: `transform`, `fit_transform` and `inverse_transform` stay lazy on dask.

    It acts outside of scikit-learn's wrapper of these methods, which for ``set_output`` would turn
    a lazy result into a DataFrame in memory.
    """
    lazy = {
        "transform": _transform,
        "fit_transform": _fit_transform,
        "inverse_transform": _inverse_transform,
    }
    for name, on_dask in lazy.items():
        if hasattr(cls, name):
            setattr(cls, name, _dispatched(getattr(cls, name), on_dask))
    return cls


def _dispatched(method, on_dask):
    @wraps(method)
    def dispatched(self, *args, **kwargs):
        X = next(iter((*args, *kwargs.values())), None)
        return (on_dask if is_dask(X) else method)(self, *args, **kwargs)

    return dispatched


def blocks_of(X):
    """Blocks of rows of a dask collection, each with all columns, as delayed objects."""
    refuse_series(X)
    if hasattr(X, "rechunk"):
        X = _whole_rows(X)
        return list(X.to_delayed().ravel())
    return list(X.to_delayed())


def _whole_rows(X):
    """Rechunk a dask array so that no block has a part of a row."""
    return X.rechunk(dict.fromkeys(range(1, X.ndim), -1))


def blocks_of_weights(X, sample_weight):
    """Weights of the rows in each of :func:`blocks_of` `X`: delayed, in memory, or None.

    Parameters
    ----------
    X : dask array or DataFrame of shape (n_samples, n_features)
    sample_weight : dask array, dask Series or array-like of shape (n_samples,), or None
        In memory only where the sizes of the blocks of `X` are known.

    Raises
    ------
    ValueError
        If it has another number of rows or blocks. Blocks of which the size is not known are
        compared when they are read.
    """
    n_blocks = len(blocks_of(X))
    if sample_weight is None:
        return [None] * n_blocks
    sizes = X.chunks[0] if hasattr(X, "chunks") else (np.nan,)
    is_known = not np.isnan(sizes).any()
    if not is_dask(sample_weight):
        if not is_known:
            raise ValueError(
                "The sizes of the blocks of X are not known, so that its rows cannot be told their "
                "weights: pass sample_weight as a dask array or Series with the same blocks, such "
                "as a column of the same collection."
            )
        weights = checked_weights(sample_weight, X)
        return np.split(weights, np.cumsum(sizes)[:-1])
    if is_known and hasattr(sample_weight, "rechunk") and sample_weight.ndim == 1:
        n_weights = sum(sample_weight.chunks[0])
        if n_weights == n_weights:  # not NaN
            if n_weights != sum(sizes):
                raise ValueError(f"sample_weight has {n_weights} rows, but X has {sum(sizes)}.")
            sample_weight = sample_weight.rechunk((sizes,))
    blocks = list(np.ravel(sample_weight.to_delayed()))
    if len(blocks) != n_blocks:
        raise ValueError(
            f"sample_weight has {len(blocks)} blocks of rows, but X has {n_blocks}: pass weights "
            "with the blocks of X, such as a column of the same collection."
        )
    return blocks


def checked_block_of_weights(weights, block):
    """Check the weights of the rows of one block, which may all be 0."""
    if weights is None:
        return None
    if len(weights) == len(block) and not np.any(weights):
        return np.zeros(len(block))
    return checked_weights(weights, block)


def values_of(X, sample_weight=None):
    """Yield the blocks of rows of `X` that are not empty, in memory one after the other.

    With weights pairs of a block and its weights; blocks without weight are left out.
    """
    if sample_weight is None:
        return _values(blocks_of(X))
    return _weighted_values(zip(blocks_of(X), blocks_of_weights(X, sample_weight), strict=True))


def _weighted_values(pairs):
    found = False
    for block, of_block in pairs:
        value = block.compute()
        of_value = checked_block_of_weights(computed(of_block), value)
        if of_value.any():
            found = True
            yield value, of_value
    if not found:
        raise ValueError(_NO_WEIGHT)


def computed(value):
    return value.compute() if hasattr(value, "compute") else value


def _values(blocks):
    found = False
    for block in blocks:
        value = block.compute()
        if value.shape[0]:
            found = True
            yield value
    if not found:
        raise ValueError(_NO_ROWS)


def first_and_others(X):
    """Return the first block of rows that is not empty, in memory, and those after it, delayed."""
    blocks = iter(blocks_of(X))
    return next(_values(blocks)), list(blocks)


def first_and_others_weighted(X, sample_weight):
    """Return the first block that has weight, and those after it, each with its weights.

    Returns
    -------
    first, weights : array or DataFrame, ndarray of shape (n_rows,)
        In memory.
    others : list of (delayed, delayed or ndarray)
    others_weight : (float, int)
        Sum of the weights of the other blocks, for which they are read, and number of rows that
        have some.
    """
    pairs = iter(zip(blocks_of(X), blocks_of_weights(X, sample_weight), strict=True))
    first, weights = next(_weighted_values(pairs))
    others, total, n_rows = list(pairs), 0.0, 0
    for _, of_block in others:
        read = np.asarray(computed(of_block), dtype=np.float64)
        if not (np.isfinite(read).all() and (read >= 0).all()):
            raise ValueError("sample_weight must be finite and at least 0.")
        total, n_rows = total + read.sum(), n_rows + np.count_nonzero(read)
    return first, weights, others, (float(total), n_rows)


def moments_of(remover, X, sample_weight, *, reset):
    """Moments of the rows of a dask collection, by a tree reduction over its blocks.

    Parameters
    ----------
    remover : PassiveVariableRemover
        Reads the blocks; told the names and the number of the columns if `reset`.
    X : dask array or DataFrame of shape (n_samples, n_features)
        Codes. Only moments leave the workers.
    sample_weight : dask array, dask Series or array-like of shape (n_samples,), or None
        Weights of the rows.
    reset : bool
        Whether this is the first data that the remover sees.

    Returns
    -------
    moments : LatentMoments
    """
    from dask import delayed

    if not CRITERIA[remover.criterion].adds_up:
        raise ValueError(
            f"criterion={remover.criterion!r} needs all rows at once, but a dask collection comes "
            "in blocks, whose values cannot be added up. Pass codes.compute(), or use another "
            "criterion."
        )
    validate_data(remover, _columns(X), reset=reset, skip_check_array=True)
    shared, moments_of_block, merge = delayed(remover), delayed(_moments_of_block), delayed(_merge)
    weights = blocks_of_weights(X, sample_weight)
    level = [
        moments_of_block(shared, block, of_block)
        for block, of_block in zip(blocks_of(X), weights, strict=True)
    ]
    while len(level) > 1:
        level = [merge(level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]
    (moments,) = level
    moments = moments.compute()
    if moments is None:
        raise ValueError(_NO_ROWS if sample_weight is None else _NO_WEIGHT)
    return moments


def _moments_of_block(remover, block, weights):
    if not block.shape[0]:
        return None
    weights = checked_block_of_weights(weights, block)
    block = _named_as_fitted(remover, block)
    X = validate_numeric(remover, block, dtype=[np.float64, np.float32], reset=False)
    if weights is not None and not weights.any():
        return None
    return remover._moments_of_batch(X, weights)


def _merge(moments):
    merged = None
    for batch in moments:
        if batch is not None:
            merged = batch if merged is None else merged.merge(batch)
    return merged


def _columns(X):
    """Return what has the names and the number of the columns: of a DataFrame one without rows."""
    return getattr(X, "_meta", X) if hasattr(X, "columns") else X


def _named_as_fitted(estimator, block):
    """Give a block names if and only if the estimator knows names.

    The whole collection was compared with them before, with the warnings that belong to it.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        # Numbers, which are no names, keep a DataFrame and with it the types of its columns.
        return block.set_axis(range(block.shape[1]), axis=1) if hasattr(block, "columns") else block
    import pandas as pd

    return pd.DataFrame(block, columns=names) if isinstance(block, np.ndarray) else block


def _transform(self, X):
    check_is_fitted(self)
    refuse_series(X)
    if X.ndim == 2:
        validate_data(self, _columns(X), reset=False, skip_check_array=True)
    seed = seed_from(self.random_state) if getattr(self, "output", "") == "sampled" else None
    names = self.get_feature_names_out(getattr(X, "columns", None))
    return _map_rows(X, _transform_block, self, (len(names),), names, seed)


def _fit_transform(self, X, y=None, **fit_params):
    return self.fit(X, **fit_params).transform(X)


def _inverse_transform(self, X):
    check_is_fitted(self)
    if getattr(self, "columns_", None) is not None:
        return _inverse_to_tables(self, X)
    shape = getattr(self, "feature_shape_", (self.n_features_in_,))
    if hasattr(X, "columns") and len(shape) > 1:
        raise ValueError(
            f"Decoded rows have shape {shape}, which the columns of a DataFrame cannot hold: pass "
            "codes as an array, for example codes.to_dask_array(lengths=True)."
        )
    return _map_rows(X, _inverse_block, self, shape, _check_feature_names_in(self))


def _inverse_to_tables(encoder, X):
    """Decode into the table of categories and numbers that the encoder was fitted on."""
    from dask import delayed

    if encoder.columns_.container != "pandas" or not hasattr(X, "columns"):
        raise ValueError(
            "Decoded rows have categories, which a dask array cannot hold: pass codes as a dask "
            "DataFrame to an encoder that was fitted on pandas or dask, or codes.compute()."
        )
    meta = encoder.columns_.table(np.empty((0, encoder.n_features_in_)))
    shared = delayed(copy.copy(encoder))
    return X.map_partitions(_table_partition, shared, meta, meta=meta, enforce_metadata=False)


def _table_partition(block, encoder, meta):
    if not len(block):
        return meta
    with _one_at_a_time:
        return encoder.inverse_transform(block)


def _transform_block(estimator, block, number, seed):
    block = _named_as_fitted(estimator, block)
    if seed is None:
        return estimator.transform(block)
    return estimator._codes(block, seed, number)


def _inverse_block(estimator, block, number):
    return estimator.inverse_transform(block)


def _map_rows(X, function, estimator, shape, names, *args):
    """Map `function` over the blocks of rows of `X`, where every row comes out in `shape`."""
    import pandas as pd
    from dask import delayed

    # A copy, so that what is computed later is of the estimator as it is now.
    estimator = copy.copy(estimator)
    shared = delayed(estimator)
    dtype = _dtype_of_result(X, function, estimator, args)
    if hasattr(X, "columns"):
        meta = pd.DataFrame(np.empty((0, len(names)), dtype), columns=names, index=X._meta.index)
        return X.map_partitions(
            _partition, shared, function, meta, args, meta=meta, enforce_metadata=False
        )
    n_axes = 1 + len(shape)
    return _whole_rows(X).map_blocks(
        _block,
        shared,
        function,
        shape,
        dtype,
        args,
        chunks=(X.chunks[0], *((size,) for size in shape)),
        drop_axis=list(range(n_axes, X.ndim)),
        new_axis=list(range(X.ndim, n_axes)),
        dtype=dtype,
        meta=np.empty((0,) * n_axes, dtype),
    )


def _dtype_of_result(X, function, estimator, args):
    """Type of the numbers that come out, without reading any."""
    if not isinstance(estimator, SelectorMixin):  # encoders compute in float32
        is_shifted = function is _inverse_block and np.any(getattr(estimator, "origin_", 0))
        return np.dtype(np.float64 if is_shifted else np.float32)
    # Selectors keep the type, of which DataFrames may have several: one row shows what becomes of
    # them. Text and objects may turn out to be numbers, which are float64 then.
    if hasattr(X, "columns"):
        import pandas as pd

        zero = [pd.Series([0]).astype(t if t.kind in "biuf" else float) for t in X.dtypes]
        row = pd.concat(zero, axis=1).set_axis(X.columns, axis=1)
    else:
        row = np.zeros((1, X.shape[1]), X.dtype)
    return np.asarray(function(estimator, row, 0, *args)).dtype


def _block(block, estimator, function, shape, dtype, args, block_id=None):
    if not len(block):
        return np.empty((0, *shape), dtype)
    with _one_at_a_time:
        values = function(estimator, block, block_id[0], *args)
    return np.asarray(values, dtype=dtype)


def _partition(block, estimator, function, meta, args, partition_info=None):
    if not len(block):
        return meta
    with _one_at_a_time:
        values = function(estimator, block, partition_info["number"], *args)
    values = np.asarray(values, dtype=meta.dtypes.iloc[0])
    return type(meta)(values, index=block.index, columns=meta.columns)
