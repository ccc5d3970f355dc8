"""Training data of a VAEEncoder: validated, its units learned, every row looked at once."""

from functools import partial

import numpy as np

from passive_pruner._common._dask import (
    checked_block_of_weights,
    computed,
    first_and_others,
    first_and_others_weighted,
    is_dask,
)
from passive_pruner._common._sample_weight import checked_weights
from passive_pruner._common._warnings import warn_user
from passive_pruner._fitted import LARGEST_VALUE, FittedVAE
from passive_pruner.exceptions import PrecisionWarning
from passive_pruner.training._distributed import n_processes

# A column of a Gaussian likelihood whose largest and smallest values differ by less or by more has
# no variance in float32.
LEAST_SPAN, MOST_SPAN = 1e-17, 1e19


class TrainingData(FittedVAE):
    """Base class of :class:`VAEEncoder`: how `fit` and `partial_fit` read their rows."""

    def _first_and_others(self, X, sample_weight):
        """Take training data apart.

        Returns
        -------
        first, weights : array or DataFrame, ndarray of shape (n_rows,) or None
            `X`, or its first block, and its weights.
        others : list of callables
            Each reads another block.
        others_weight : (float, int)
            Sum of the weights in the other blocks, and number of rows that have some.
        """
        if sample_weight is None:
            first, others = first_and_others(X) if is_dask(X) else (X, [])
            readers = [partial(self._read_block, block, None, 1.0) for block in others]
            return first, None, readers, (0.0, 0)
        self._refuse_processes()
        if not is_dask(X):
            weights = checked_weights(sample_weight, X)
            return X, weights / weights.max(), [], (0.0, 0)
        first, weights, others, (total, n_rows) = first_and_others_weighted(X, sample_weight)
        # Whatever their unit, their squares neither overflow nor vanish.
        unit = weights.max()
        readers = [partial(self._read_block, *pair, unit) for pair in others]
        return first, weights / unit, readers, (total / unit, n_rows)

    @staticmethod
    def _refuse_processes():
        if n_processes() > 1:
            raise ValueError(
                "sample_weight is for training in one process: with several, each would weigh its "
                "rows among its own alone. Leave it out, or train in one process."
            )

    def _table(self, X, sample_weight=None, *, reset, **kwargs):
        """Read training data, learn its units if `reset`, and look at every row once."""
        table = self._read(X, sample_weight, reset=reset, **kwargs)
        if reset:
            shape = tuple(getattr(X, "shape", ()))
            self.feature_shape_ = shape[1:] if len(shape) > 2 else (self.n_features_in_,)
            self.likelihood_ = self._resolved_likelihood()
            self._check_start()
            self._refuse_units(table)
            table = self._centred(table)
        for chunk, rows in table.chunks():
            if (np.abs(rows) > LARGEST_VALUE).any():
                counting = None if sample_weight is None else np.flatnonzero(sample_weight)
                self._raise_not_finite(rows, chunk.start, counting)
            self._check_cells(rows)
        return table.as_float32()

    def _refuse_units(self, table):
        """Name a column whose squares are no numbers of float32, and so has no variance there."""
        span = table.spans()
        shiftable, inputs = self._shiftable()
        # Values beyond float32 have an error of their own.
        with np.errstate(invalid="ignore"):
            is_wrong = ((span > 0) & (span < LEAST_SPAN)) | (span > MOST_SPAN)
            is_wrong &= shiftable & (span < LARGEST_VALUE)
        if is_wrong.any():
            j = int(np.argmax(is_wrong))
            (name,) = self._column_names([inputs[j]])
            raise ValueError(
                f"The values of column {name!r} lie within {span[j]:.3g} of each other: float32 "
                f"cannot hold their squares. Change the units of the column, so that this is "
                f"between {LEAST_SPAN:g} and {MOST_SPAN:g}, or scale it by "
                "sklearn.preprocessing.StandardScaler."
            )

    def _centred(self, table):
        """Learn `origin_` where float32 would not tell the values of a column apart."""
        is_lost, mean = table.lost_columns()
        if not is_lost.any():
            return table
        shiftable, inputs = self._shiftable()
        if (is_lost & ~shiftable).any():
            columns = self._column_names(inputs[is_lost & ~shiftable])
            warn_user(
                f"The values of the columns {columns} are so large beside their spread that "
                "float32 cannot tell them apart, and their likelihood has a fixed origin. Subtract "
                "a constant from them, or choose likelihood='gaussian' for them.",
                PrecisionWarning,
            )
        self.origin_ = np.where(is_lost & shiftable, mean, 0.0)
        return table.with_origin(self.origin_)

    def _shiftable(self):
        """Columns whose likelihood has no fixed origin, and the inputs that columns are."""
        inputs = np.arange(self._n_inputs)
        if self.columns_ is not None:
            # Of the columns that are read, every one that has a large value is one input.
            inputs = np.minimum(self.columns_.starts, self._n_inputs - 1)
        return self.likelihood_.shiftable(self._n_inputs)[inputs], inputs

    def _read_block(self, block, weights, unit):
        X = block.compute()
        if weights is not None:
            weights = checked_block_of_weights(computed(weights), X) / unit
        if not X.shape[0] or (weights is not None and not weights.any()):
            return None
        return self._table(X, weights, reset=False)
