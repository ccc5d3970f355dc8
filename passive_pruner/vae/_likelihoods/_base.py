"""Base classes of likelihoods and of their torch modules, and helpers for both."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from inspect import signature
from typing import NamedTuple, Self

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import nn
from torch.distributions import Distribution

from passive_pruner._common._sample_weight import weighted
from passive_pruner.vae._component import Component

# Adam moves a parameter by about the learning rate per step, whatever its gradient: a log-variance
# would need thousands of steps to follow the squared error that it estimates, and the latent
# variables would collapse while it lags. Storing a tenth of it makes the same step ten times
# longer.
STRETCH = 10.0
# Columns whose moments are taken at a time.
COLUMNS = 64


class Standardization(NamedTuple):
    """How data is brought to the scale of the encoder: ``(t(x) - location) / scale``.

    Attributes
    ----------
    logged : ndarray of shape (n_features,), bool
        Where t(x) is ``log(1 + max(x, 0))``; elsewhere it is x.
    location, scale : ndarray of shape (n_features,), float32
        What is subtracted, and what is divided by.
    """

    logged: np.ndarray
    location: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, n_features: int, *, logged=False, location=0.0, scale=1.0) -> "Standardization":
        """Make one from numbers or tensors, each for all columns or with a value per column."""

        def per_column(value, dtype):
            value = value.cpu() if isinstance(value, torch.Tensor) else value
            return np.full(n_features, value, dtype)

        return cls(
            per_column(logged, bool),
            per_column(location, np.float32),
            per_column(scale, np.float32),
        )


class LikelihoodModule(nn.Module):
    """Module that turns decoder outputs into a distribution of the data.

    Parameters
    ----------
    missing : bool, default=False
        Whether the data may contain NaN. NaN cells then contribute neither to the log-likelihood
        nor to its gradient. The result is the likelihood of the present cells, which is exact if
        cells are missing at random.
    """

    def __init__(self, *, missing: bool = False):
        super().__init__()
        self.missing = missing

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # A `standardization` that is inherited would describe the `standardize` that is replaced.
        if "standardize" in vars(cls) and "standardization" not in vars(cls):
            cls.standardization = LikelihoodModule.standardization

    def standardize(self, x: torch.Tensor) -> torch.Tensor:
        """Transform the data to the scale of the encoder inputs.

        Parameters
        ----------
        x : Tensor of shape (batch, n_features)
            Rows of the data.

        Returns
        -------
        x : Tensor of shape (batch, n_features)
            Transformed rows, in which NaN remains NaN.
        """
        return x

    def standardization(self, n_features: int) -> Standardization | None:
        """Return the parameters of :meth:`standardize`, for graphs that are written without torch.

        Parameters
        ----------
        n_features : int
            Number of columns of the data.

        Returns
        -------
        standardization : Standardization or None
            None if a subclass overrides :meth:`standardize` without this method; the module itself
            must then be run.
        """
        if type(self).standardize is not LikelihoodModule.standardize:
            return None
        return Standardization.of(n_features)

    def distribution(self, outputs: torch.Tensor) -> Distribution:
        """Return the distribution of every cell.

        Parameters
        ----------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.

        Returns
        -------
        distribution : torch.distributions.Distribution
            Distribution with batch shape (batch, n_features).
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no `distribution`. Define it, or all of `log_likelihood`, "
            "`mean` and `sample`."
        )

    def log_likelihood(self, outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Compute the log-likelihood of each row, summed over features.

        Parameters
        ----------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.
        x : Tensor of shape (batch, n_features)
            Rows of the data.

        Returns
        -------
        log_likelihood : Tensor of shape (batch,)
            Log-likelihood of each row in nats.
        """
        return self._sum_log_prob(self.distribution(outputs), x)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """Compute the mean of the data.

        Parameters
        ----------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.

        Returns
        -------
        mean : Tensor of shape (batch, n_features)
            Mean of every cell, in the units of the data.
        """
        return self.distribution(outputs).mean

    def standardized_mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """Compute the mean of the data on the scale of :meth:`standardize`.

        Parameters
        ----------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.

        Returns
        -------
        mean : Tensor of shape (batch, n_features)
            Mean of every cell, on the scale of the encoder inputs.
        """
        return self.standardize(self.mean(outputs))

    def sample(self, outputs: torch.Tensor) -> torch.Tensor:
        """Draw one row of data per row of `outputs`.

        Parameters
        ----------
        outputs : Tensor of shape (batch, n_outputs)
            Decoder outputs.

        Returns
        -------
        x : Tensor of shape (batch, n_features)
            Drawn rows, in the units of the data.
        """
        return self.distribution(outputs).sample()

    def _sum_log_prob(self, distribution: Distribution, x: torch.Tensor) -> torch.Tensor:
        if not self.missing:
            return distribution.log_prob(x).sum(dim=1)
        # Masking alone would not do: the gradient of log_prob(NaN) is NaN, and zero times NaN is
        # NaN again. Zero, which every support contains, stands in for the cell before it is masked.
        missing = x.isnan()
        log_prob = distribution.log_prob(x.masked_fill(missing, 0.0))
        return log_prob.masked_fill(missing, 0.0).sum(dim=1)

    def _register(self, name, value):
        self.register_buffer(name, torch.tensor(value, dtype=torch.float32, device="cpu"))


class Likelihood(Component, metaclass=ABCMeta):
    """Base class of likelihoods. Subclasses implement :meth:`build`."""

    def resolve(self, n_features: int, feature_names: Sequence[str] | None = None) -> Self:
        """Return the likelihood for a table of `n_features` columns, at the beginning of fit.

        Parameters
        ----------
        n_features : int
            Number of columns.
        feature_names : sequence of str or None, default=None
            Names of the columns, if there are any.

        Returns
        -------
        likelihood : Likelihood
            Likelihood for these columns.
        """
        return self

    def n_outputs(self, n_features: int) -> int:
        """Return the number of decoder outputs for `n_features` columns.

        Parameters
        ----------
        n_features : int
            Number of columns.

        Returns
        -------
        n_outputs : int
            Number of decoder outputs.
        """
        return n_features

    def shiftable(self, n_features: int) -> np.ndarray:
        """Return for which columns a constant may be subtracted from the data.

        Parameters
        ----------
        n_features : int
            Number of columns.

        Returns
        -------
        mask : ndarray of shape (n_features,), bool
            True for columns whose model does not depend on the origin.
        """
        return np.zeros(n_features, dtype=bool)

    def check_data(self, X: np.ndarray) -> None:
        """Raise a ValueError if some values have no density under the likelihood.

        NaN is ignored, because the encoder checks for missing values. The base class accepts all
        values.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Some rows of the data. Large data is checked in chunks.
        """

    @abstractmethod
    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        """Build the torch module, with parameters initialised from the training data.

        All quantities that the module computes from the values of `X` must be parameters or buffers
        whose shape does not depend on the number of rows: only these are saved with the weights of
        a fitted encoder.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            In fit, the training data or rows drawn from it. When a fitted network is rebuilt from
            its weights, an array with one row of zeros; every parameter and buffer is then replaced
            by the saved one.
        allow_missing : bool, default=False
            Whether this or later data may contain NaN.
        sample_weight : ndarray of shape (n_samples,), float64, or None, default=None
            Weights of the rows, all above 0. It is passed only if rows have weights; a likelihood
            whose method lacks this parameter does not support weights.

        Returns
        -------
        module : LikelihoodModule
            Module in float32 on the CPU.
        """


def build_module(
    likelihood: Likelihood,
    X: np.ndarray,
    allow_missing: bool,
    sample_weight: np.ndarray | None,
) -> LikelihoodModule:
    """Make the module of a likelihood, with weights of rows where there are some.

    Raises
    ------
    ValueError
        If there are weights and the likelihood takes none.
    """
    if sample_weight is None:
        return likelihood.build(X, allow_missing=allow_missing)
    if "sample_weight" not in signature(likelihood.build).parameters:
        raise ValueError(
            f"The likelihood {likelihood!r} takes no sample_weight: its build has no parameter of "
            "this name. Add it, or fit without weights."
        )
    return likelihood.build(X, allow_missing=allow_missing, sample_weight=sample_weight)


def cell_error(message: str, column: int | str) -> ValueError:
    """Make the error about a cell that the likelihood gives no density to.

    Parameters
    ----------
    message : str
        With ``{column}`` in the place of the column.
    column : int or str
        Position or name of the column.

    Returns
    -------
    error : ValueError
        Its attribute ``cell`` is ``(message, column)``: who knows the column by another position
        or name, as :class:`Mixed` does, makes the error again with that.
    """
    error = ValueError(message.replace("{column}", f"column {column!r}"))
    vars(error)["cell"] = message, column
    return error


def extremes(X: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value that is present; (0, 0) if none is."""
    if X.size == 0:
        return 0.0, 0.0
    low, high = np.fmin.reduce(X, axis=None), np.fmax.reduce(X, axis=None)
    return (0.0, 0.0) if np.isnan(low) else (float(low), float(high))


def first_cell(X: np.ndarray, wrong: np.ndarray) -> tuple[float, int]:
    """Value and column of the first cell, by rows, that is marked in the mask `wrong`."""
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    return X[row, column], int(column)


def column_moments(
    X: np.ndarray, sample_weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the values that are present; 0 and 1 where there are none.

    A constant column too has a variance of 1, so that it can be divided by.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,), optional
        Weights of the rows.

    Returns
    -------
    mean, variance : ndarray of shape (n_features,), float64
        The variance is that of the population (ddof=0). Both are as exact as float64 for columns
        that are far from zero: deviations are taken from the mean before they are squared.
    """
    mean, variance = np.empty((2, X.shape[1]))
    # In blocks of columns: the temporary arrays are in float64 and several times as large as X.
    for columns in gen_batches(X.shape[1], COLUMNS):
        block = np.asarray(X[:, columns], dtype=np.float64)
        n_present = np.sum(weighted(~np.isnan(block), sample_weight), axis=0)
        n_present = np.where(n_present > 0, n_present, 1)
        # Rounded sums say of a constant column that it varies; comparing its values does not.
        low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
        centre = np.where(
            low == high, low, np.nansum(weighted(block, sample_weight), axis=0) / n_present
        )
        block = block - centre
        rest = np.nansum(weighted(block, sample_weight), axis=0) / n_present
        mean[columns] = centre + rest
        square = weighted((block - rest) ** 2, sample_weight)
        variance[columns] = np.nansum(square, axis=0) / n_present
    variance[variance == 0] = 1.0
    return mean, variance


def clamp(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Clamp the value and pass the gradient unchanged.

    The gradient of an ordinary clamp is zero outside its range: what has left never returns.
    """
    if not x.requires_grad:
        return x.clamp(low, high)
    return x.detach().clamp(low, high) + (x - x.detach())
