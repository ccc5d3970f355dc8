"""Base class of the encoders: codes, their names, their posterior and its moments."""

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from passive_pruner._common._callbacks import CallbackSupportMixin
from passive_pruner._common._codes import Posterior, code_names
from passive_pruner._common._dask import is_dask, values_of
from passive_pruner._common._documentation import DocumentationLinkMixin
from passive_pruner._common._draws import normal_numbers, tell_apart
from passive_pruner._common._state import VersionedState
from passive_pruner._common._typing import Float32Array, MatrixLike, TypedTransformer
from passive_pruner._common._validation import seed_from
from passive_pruner.regime import LatentMoments

# Rows whose posterior is in memory at a time while moments are added up.
MOMENT_ROWS = 65_536


class BaseEncoder(
    TypedTransformer,
    VersionedState,
    CallbackSupportMixin,
    DocumentationLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    ABC,
):
    """Base class of encoders with the parameters `output`, `add_variance` and `random_state`.

    A subclass sets `n_components_` in fit and implements :meth:`_validate` and :meth:`_encode`.
    """

    @abstractmethod
    def _validate(self, X):
        """Check that the encoder is fitted and that `X` fits it; return what `_encode` takes."""

    @abstractmethod
    def _encode(self, X, mean, variance, keys=None):
        """Write the posterior of `X` into arrays.

        Into `mean` its means and, unless they are None, into `variance` its variances, and into
        `keys`, uint64 of shape (n_samples, 2), the :func:`row_keys` of the float32 rows.
        """

    def _part(self, X, rows):
        """Take a slice of the rows of what :meth:`_validate` returned."""
        return X[rows]

    def transform(self, X: MatrixLike) -> Float32Array:
        """Encode rows.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Data, as :meth:`fit` takes it.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components) or (n_samples, 2 * n_components), float32
            Posterior means, or one draw from each posterior with ``output="sampled"``; with
            `add_variance` followed by the posterior variances. For a dask collection a lazy one
            of the same kind.

        Notes
        -----
        With an int as `random_state` the draw of a row is a function of the seed, of the weights of
        the encoder and of the values in the row. It does not depend on the batch or on the order of
        the rows, and the draws of different rows are independent. If a call contains equal rows,
        the first one gets the draw that it would get alone, and each further one gets another draw,
        determined by its rank among the equal rows. The blocks of a dask collection are encoded
        separately, so this applies within each block.
        """
        return self._codes(X, seed_from(self.random_state) if self.output == "sampled" else None)

    def _codes(self, X, seed, part=0):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        seed : int or None
            Seed of the draws.
        part : int, default=0
            Number of `X` among the parts of one call.
        """
        X = self._validate(X)
        if self.output not in ("mean", "sampled"):  # as set after fit
            raise ValueError(f"output must be 'mean' or 'sampled', got {self.output!r}.")
        n, d = X.shape[0], self.n_components_
        sampled = self.output == "sampled"
        columns = np.empty((n, 2 * d if self.add_variance else d), dtype=np.float32)
        codes, variance, keys = columns[:, :d], None, None
        if self.add_variance:
            variance = columns[:, d:]
        elif sampled:
            variance = np.empty_like(codes)
        if sampled:
            keys = np.empty((n, 2), dtype=np.uint64)
        self._encode(X, codes, variance, keys)
        if sampled:
            seed += self._noise_offset()
            codes += np.sqrt(variance) * normal_numbers(tell_apart(keys, part), d, seed)
        scale = self._code_scale()
        if scale is not None:
            codes *= scale
            if self.add_variance:
                variance *= scale**2
        return columns

    def _code_scale(self):
        """Return what the codes of every variable are multiplied by, or None."""
        return None

    def _noise_offset(self):
        """Return what makes the draws of this encoder others than those of one with its seed."""
        return 0

    def posterior(self, X: MatrixLike) -> Posterior:
        """Compute the posterior of the latent variables for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, as :meth:`fit` takes it.

        Returns
        -------
        posterior : Posterior
            Named tuple of `mean` and `variance`, both of shape (n_samples, n_components), float32,
            on the scale of the prior N(0, 1).
        """
        return self._posterior(self._validate(X))

    def _posterior(self, X):
        shape = (X.shape[0], self.n_components_)
        posterior = Posterior(np.empty(shape, np.float32), np.empty(shape, np.float32))
        self._encode(X, *posterior)
        return posterior

    def moments(self, X: MatrixLike, *, entropy: bool = False) -> LatentMoments:
        """Compute the moments of the posterior over the rows of `X`, in batches.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Data, as :meth:`fit` takes it.
        entropy : bool, default=False
            Whether to estimate the entropy of the means, for which the means of all rows are kept
            in memory.

        Returns
        -------
        moments : LatentMoments
            Moments of the posterior means and variances on the scale of the prior, whatever
            `output` and `whiten` are, with `code_scale` if the encoder has it.

        Examples
        --------
        >>> import numpy as np
        >>> from passive_pruner import PretrainedEncoder
        >>> from passive_pruner.datasets import make_posterior
        >>> posterior, _ = make_posterior(["active", "passive"], random_state=0)
        >>> encoder = PretrainedEncoder(second_output="variance").fit(np.hstack(posterior))
        >>> bool((encoder.moments(np.hstack(posterior)).variance_of_mean < [2, 0.1]).all())
        True
        """
        scale = getattr(self, "code_scale_", None)
        if entropy:
            moments = LatentMoments.from_batch(*self.posterior(X), entropy=True)
            return replace(moments, code_scale=scale)
        if is_dask(X):
            parts = (self.moments(block) for block in values_of(X))
        else:
            X = self._validate(X)
            starts = range(0, X.shape[0], MOMENT_ROWS)
            parts = (
                LatentMoments.from_batch(
                    *self._posterior(self._part(X, slice(start, start + MOMENT_ROWS)))
                )
                for start in starts
            )
        return replace(reduce(LatentMoments.merge, parts), code_scale=scale)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Get the names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : None, default=None
            Ignored.

        Returns
        -------
        names : ndarray of str
            Class name in lower case, followed by the number of the variable: ``vaeencoder0``, ...
            for means, ``vaeencoder0_sampled``, ... for samples, ``vaeencoder0_variance``, ... for
            variances.
        """
        check_is_fitted(self)
        return code_names(
            type(self).__name__.lower(),
            getattr(self, "variable_numbers_", range(self.n_components_)),
            sampled=self.output == "sampled",
            add_variance=self.add_variance,
        )

    @property
    def _n_features_out(self):
        return self.n_components_ * (2 if self.add_variance else 1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = self.output == "sampled"
        return tags
