"""State of estimators in files: the version that wrote it, packed weights, a checksum."""

import inspect
import warnings
import zlib
from itertools import groupby

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

import passive_pruner
from passive_pruner._common._parameters import refuse_booleans

_VERSION = "_passive_pruner_version"
_CHECKSUM = "_weights_checksum"


class VersionedState:
    """Mixin for estimators: their state names the version of the package that wrote it.

    A state of another version is taken over with scikit-learn's `InconsistentVersionWarning`.
    Constructor parameters that it lacks get their default.
    """

    def _validate_params(self):
        super()._validate_params()
        refuse_booleans(self)

    def __getstate__(self):
        return {**super().__getstate__(), _VERSION: passive_pruner.__version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop(_VERSION, "unknown")
        if saved != passive_pruner.__version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=f"passive_pruner.{type(self).__name__}",
                    current_sklearn_version=passive_pruner.__version__,
                    original_sklearn_version=saved,
                ),
                stacklevel=2,
            )
            parameters = inspect.signature(type(self)).parameters.values()
            defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
            state = {**defaults, **state}
        super().__setstate__(state)


def pack_fitted(state):
    """Bring the state of a fitted VAEEncoder to what is written: few large arrays and a checksum.

    Every small array costs a hundred bytes and more besides its values, and a history holds two
    for each epoch: it is written by column, over all epochs in a row that recorded the same.
    """
    if "weights_" not in state:
        return state
    runs = groupby(state["history_"], key=lambda record: tuple(record))
    history = [_columns(keys, list(records)) for keys, records in runs]
    return {**state, "history_": history, _CHECKSUM: weights_checksum(state["weights_"])}


def unpack_fitted(state):
    """Bring what :func:`pack_fitted` made back to the state of the estimator.

    Raises
    ------
    ValueError
        If the weights are not those that were written.
    """
    if _CHECKSUM not in state:
        return state
    state = dict(state)
    check_weights(state["weights_"], state.pop(_CHECKSUM))
    state["history_"] = [record for run in state["history_"] for record in _records(run)]
    return state


def _columns(keys, records):
    return {key: np.array([record[key] for record in records]) for key in keys}


def _records(columns):
    # Numbers come back as those of Python, arrays as arrays.
    values = [v.tolist() if v.ndim == 1 else list(v) for v in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def weights_checksum(weights):
    """CRC-32 of weights: of their names, types, shapes and values, in any order of names."""
    checksum = 0
    for name in sorted(weights):
        value = np.asarray(weights[name])
        checksum = zlib.crc32(f"{name} {value.dtype} {value.shape}".encode(), checksum)
        checksum = zlib.crc32(value.tobytes(), checksum)
    return checksum


def check_weights(weights, checksum):
    """Raise a ValueError if `weights` do not have this checksum."""
    if weights_checksum(weights) != checksum:
        raise ValueError(
            "The weights in this file are not those that were saved: their checksum differs. The "
            "file was damaged or edited; take another copy, or save the encoder again."
        )
