"""PretrainedEncoder: the posterior of a model that was trained elsewhere, as a transformer."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from passive_pruner._common._base import BaseEncoder
from passive_pruner._common._callbacks import fit_task
from passive_pruner._common._codes import SAMPLED_SUFFIX
from passive_pruner._common._dask import accepts_dask, first_and_others, is_dask
from passive_pruner._common._draws import row_keys
from passive_pruner._common._rows import Rows
from passive_pruner._common._typing import MatrixLike, RandomState, checks_parameters
from passive_pruner._common._validation import (
    all_or_nothing,
    refuse_series,
    unmasked,
    validate_numeric,
)
from passive_pruner._runtimes import (
    file_digest,
    file_stamps,
    model_files,
    open_model,
    own_copy,
    select,
    unchanged_files,
)

# At an optimum of an ELBO with the prior N(0, 1), E[mu^2] + E[s2] = 1, so that E[log s2] <= 0 by
# Jensen's inequality. Above this bound, and nowhere below 0, are variances taken for their logs.
_LARGEST_LOG_VARIANCE = 0.05

_DIGEST = "_digest_of_file"


class _Live(NamedTuple):
    """An opened model, and what it was opened for."""

    device: str
    files: list
    stamps: list
    model: Any


@accepts_dask
class PretrainedEncoder(BaseEncoder):
    """Encoder whose posterior comes from a model that was trained elsewhere.

    It has the transformer interface of :class:`VAEEncoder`. :meth:`fit` does not train the model:
    it encodes the first batch of rows, validates the result, and learns the number of variables.

    Parameters
    ----------
    encode : callable, torch.nn.Module, str, path or None, default=None
        Model that encodes a batch of rows:

        - a torch module, ScriptModules included, or a method of one such as ``vae.encode``. It is
          called with a tensor. :meth:`fit` makes a copy, which runs without gradients in evaluation
          mode: the module itself is not changed, and training it further has no effect before the
          next fit.
        - the path of an ONNX file with one input, whose name ends in ``.onnx``. It runs in
          onnxruntime, without torch.
        - the path of any other file, which is loaded by ``torch.jit.load``. A TorchScript file is a
          program, which can read and write files: only use files that you trust.
        - any other callable. It is called with a float32 array, and may return arrays or tensors.
        - None: the rows of `X` are already ``[mean | second output]``, each with one column per
          latent variable.
    second_output : {"log_variance", "variance"}, default="log_variance"
        Second output of the model: the natural logarithm of the posterior variances, or the
        variances.
    outputs : tuple of two str or int, or None, default=None
        Location of the mean and of the second output in the result of `encode`: keys or attributes,
        names of ONNX outputs, or positions. With None a pair is used as it is, and a single array
        ``[mean | second output]`` is split in half.
    batch_size : int, default=1024
        Maximum number of rows that are encoded at once. Rows are distributed evenly over the
        batches.
    device : str, default="auto"
        Device on which torch modules and ONNX files run: "cpu", "cuda", "cuda:1", "mps" (torch
        only), or "auto" for an available accelerator. A fitted encoder whose device is not
        available runs on the CPU.
    output : {"mean", "sampled"}, default="mean"
        What :meth:`transform` returns: the mean representation, or the sampled representation,
        one draw from the posterior of each row.
    add_variance : bool, default=False
        Whether :meth:`transform` appends one column of posterior variances per code. The remover
        needs them for ``criterion="variance"`` and to find passive variables in sampled codes.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws of ``output="sampled"``.

    Attributes
    ----------
    encode_ : callable, str, path or None
        Model in use: a copy on the CPU if `encode` is a torch module, otherwise `encode` itself.
    outputs_, second_output_ : tuple of two str or int or None, str
        Values of these parameters in :meth:`fit`. They describe the result of `encode_`.
    file_digest_ : str or None
        SHA-256 digest of the model file, used to check that the file has not changed.
    n_components_ : int
        Number of latent variables.
    feature_shape_ : tuple of int
        Shape of one row of `X` as passed to `encode`; ``(n_features_in_,)`` for tables.
    n_features_in_ : int
        Number of values in a row.
    feature_names_in_ : ndarray of shape (`n_features_in_`,), object
        Names of the columns, if X has names that are all strings.

    See Also
    --------
    passive_pruner.VAEEncoder : Trains a variational autoencoder.
    passive_pruner.PassiveVariableRemover : Removes the passive variables from the codes.

    Notes
    -----
    Rows are passed to the model without preprocessing, in float32 or in the floating type of the
    torch module or ONNX input. Scale `X` as in training, divide bytes by 255 if the model needs it,
    and give images in the layout of the model, channel first for torch. Flat images need a first
    layer such as ``torch.nn.Unflatten(1, (1, 64, 64))``.

    Pickles and copies of a fitted encoder hold `encode_` as their `encode`. Lambdas and
    ScriptModules cannot be pickled. A path can: the file is opened again where the encoder is used.
    If the file has changed since :meth:`fit`, :meth:`transform` raises an error, and a cache such
    as that of ``Pipeline(memory=...)`` treats it as another encoder.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner import PassiveVariableRemover, PretrainedEncoder
    >>> weights = np.array([[1.0, 0.0], [0.0, 0.1]], dtype=np.float32)
    >>> def encode(X):  # a mean and a log-variance of each variable for each row
    ...     return X @ weights, np.tile(np.float32([-4.6, -0.01]), (len(X), 1))
    >>> X = np.random.default_rng(0).standard_normal((500, 2))
    >>> codes = PretrainedEncoder(encode).fit_transform(X)
    >>> PassiveVariableRemover().fit(codes).variable_types_
    array(['active', 'passive'], dtype='<U7')

    Posteriors that were computed in advance need no model:

    >>> from passive_pruner.datasets import make_posterior
    >>> posterior, _ = make_posterior(["active", "passive"], random_state=0)
    >>> encoder = PretrainedEncoder(second_output="variance", add_variance=True)
    >>> codes = encoder.fit_transform(np.hstack(posterior))
    >>> PassiveVariableRemover(criterion="variance").fit(codes).variable_types_
    array(['active', 'passive'], dtype='<U7')
    """

    _parameter_constraints: ClassVar[dict] = {
        "encode": [callable, str, os.PathLike, None],
        "second_output": [StrOptions({"log_variance", "variance"})],
        "outputs": [tuple, list, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "output": [StrOptions({"mean", "sampled"})],
        "add_variance": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        encode: Callable[..., Any] | str | os.PathLike[str] | None = None,
        *,
        second_output: Literal["log_variance", "variance"] = "log_variance",
        outputs: Sequence[str | int] | None = None,
        batch_size: int = 1024,
        device: str = "auto",
        output: Literal["mean", "sampled"] = "mean",
        add_variance: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.encode = encode
        self.second_output = second_output
        self.outputs = outputs
        self.batch_size = batch_size
        self.device = device
        self.output = output
        self.add_variance = add_variance
        self.random_state = random_state

    @checks_parameters
    def fit(self, X: MatrixLike, y: object = None) -> Self:
        """Validate `X` and the posterior of its first batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Numeric data: a table or any other input of the model, such as images. Only the first
            block of a dask array or DataFrame is read.
        y : None, default=None
            Ignored.

        Returns
        -------
        self : PretrainedEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If `X` is not finite and numeric, if the device is not available, if a module cannot be
            copied or a file cannot be read, if the model fails on the rows of `X`, or if its result
            is not the posterior that `second_output` and `outputs` describe.
        FileNotFoundError
            If there is no file at the path `encode`.
        ImportError
            If `encode` is an ONNX file and onnxruntime is not installed.
        """
        if self.outputs is not None and len(self.outputs) != 2:
            raise ValueError(
                f"outputs={self.outputs!r} must name two outputs of encode, the mean and the "
                f"{self.second_output}, or be None."
            )
        with fit_task(self, X, y), all_or_nothing(self):
            vars(self).pop("n_components_", None)
            if is_dask(X):
                X, _ = first_and_others(X)
            X = self._rows(X, reset=True)
            self._refuse_draws()
            self.outputs_, self.second_output_ = self.outputs, self.second_output
            self._source, self.encode_ = self.encode, own_copy(self.encode)
            self.file_digest_ = file_digest(model_files(self.encode_))
            self._live = self._open(or_cpu=False)
            with self._live.model.running(self.outputs_) as encode:
                mean, second = self._encode_batch(encode, X[: self.batch_size])
            if self.second_output == "log_variance" and (
                second.min() > 0 and second.mean() > _LARGEST_LOG_VARIANCE
            ):
                raise ValueError(
                    f"Every log-variance is above 0, from {second.min():.3g} to "
                    f"{second.max():.3g}, so all posteriors are wider than the prior N(0, 1). If "
                    "these are variances, pass second_output='variance'."
                )
            self._variance(second)
            self.n_components_ = mean.shape[1]
        return self

    def _rows(self, X, *, reset):
        """Validate `X`, which may have more than two dimensions, and return it flat."""
        refuse_series(X)
        shape = getattr(X, "shape", ())
        if len(shape) > 2:
            if not reset and shape[1:] != self.feature_shape_:
                raise ValueError(
                    f"Rows of X have shape {shape[1:]}, but this PretrainedEncoder was fitted on "
                    f"rows of shape {self.feature_shape_}."
                )
            X = np.asarray(unmasked(X)).reshape(shape[0], int(np.prod(shape[1:])))
        X = validate_numeric(
            self,
            X,
            reset=reset,
            dtype=[np.float32, np.uint8],
            accept_sparse="csr",
        )
        if reset:
            self.feature_shape_ = shape[1:] if len(shape) > 2 else (self.n_features_in_,)
        return X

    def _refuse_draws(self):
        """Refuse sampled codes where means are expected."""
        names = getattr(self, "feature_names_in_", ())
        drawn = [name for name in names if name.endswith(SAMPLED_SUFFIX)]
        if self.encode is None and drawn:
            raise ValueError(
                f"Without encode, X must be [mean | {self.second_output}], but column "
                f"{drawn[0]!r} holds draws from the posterior. Pass its means."
            )

    def _validate(self, X):
        check_is_fitted(self)
        return self._rows(X, reset=False)

    def _encode(self, X, mean, variance, keys=None):
        n = X.shape[0]
        # Even batches: a last batch of one row would lose its dimension in models that squeeze.
        bounds = np.linspace(0, n, -(-n // self.batch_size) + 1).astype(int)
        with self._model().running(self.outputs_) as encode:
            for start, stop in pairwise(bounds):
                rows = slice(start, stop)
                mean[rows], second = self._encode_batch(encode, X[rows])
                if variance is not None:
                    variance[rows] = self._variance(second)
                if keys is not None:
                    keys[rows] = row_keys(Rows(X[rows])[:])

    def _encode_batch(self, encode, X):
        """Mean and second output of flat rows, checked."""
        n, d = X.shape[0], getattr(self, "n_components_", None)
        batch = X.toarray() if issparse(X) else X
        # A copy, so that a model that works in place leaves the data alone.
        batch = batch.astype(np.float32, order="C").reshape(n, *self.feature_shape_)
        mean, second = select(encode(batch), self.outputs_)
        fits = mean.ndim == 2 and len(mean) == n and d in (None, mean.shape[1]) and mean.size
        if not fits or mean.shape != second.shape:
            raise ValueError(
                f"encode must return a mean and a {self.second_output} of shape "
                f"({n}, {d or 'n_components'}) for {n} rows, but they have shapes {mean.shape} and "
                f"{second.shape}. `outputs` tells which outputs to take."
            )
        for what, values in (("mean", mean), (self.second_output, second)):
            if not np.isfinite(values).all():
                raise ValueError(
                    f"The {what} that encode returned has NaN or infinite values. Check the scale "
                    "of X, which must be that of the data in training, and the weights."
                )
        return mean, second

    def _variance(self, second):
        """Turn the second output into variances."""
        if self.second_output_ == "variance":
            if second.min() < 0:
                raise ValueError(
                    f"Variances must be positive, but encode returned {second.min():.3g}. If these "
                    "are log-variances, pass second_output='log_variance'."
                )
            variance = second
        else:
            with np.errstate(over="ignore"):
                variance = np.exp(second)
            if np.isinf(variance).any():
                raise ValueError(
                    f"A log-variance of {second.max():.3g} has no finite variance in float32. "
                    "Check the scale of X, and that encode returns log-variances."
                )
        # Below a log-variance of -87 the exponential leaves the normal range, and soon is 0.
        return np.maximum(variance, np.finfo(np.float32).tiny)

    def _model(self):
        """Return the model that fit saw, opened again where that is needed."""
        live = vars(self).get("_live")
        if live is None or live.device != self.device or live.stamps != file_stamps(live.files):
            self._live = live = self._open(or_cpu=True)
        return live.model

    def _open(self, *, or_cpu):
        files, device = unchanged_files(self.encode_, self.file_digest_), self.device
        stamps = file_stamps(files)
        return _Live(device, files, stamps, open_model(self.encode_, device, or_cpu=or_cpu))

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_live", None)
        source = state.pop("_source", self)  # which is no value of encode
        if "encode_" not in state:
            # What is cached for an encoder that is not fitted depends on the file it would read.
            with suppress(OSError):
                state[_DIGEST] = file_digest(model_files(self.encode))
        elif self.encode is source:
            # The copy that fit took, once, even if the module has been trained on since.
            state["encode"] = state.pop("encode_")
        return state

    def __setstate__(self, state):
        state = {name: value for name, value in state.items() if name != _DIGEST}
        super().__setstate__(state)
        if hasattr(self, "n_components_"):
            vars(self).setdefault("outputs_", self.outputs)
            vars(self).setdefault("second_output_", self.second_output)
        if hasattr(self, "n_components_") and not hasattr(self, "encode_"):
            self._source, self.encode_ = self.encode, own_copy(self.encode)
            vars(self).setdefault("file_digest_", None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
