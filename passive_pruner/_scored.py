"""What rows are worth under a fitted network, and what every latent variable adds to that."""

import copy

import numpy as np
import torch
from numpy.typing import ArrayLike

from passive_pruner._common._dask import is_dask, values_of
from passive_pruner._common._draws import elbo_noise, row_keys, tell_apart
from passive_pruner._common._rows import CHUNK_ROWS, are_finite
from passive_pruner._common._sample_weight import checked_weights, near_1
from passive_pruner._common._typing import Float64Array, MatrixLike
from passive_pruner.vae._network import is_own, resolve_device
from passive_pruner.vae._random import plain_torch

# Points per row at which gains are taken. On digits their error widens the standard error over rows
# by 2 to 10 %; half as many points would widen it by 20 %, twice as many would double the time.
GAIN_POINTS = 8


class Scored:
    """Mixin of :class:`VAEEncoder`: the ELBO of rows, whole and by variable."""

    def score_samples(self, X: MatrixLike) -> Float64Array:
        """Compute the evidence lower bound (ELBO) of each row.

        The expectation over the posterior is evaluated at 32 quasi-random points, Sobol points and
        their mirror images, shifted by a vector that is a function of the row (Cranley and
        Patterson 1976, "Randomization of number theoretic methods for multiple integration"). The
        score of a row therefore depends on that row only and is unbiased. The errors of different
        rows are independent, so that the error of the mean decreases with the square root of the
        number of rows.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Data, as :meth:`fit` takes it; a dask collection is read into memory.

        Returns
        -------
        elbo : ndarray of shape (n_samples,), float64
            ELBO of each row in nats.

        Raises
        ------
        ValueError
            If the likelihood gives some of the values no density, as in :meth:`fit`.
        """
        X = self._validate(X)
        network, device, dtype = self._precise_network()
        elbo = np.empty(len(X))

        def score(chunk, rows, x):
            self._check_cells(rows)
            noise = torch.from_numpy(elbo_noise(row_keys(rows), self.n_components_))
            elbo[chunk] = network.elbo(x.to(dtype), noise.to(device, dtype)).numpy(force=True)
            if not are_finite(elbo[chunk]):
                self._raise_not_finite(rows, chunk.start)

        self._for_chunks(X, network, score, size=CHUNK_ROWS // 4)
        return elbo

    def score(
        self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean ELBO of the rows in nats, which grid searches can maximise.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Data, as :meth:`fit` takes it; a dask collection is read into memory.
        y : None, default=None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        elbo : float
            Mean ELBO in nats per row.
        """
        elbo = self.score_samples(X)
        if sample_weight is None:
            return float(elbo.mean())
        return float(np.average(elbo, weights=near_1(checked_weights(sample_weight, elbo))))

    def gain_samples(self, X: MatrixLike) -> Float64Array:
        """Compute the gain in ELBO of each row by every latent variable.

        The gain is the ELBO of the row minus its ELBO with the posterior of one variable replaced
        by the prior: the improvement in log-likelihood due to the variable, minus its KL
        divergence. It is never positive for a variable that the decoder ignores.
        :func:`passive_pruner.regime.ablate` returns means over rows with their standard errors.

        Both expectations are evaluated at the same 8 points, which are a function of the row as in
        :meth:`score_samples`. A gain is unbiased, and differences between rows or models are not
        affected by different draws. If a call contains equal rows, each of them has its own points.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Numeric data.

        Returns
        -------
        gain : ndarray of shape (n_samples, n_components), float64
            Gain of each row by each variable in nats.

        Raises
        ------
        ValueError
            If some values have no density under the likelihood, as in :meth:`fit`, or if the
            likelihood of a row is not finite when a variable is drawn from its prior.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from passive_pruner import VAEEncoder
        >>> X = load_wine().data
        >>> encoder = VAEEncoder(n_components=4, max_steps=100, random_state=0).fit(X)
        >>> encoder.gain_samples(X).shape
        (178, 4)
        """
        if is_dask(X):
            parts = enumerate(values_of(X))
            return np.concatenate([self._gains(block, number) for number, block in parts])
        return self._gains(X, 0)

    def _gains(self, X, part):
        X = self._validate(X)
        network, device, dtype = self._precise_network()
        gain = np.empty((len(X), self.n_components_))
        keys = np.concatenate([row_keys(rows) for _, rows in X.chunks()])
        # Equal rows with equal points would have equal errors, which do not average out.
        keys = tell_apart(keys, part)

        def score(chunk, rows, x):
            self._check_cells(rows)
            noise = torch.from_numpy(elbo_noise(keys[chunk], self.n_components_, GAIN_POINTS))
            gain[chunk] = network.gains(x.to(dtype), noise.to(device, dtype)).numpy(force=True)
            if not are_finite(gain[chunk]):
                self._raise_no_gain(gain[chunk], rows, chunk.start)

        self._for_chunks(X, network, score, size=CHUNK_ROWS // 4)
        return gain

    def _raise_no_gain(self, gain, rows, start):
        """Name what has no finite gain: a row, or a variable of one."""
        i, j = np.argwhere(~np.isfinite(gain))[0]
        if not np.isfinite(gain[i]).any():
            self._raise_not_finite(rows, start)
        raise ValueError(
            f"Row {start + i} of X has no finite likelihood where variable {j} is drawn from its "
            "prior: what the decoder gives there leaves the range of numbers. Train with a "
            "likelihood that suits the data, or on scaled data."
        )

    def _precise_network(self):
        """Return a copy of the network for scores, with its device and its type of numbers."""
        # In float64, because a sum over many features of float32 would depend in its last digits
        # on the number of rows that share a matrix product.
        device = resolve_device(self.device, or_cpu=True)
        if device.type == "mps":  # which has no float64
            device = torch.device("cpu")
        with plain_torch(grad=True):
            network = copy.deepcopy(self._network()).to(device)
        # Networks of the user may make tensors of their own, which are float32.
        dtype = torch.float64 if is_own(self.architecture_) else torch.float32
        return network.to(dtype), device, dtype
