"""What a fitted variational autoencoder does: encode, decode, draw, score, be cut and be saved."""

import copy
import os
from contextlib import contextmanager
from typing import Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from passive_pruner._common._base import BaseEncoder
from passive_pruner._common._dask import in_memory
from passive_pruner._common._documentation import ComponentsInHTML
from passive_pruner._common._draws import row_keys
from passive_pruner._common._rows import CHUNK_ROWS, Rows, are_finite, byte_divisor, flat_images
from passive_pruner._common._sample_weight import rows_that_count
from passive_pruner._common._state import pack_fitted, unpack_fitted, weights_checksum
from passive_pruner._common._typing import MatrixLike
from passive_pruner._common._validation import as_table, plain_array, validate_numeric
from passive_pruner._common._weights import read_weights, write_weights
from passive_pruner._decoded import Decoding
from passive_pruner._explained import EXPLAINED, ExplainedVariance
from passive_pruner._scored import Scored
from passive_pruner.regime._ablation import kept_variables
from passive_pruner.vae import Gaussian
from passive_pruner.vae._likelihoods._base import cell_error
from passive_pruner.vae._network import VAE, Blueprint, is_own, resolve_device, variable_numbers
from passive_pruner.vae._random import LocalDraws, plain_torch
from passive_pruner.vae._threads import share

# The difference of two larger numbers may be infinite in float32.
LARGEST_VALUE = np.finfo(np.float32).max / 2


class FittedVAE(ComponentsInHTML, Decoding, ExplainedVariance, Scored, BaseEncoder):
    """Base class of :class:`VAEEncoder`: all that is done with a network that is fitted.

    The network is not kept: it is rebuilt from `weights_` when needed, and what is kept of it
    stays out of pickles, copies and hashes, which hold arrays only.
    """

    # Attributes that a file of weights holds as well.
    _BESIDE_WEIGHTS = ("origin_", *EXPLAINED)
    # The arrays of `weights_`, the name of the device, and the network that was built from them.
    _live: tuple[tuple[np.ndarray, ...], str, VAE] | None = None

    def to_torch(self) -> nn.Module:
        """Return a copy of the fitted network as a torch module.

        Returns
        -------
        network : torch.nn.Module
            Module in evaluation mode on the CPU, with the submodules `encoder`, `decoder` and
            `likelihood`. ``encode(x)`` returns means and log-variances, ``mean(z)`` decodes. Its
            inputs are float32 rows from which `origin_` has been subtracted.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_wine
        >>> from passive_pruner import VAEEncoder
        >>> X = load_wine().data
        >>> encoder = VAEEncoder(n_components=4, max_steps=100, random_state=0).fit(X)
        >>> mean, log_variance = encoder.to_torch().encode(torch.tensor(X, dtype=torch.float32))
        >>> mean.shape
        torch.Size([178, 4])
        """
        check_is_fitted(self)
        with plain_torch(grad=True):
            return self._blueprint().load(self.weights_)

    def _blueprint(self):
        return Blueprint(
            self.architecture_,
            self.likelihood_,
            self._n_inputs,
            self.n_components_,
            self.allow_missing_,
        )

    @property
    def _n_inputs(self):
        """Number of columns that the network sees."""
        return self.n_features_in_ if self.columns_ is None else self.columns_.n_inputs

    def _network(self):
        """Return the fitted network on its device, rebuilt if `weights_` changed meanwhile."""
        arrays = tuple(self.weights_.values())
        live = self._live
        if (
            live is None
            or live[1] != self.device
            or len(live[0]) != len(arrays)
            or any(a is not b for a, b in zip(live[0], arrays, strict=True))
        ):
            with plain_torch(grad=True):
                device = resolve_device(self.device, or_cpu=True)
                network = self._blueprint().load(self.weights_).to(device)
            # One assignment: another thread sees the former network or this one.
            self._live = live = (arrays, self.device, network)
        return live[2]

    def _read(self, X, sample_weight=None, *, reset, **kwargs):
        """Validate `X`, images included, and wrap it; numbers without a copy.

        Rows of weight 0 are left out; of a table without categories they are validated too.
        """
        if self.columns_ is not None:
            counting = None if sample_weight is None else np.flatnonzero(sample_weight)
            X, weights = rows_that_count(X, sample_weight)
            return self._read_cells(X, weights, counting, reset=reset, **kwargs)
        image_shape = getattr(self.architecture_, "image_shape", None)
        if image_shape is not None:
            X = flat_images(X, image_shape)
        # Integers of up to two bytes are exact in float32, all others are read as float64 first.
        given = getattr(X, "dtype", None)
        is_small = isinstance(given, np.dtype) and given.kind in "biu" and given.itemsize <= 2
        dtype = [np.float32] if is_small else [np.float64, np.float32]
        X = validate_numeric(
            self,
            X,
            reset=reset,
            dtype=dtype if image_shape is None else [*dtype, np.uint8],
            accept_sparse="csr",
            ensure_all_finite="allow-nan" if self.allow_missing_ else True,
            **kwargs,
        )
        X, weights = rows_that_count(X, sample_weight)
        if weights is not None:
            self._check_number(X, "; rows of weight 0 do not count", **kwargs)
        is_bytes = X.dtype == np.uint8
        if reset:
            self.is_bytes_ = is_bytes
            self.byte_divisor_ = byte_divisor(X) if is_bytes else 1.0
            self.origin_ = np.zeros(self.n_features_in_)
        else:
            self._check_units(X, is_bytes)
        origin = self.origin_ if self.origin_.any() else None
        return Rows(X, self.byte_divisor_ if is_bytes else 1.0, origin, weights=weights)

    def _check_number(self, X, which="", *, ensure_min_samples=1):
        if X.shape[0] < ensure_min_samples:
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) while a minimum of {ensure_min_samples} "
                f"is required by {type(self).__name__}{which}."
            )

    def _read_cells(self, X, weights, numbers, *, reset, **kwargs):
        """Read a table of categories and numbers; `numbers` are those of its rows, if not all."""
        first = next((c.name for c in self.columns_.columns if c.categories is not None), 0)
        X = as_table(self, X, f"it was fitted on a table with column {first!r}")
        validate_data(self, X, reset=reset, skip_check_array=True)
        self._check_number(X, **kwargs)
        cells = self.columns_.read(self, X, numbers)
        if reset:
            self.is_bytes_, self.byte_divisor_ = False, 1.0
            self.origin_ = np.zeros(self.n_features_in_)
        origin = self.origin_ if self.origin_.any() else None
        return Rows(cells, origin=origin, columns=self.columns_, weights=weights)

    def _check_units(self, X, is_bytes):
        """Refuse images in other units than those that the encoder was fitted on."""
        if is_bytes and not self.is_bytes_:
            raise ValueError(
                "X has bytes (uint8), but VAEEncoder was fitted on floats, whose units bytes do "
                "not have. Pass X.astype(float) if fit was given floats from 0 to 255, or X / 255 "
                "if they were scaled."
            )
        if not self.is_bytes_ or X.max() <= 1:
            return
        if not is_bytes:
            raise ValueError(
                f"X has floats up to {X.max():.6g}, but VAEEncoder was fitted on bytes, which it "
                "scales from 0..255 to 0..1. Pass bytes (uint8), or divide X by 255."
            )
        if self.byte_divisor_ == 1:
            raise ValueError(
                f"X has bytes up to {X.max()}, but VAEEncoder was fitted on bytes that were all 0 "
                "or 1. Pass binary images, or fit on images that have grey levels."
            )

    def _validate(self, X):
        check_is_fitted(self)
        if self.columns_ is None and not self.allow_missing_ and not self.is_bytes_:
            plain = plain_array(self, X, np.float64)
            if plain is not None:
                return Rows(plain, origin=self.origin_ if self.origin_.any() else None)
        return self._read(in_memory(X), reset=False)

    def _noise_offset(self):
        return weights_checksum(self.weights_)

    def _part(self, X, rows):
        return X.part(rows)

    def _encode(self, X, mean, variance, keys=None):
        network = self._network()

        def encode(chunk, rows, x):
            self._check_cells(rows)
            mean_x, log_variance = network.encode(x)
            mean[chunk] = mean_x.numpy(force=True)
            written = [mean[chunk]]
            if variance is not None:
                variance[chunk] = log_variance.exp().numpy(force=True)
                written.append(variance[chunk])
            if not are_finite(*written):
                self._raise_not_finite(rows, chunk.start)
            if keys is not None:
                keys[chunk] = row_keys(rows)

        self._for_chunks(X, network, encode)

    def _raise_not_finite(self, rows, start, numbers=None):
        """Name the cell that has no finite code; `numbers` are those of the rows that were read."""
        i, j = np.unravel_index(np.nanargmax(np.abs(rows)), rows.shape)
        (column,) = self._column_names([j])
        value = f"is {rows[i, j]:.6g}, too far from the training data"
        if np.isinf(rows[i, j]):
            value = "is beyond the range of float32"
        elif abs(rows[i, j]) > LARGEST_VALUE:
            value = f"is {rows[i, j]:.6g}, at the end of the range of float32"
        row = start + i if numbers is None else numbers[start + i]
        raise ValueError(
            f"Row {row} of X has no finite code: its value in column {column!r} {value}. "
            "Where such numbers stand for missing cells, make them NaN and set "
            "allow_missing=True; otherwise clip them or drop the row."
        )

    def _check_cells(self, rows):
        """Refuse rows with cells that the likelihood gives no density to."""
        try:
            self.likelihood_.check_data(rows)
        except ValueError as error:
            if self.columns_ is None or "cell" not in vars(error):
                raise
            message, j = vars(error)["cell"]
            (name,) = self._column_names([j])
            raise cell_error(message, name) from None

    def _column_names(self, inputs):
        """Names, or numbers, of the columns that some inputs of the network are made from."""
        if self.columns_ is not None:
            return [self.columns_.columns[self.columns_.owner[j]].name for j in inputs]
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        return [names[j] for j in inputs]

    def _for_chunks(self, X, network, work, *, size=CHUNK_ROWS, seed=None):
        """Call ``work(chunk, rows, x)`` for the chunks of a table: slice, rows, and a tensor."""
        device = next(network.parameters()).device
        # Draws come in the order of the rows, and networks of the user may draw.
        draws = seed is not None or not is_own(self.architecture_)
        allowed = 1 if draws or device.type != "cpu" else torch.get_num_threads()

        def read(chunk):
            rows = X[chunk]
            work(chunk, rows, torch.from_numpy(rows).to(device))

        with self._running(seed):
            share(read, X.slices(size), allowed, self._running)

    @contextmanager
    def _running(self, seed=None):
        """Context in which the network runs; `seed` is that of the draws of the likelihood.

        Networks of the user may draw even in evaluation mode, and then draw the same every time.
        """
        with plain_torch(grad=False):
            if seed is None and is_own(self.architecture_):
                yield
            else:
                with LocalDraws(seed or 0):
                    yield

    def pruned(self, keep: MatrixLike) -> Self:
        """Cut latent variables out of the fitted network.

        The outputs of the dropped variables are removed from the encoder, and their inputs from the
        decoder, which then decodes as if they were 0, the mean of the prior.

        Parameters
        ----------
        keep : array-like of bool of shape (n_components,), or of int, or DataFrame
            Mask of the variables to keep, such as `PassiveVariableRemover.get_support` returns for
            mean codes, or their numbers. A table of :func:`passive_pruner.regime.ablate` keeps the
            variables whose gain is significantly above 0, with a `q_value` of at most 0.05; pass
            ``table["gain"] > 0`` to keep those with a positive gain that is not significant as
            well.

        Returns
        -------
        encoder : VAEEncoder
            Smaller fitted encoder. Its codes are the kept columns of the codes of this encoder,
            with the same names; with ``output="sampled"`` they are new draws.

        Raises
        ------
        ValueError
            If `keep` is neither a mask nor distinct numbers of variables nor such a table, if it
            keeps no variable, or if variables cannot be cut out of the network.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_wine
        >>> from passive_pruner import VAEEncoder
        >>> X = load_wine().data
        >>> encoder = VAEEncoder(n_components=6, max_steps=300, random_state=0).fit(X)
        >>> smaller = encoder.pruned([0, 2])
        >>> bool(np.allclose(smaller.transform(X), encoder.transform(X)[:, [0, 2]], atol=1e-5))
        True
        >>> smaller.get_feature_names_out()
        array(['vaeencoder0', 'vaeencoder2'], dtype=object)
        """
        check_is_fitted(self)
        keep = variable_numbers(kept_variables(keep, self.n_components_), self.n_components_)
        with plain_torch(grad=False):
            _, weights = self._blueprint().cut(self.weights_, keep)
        pruned = clone(self).set_params(n_components=len(keep))
        of_training = (*self.get_params(deep=False), "weights_", "training_state_")
        for name, value in vars(self).items():
            if name.endswith("_") and name not in of_training:
                setattr(pruned, name, copy.deepcopy(value))
        pruned.n_components_ = len(keep)
        numbers = getattr(self, "variable_numbers_", np.arange(self.n_components_))
        pruned.variable_numbers_ = numbers[keep]
        for name in ("_holds_out", "_epochs_before_pruning"):
            if name in vars(self):
                setattr(pruned, name, getattr(self, name))
        if len(keep) < self.n_components_:
            pruned._epochs_before_pruning = self.n_iter_
        pruned._cut_explained(keep)
        for record in pruned.history_:
            record.update({k: v[keep] for k, v in record.items() if isinstance(v, np.ndarray)})
        pruned.weights_ = weights
        pruned._freeze()
        return pruned

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights to a safetensors file, by their names in the torch state dict.

        Parameters
        ----------
        path : str or path-like
            File to write.

        Raises
        ------
        NotFittedError
            If the encoder is not fitted.

        Examples
        --------
        >>> import tempfile
        >>> from sklearn.datasets import load_wine
        >>> from passive_pruner import VAEEncoder
        >>> X = load_wine().data
        >>> encoder = VAEEncoder(n_components=4, max_steps=300, random_state=0).fit(X)
        >>> other = VAEEncoder(n_components=4, max_steps=1, random_state=1).fit(X)
        >>> with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        ...     encoder.save_weights(file.name)
        ...     other = other.load_weights(file.name)
        >>> bool((other.transform(X) == encoder.transform(X)).all())
        True
        """
        check_is_fitted(self)
        beside = {name: getattr(self, name) for name in self._BESIDE_WEIGHTS if hasattr(self, name)}
        write_weights(self.weights_, path, beside)

    def load_weights(self, path: str | os.PathLike[str]) -> Self:
        """Replace the weights by those of a safetensors file.

        The file may come from :meth:`save_weights` or from ``safetensors.torch.save_file`` on the
        state dict of the same network; half precision is converted to float32. `history_` remains
        that of the last fit. The variances explained by the variables are read from the file, and
        unknown if it does not contain them.

        Parameters
        ----------
        path : str or path-like
            File to read. Reading it executes no code.

        Returns
        -------
        self : VAEEncoder
            The encoder. It is unchanged if an error is raised.

        Raises
        ------
        NotFittedError
            If the encoder is not fitted. Fitting it determines the names and shapes of the weights;
            one step is enough.
        ValueError
            If the file is not a complete safetensors file, if names or shapes differ from those of
            `weights_`, if a value is not finite, or if the checksum shows that values have changed.
        """
        check_is_fitted(self)
        sizes = dict.fromkeys(self._BESIDE_WEIGHTS, self.n_components_)
        sizes["origin_"] = self.n_features_in_
        weights, beside = read_weights(path, self.weights_, sizes)
        self._forget_explained()
        vars(self).update(weights_=weights, **beside)
        self._freeze()
        vars(self).pop("training_state_", None)  # that of other weights
        return self

    def __getstate__(self):
        state = {k: v for k, v in super().__getstate__().items() if k != "_live"}
        return pack_fitted(state)

    def __setstate__(self, state):
        state = unpack_fitted(state)
        if "init" not in state:  # saved by a version that had other defaults
            state |= {"init": "random", "init_": "random"}
            if state["likelihood"] in (None, "gaussian"):
                state["likelihood"] = Gaussian("shared")
        super().__setstate__({"whiten": True, **state})
        if "weights_" in vars(self):
            self._freeze()
            # What encoders that were saved by earlier versions lack.
            vars(self).setdefault("allow_missing_", self.allow_missing)
            vars(self).setdefault("byte_divisor_", 255.0 if self.is_bytes_ else 1.0)
            vars(self).setdefault("origin_", np.zeros(self.n_features_in_))
            vars(self).setdefault("best_epoch_", self.n_iter_)
            vars(self).setdefault("columns_", None)

    def _freeze(self):
        """Make the weights read-only: the network would not see a change of their values."""
        for value in self.weights_.values():
            value.setflags(write=False)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.allow_missing
        return tags
