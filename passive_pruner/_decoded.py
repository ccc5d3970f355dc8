"""From codes to data: what a fitted variational autoencoder decodes, draws and fills in."""

from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_array, check_is_fitted

from passive_pruner._common._cells import with_cells_of, wrapped_like
from passive_pruner._common._dask import in_memory
from passive_pruner._common._draws import elbo_noise, normal_numbers, row_keys, tell_apart
from passive_pruner._common._parameters import check_number, explain_memory
from passive_pruner._common._rows import CHUNK_ROWS, Rows
from passive_pruner._common._typing import MatrixLike
from passive_pruner._common._validation import explain_numbers, seed_from


class Decoding:
    """Mixin of :class:`VAEEncoder`: all that runs its decoder."""

    def inverse_transform(self, Z: ArrayLike) -> np.ndarray:
        """Decode codes into the mean of the likelihood.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components) or (n_samples, 2 * n_components)
            Codes; dask collections are supported. The second shape is that of :meth:`transform`
            with `add_variance`; the variances are ignored.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Expected data in the units of the training data; byte images are returned as floats from
            0 to 1. Float64 if `origin_` is not 0. For a dask collection, a lazy collection of the
            same kind.

            If the encoder was fitted on a table with categories (see `columns_`), a DataFrame with
            the same columns, types and categories. Columns of categories or of two values contain
            the most probable value, and integers are rounded.

        Raises
        ------
        ValueError
            If the number of columns is wrong.
        """
        check_is_fitted(self)
        index = getattr(Z, "index", None) if hasattr(Z, "iloc") else None
        with explain_numbers(Z, "Z", f"codes of {self.n_components_} columns of numbers"):
            Z = check_array(Z, dtype=np.float32)
        if Z.shape[1] not in (self.n_components_, self._n_features_out):
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but this VAEEncoder decodes codes of "
                f"{self.n_components_} columns."
            )
        Z = self._in_prior_units(Z[:, : self.n_components_])
        return self._as_in_fit(self._decode(Z, self._network().mean), index)

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Draw rows from the model: codes from the prior, then data from the likelihood.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Drawn rows. Float64 if `origin_` is not 0. If the encoder was fitted on a table with
            categories, a table of the same kind.
        """
        check_is_fitted(self)
        check_number(n_samples, "n_samples", Integral, min_val=1)
        seed = seed_from(self.random_state)
        with explain_memory(f"{n_samples} rows of {self.n_features_in_} columns. Draw fewer"):
            Z = np.random.default_rng(seed).standard_normal(
                (n_samples, self.n_components_), dtype=np.float32
            )
            return self._as_in_fit(self._decode(Z, self._network().sample, seed))

    def impute(self, X: MatrixLike, *, draw: bool = False) -> np.ndarray:
        """Impute missing cells from the cells that are present.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Data, as :meth:`fit` takes it.
        draw : bool, default=False
            Whether to impute random draws instead of expected values: one code is drawn from the
            posterior of each row, and cells from the likelihood given this code.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            Copy of `X` with imputed cells. Present cells do not change, and neither does a column
            that was empty in :meth:`fit`. The container is that of `X`, an array or a DataFrame of
            the same library, whatever :meth:`fit` was given; ``set_output`` applies to codes only.
            If the training data had categories, the types are those of the training data.

        Notes
        -----
        Expected values are means of the likelihood over the posterior of the row, evaluated at the
        points of :meth:`score_samples`; for categories and columns of two values, the most probable
        value. Draws depend on the other rows of the call.

        The encoder approximates the posterior given the present cells. Measure the quality of this
        approximation on cells that you hide from it.

        Examples
        --------
        >>> import numpy as np
        >>> from passive_pruner import VAEEncoder
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 4))
        >>> X[rng.random(X.shape) < 0.1] = np.nan
        >>> encoder = VAEEncoder(2, allow_missing=True, max_steps=300, random_state=0).fit(X)
        >>> filled = encoder.impute(X)
        >>> bool(np.isfinite(filled).all())
        True
        """
        X = in_memory(X)
        table = self._validate(X)
        rows = table.incomplete()
        part = table.part(rows)
        decoded = np.empty((0, self._n_inputs))
        if len(rows):
            decoded = self._drawn_given(part) if draw else self._expected_given(part)
        if self.columns_ is None:
            return wrapped_like(X, table.filled(rows, decoded).reshape(-1, *self.feature_shape_))
        index = getattr(X, "index", None) if hasattr(X, "iloc") else None
        cells = table.filled(rows, self.columns_.cells(decoded))
        return with_cells_of(self.columns_.table(cells, index, X), X, table.present())

    def _expected_given(self, table):
        """Mean of the data over the posterior of each row."""
        network, d = self._network(), self.n_components_
        expected = np.empty(table.shape, dtype=np.float32)

        def average(chunk, rows, x):
            self._check_cells(rows)
            mean, log_variance = network.encode(x)
            scale = torch.exp(0.5 * log_variance)
            noise = torch.from_numpy(elbo_noise(row_keys(rows), d)).to(mean)
            decoded = sum(network.mean(mean + scale * e) for e in noise) / len(noise)
            expected[chunk] = decoded.numpy(force=True)

        self._for_chunks(table, network, average, size=CHUNK_ROWS // 4)
        return self._with_origin(expected)

    def _drawn_given(self, table):
        """Draw one row given a code that is drawn from the posterior of each row."""
        d, seed = self.n_components_, seed_from(self.random_state)
        mean, variance = np.empty((2, len(table), d), dtype=np.float32)
        keys = np.empty((len(table), 2), dtype=np.uint64)
        self._encode(table, mean, variance, keys)
        noise = normal_numbers(tell_apart(keys), d, seed + self._noise_offset())
        Z = (mean + np.sqrt(variance) * noise).astype(np.float32)
        return self._decode(Z, self._network().sample, seed)

    def _decode(self, Z, decode, seed=None):
        X = np.empty((len(Z), self._n_inputs), dtype=np.float32)

        def write(chunk, rows, z):
            X[chunk] = decode(z).numpy(force=True)

        self._for_chunks(Rows(Z), self._network(), write, seed=seed)
        return self._with_origin(X)

    def _with_origin(self, X):
        if not self.origin_.any():
            return X
        return X + (self.origin_ if self.columns_ is None else self.origin_[self.columns_.owner])

    def _as_in_fit(self, X, index=None):
        """Give decoded rows the form of the training data."""
        if self.columns_ is None:
            return X.reshape(-1, *self.feature_shape_)
        return self.columns_.table(self.columns_.cells(X), index)
