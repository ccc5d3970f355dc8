"""VAEEncoder: a variational autoencoder as a scikit-learn transformer."""

import copy
import warnings
from functools import partial
from numbers import Integral, Real
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted

from passive_pruner._common._base import BaseEncoder
from passive_pruner._common._callbacks import fit_task, without_callbacks
from passive_pruner._common._dask import accepts_dask, first_and_others, is_dask, values_of
from passive_pruner._common._state import pack_fitted, unpack_fitted
from passive_pruner._common._validation import (
    all_or_nothing,
    plain_array,
    seed_from,
    validate_numeric,
)
from passive_pruner._common._weights import read_weights, write_weights
from passive_pruner._pruning import prune_encoder
from passive_pruner.exceptions import CollapseWarning
from passive_pruner.regime import LatentMoments
from passive_pruner.regime import variance as variance_criterion
from passive_pruner.training._batches import BlockedRows, Rows, flat_images
from passive_pruner.training._distributed import n_processes
from passive_pruner.training._training import EPOCH_STEPS, train
from passive_pruner.training._width import find_width
from passive_pruner.vae import MLP, Architecture, BetaVAE, Gaussian, Likelihood, Objective
from passive_pruner.vae._likelihoods import LIKELIHOODS
from passive_pruner.vae._network import VAE, elbo_points, resolve_device, seeded_torch

# Held-out rows are read after every epoch; more of them would cost time and tell little more.
MAX_EVALUATION_ROWS = 1024
# Rows that the start values of a likelihood are taken from, and that a collapse is looked for in.
# Sparse data is written out densely for the first.
MAX_STATISTICS_ROWS = 2048
# Rows per chunk in which data passes through the network: the activations of a chunk stay in the
# cache of the processor.
CHUNK_ROWS = 1024

# Estimator -> (the weights_ it was built from, the module, the state of its optimiser). What
# lives here can always be rebuilt, so it stays out of pickles, copies and hashes.
_live: WeakKeyDictionary = WeakKeyDictionary()


@accepts_dask
class VAEEncoder(BaseEncoder):
    """Variational autoencoder that encodes rows into the posterior of its latent variables.

    Training minimises the negative log-likelihood plus the regulariser of `objective`, both in
    nats, summed over features and latent variables and averaged over rows. The budget is counted
    in gradient steps, so the same setting serves 500 rows and 5,000,000.

    Parameters
    ----------
    n_components : int or "auto", default=10
        Number of latent variables. Those that the data does not need become passive:
        :class:`PassiveVariableRemover` finds and removes them. "auto" first trains with more
        variables than needed, at most `max_steps` steps in all, and takes as many as carry more
        than 0.05 nats per row.
    objective : Objective or None, default=None
        What is minimised; None is ``BetaVAE(beta=1.0)``, the ELBO.
    likelihood : Likelihood, str or None, default=None
        Distribution of the data given a code; None is ``Gaussian()``, whose variance is learned.
        Names for likelihoods with default settings: "bernoulli", "categorical",
        "continuous_bernoulli", "gaussian", "negative_binomial" and "poisson".
    architecture : Architecture or None, default=None
        Encoder and decoder networks; None is ``MLP()``, two hidden layers of 256 ReLU units.
    output : {"mean", "sampled"}, default="mean"
        What :meth:`transform` returns: the mean representation, or the sampled representation,
        one draw from the posterior of each row.
    add_variance : bool, default=False
        Whether :meth:`transform` appends one column of posterior variances per code. The remover
        needs them for ``criterion="variance"`` and to find passive variables in sampled codes.
    allow_missing : bool, default=False
        Whether `X` may have NaN. Such cells are left out of the likelihood, and the encoder is
        told which cells are present; without it NaN is an error.
    max_steps : int, default=20000
        Most gradient steps that one call of :meth:`fit` takes.
    batch_size : int, default=256
        Most rows per gradient step. The rows of one pass are spread evenly over its batches.
    learning_rate : float, default=0.001
        Step size of Adam.
    kl_warmup_steps : int, default=0
        Gradient steps over which the weight of the regulariser grows from 0 to 1, counted like
        `n_steps_`. Variables that would collapse before the decoder can read them stay in use.
        What `history_` records has full weight throughout; early stopping begins after them.
    early_stopping : bool, default=True
        Whether to hold out rows, stop when the objective on them no longer improves, and restore
        the best weights. With the default objective this is the validation ELBO. Schedules of an
        objective count as finished when it is measured.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out; at least 1 and at most 1024 rows.
    n_iter_no_change : int, default=5
        Epochs of 100 gradient steps without an improvement by more than `tol` after which
        training stops.
    tol : float, default=0.001
        Improvement that counts, in nats per row.
    warm_start : bool, default=False
        Whether :meth:`fit` continues from the weights of the last fit.
    device : str, default="auto"
        Where the network runs: "cpu", "cuda", "cuda:1", "mps", or "auto" for the accelerator
        that is present. A fitted model whose device is missing is used on the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, batches, noise and the held-out rows; also of the draws of
        ``output="sampled"`` and :meth:`sample`. The global generators are left alone.
    verbose : int, default=0
        Whether to print one line per epoch: what `history_` records, the seconds since training
        began, and the ETA if early stopping does not end training sooner.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters of the fitted network, by their name in its torch state dict.
    history_ : list of dict
        One record per epoch of 100 gradient steps, measured on the held-out rows (without early
        stopping on up to 1024 training rows): "elbo", "reconstruction", "kl", "regularizer" and
        "objective" in nats per row, "n_active", the number of variables whose mean has a variance
        above 0.1, and per variable "variance_of_mean" and "mean_of_variance"; the parts of the
        objective, such as "total_correlation"; and "epoch", "step" and "seconds".
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of gradient steps, those of earlier calls included under `warm_start` and
        :meth:`partial_fit`.
    objective_, likelihood_, architecture_ : Objective, Likelihood, Architecture
        The components in use.
    n_components_ : int
        Number of latent variables.
    variable_numbers_ : ndarray of shape (`n_components_`,)
        Numbers of the variables before pruning; only after :meth:`pruned`.
    feature_shape_ : tuple of int
        Shape of one example: ``(n_features_in_,)``, or that of the images given to :meth:`fit`.
    is_bytes_ : bool
        Whether the encoder was fitted on images of bytes (uint8), which are divided by 255.
    n_features_in_ : int
        Number of columns of the training data, or of values per image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns; only where all of them are strings.

    Warns
    -----
    CollapseWarning
        If every latent variable is passive after :meth:`fit`.
    DivergenceWarning
        If the objective stops being finite; the last finite weights are kept.
    TrainingInterruptedWarning
        If training is interrupted from the keyboard after its first epoch.

    See Also
    --------
    PassiveVariableRemover : Removes the variables that carry no information.

    Notes
    -----
    The network is not kept: it is rebuilt from `weights_` when needed, so pickles, copies and
    hashes hold arrays only.

    A read-only memory map (``numpy.load(..., mmap_mode="r")``) of float32 is trained from without
    a copy.

    Where ``torch.distributed`` has a process group of several processes, :meth:`fit` and
    :meth:`partial_fit` have to be called by all of them, each with its own rows. They start from
    the weights of the first process, average the gradients of every step, and stop together with
    the same weights; a step then reads `batch_size` rows in each process. Everything else works
    on its own in each process.

    References
    ----------
    Kingma and Welling (2014), "Auto-Encoding Variational Bayes", arXiv 1312.6114.
    Bonheme and Grzes (2023), "Be More Active! Understanding the Differences between Mean and
    Sampled Representations of Variational Autoencoders", JMLR 24, arXiv 2109.12679.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import PassiveVariableRemover, VAEEncoder
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(
    ...     StandardScaler(),
    ...     VAEEncoder(max_steps=1000, random_state=0),
    ...     PassiveVariableRemover(),
    ...     LogisticRegression(),
    ... ).fit(X, y)
    >>> pipe.score(X, y) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "objective": [Objective, None],
        "likelihood": [Likelihood, StrOptions(set(LIKELIHOODS)), None],
        "architecture": [Architecture, None],
        "output": [StrOptions({"mean", "sampled"})],
        "add_variance": ["boolean"],
        "allow_missing": ["boolean"],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "kl_warmup_steps": [Interval(Integral, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=10,
        *,
        objective=None,
        likelihood=None,
        architecture=None,
        output="mean",
        add_variance=False,
        allow_missing=False,
        max_steps=20_000,
        batch_size=256,
        learning_rate=1e-3,
        kl_warmup_steps=0,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=5,
        tol=1e-3,
        warm_start=False,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.objective = objective
        self.likelihood = likelihood
        self.architecture = architecture
        self.output = output
        self.add_variance = add_variance
        self.allow_missing = allow_missing
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.kl_warmup_steps = kl_warmup_steps
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the autoencoder.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Numeric data, at least two rows. The blocks of a dask collection are read one after
            the other, in a new order in every pass; the first one stays in memory, and start
            values, held-out rows and the width for ``n_components="auto"`` come from it alone.
        y : None
            Ignored.

        Returns
        -------
        self : VAEEncoder

        Raises
        ------
        ValueError
            If `X` is not finite, numeric and two-dimensional, if the likelihood gives some of
            its values no density, or if training diverges in its first epoch.
        """
        n_epochs = -(-self.max_steps // EPOCH_STEPS)
        with fit_task(self, X, y, n_epochs=n_epochs) as task, all_or_nothing(self):
            continued = self.warm_start and hasattr(self, "weights_")
            X, others = first_and_others(X) if is_dask(X) else (X, [])
            X = self._begin(X, continued=continued, min_samples=2)
            if others:
                X = BlockedRows(X, [partial(self._read_block, block) for block in others])
            rows = np.arange(len(X))
            seed = self._seed(continued=continued)
            if self.early_stopping:
                n_held_out = int(np.ceil(self.validation_fraction * len(X)))
                n_held_out = min(n_held_out, len(X) - 1, MAX_EVALUATION_ROWS)
                shuffled = np.random.default_rng(seed).permutation(rows)
                eval_rows, rows = shuffled[:n_held_out], shuffled[n_held_out:]
            else:
                eval_rows = rows[:MAX_EVALUATION_ROWS]
            self._train(
                X,
                rows,
                eval_rows,
                seed=seed,
                n_steps=self.max_steps,
                continued=continued,
                task=task,
            )
            self._warn_if_collapsed(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Continue training with one pass over `X`.

        There is no early stopping. The first call decides the start values of a learned variance.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Numeric data. The blocks of a dask collection are read one after the other.
        y : None
            Ignored.

        Returns
        -------
        self : VAEEncoder
        """
        if is_dask(X):
            with all_or_nothing(self):
                for block in values_of(X):
                    self.partial_fit(block)
            return self
        with fit_task(self, X, y, n_epochs=None) as task, all_or_nothing(self):
            continued = hasattr(self, "weights_")
            if not continued and self.n_components == "auto":
                raise ValueError(
                    "n_components='auto' is found by training on all rows, which partial_fit does "
                    "not see. Give a number, or call fit on a sample first."
                )
            X = self._begin(X, continued=continued)
            rows = np.arange(len(X))
            self._train(
                X,
                rows,
                rows[:MAX_EVALUATION_ROWS],
                seed=self._seed(continued=continued),
                n_steps=-(-len(X) // self.batch_size),
                continued=continued,
                task=task,
                in_passes=True,
            )
        return self

    def _begin(self, X, *, continued, min_samples=1):
        """Settle the components and check the data that training starts from."""
        if not continued:
            self.objective_ = (self.objective or BetaVAE()).validated()
            self.architecture_ = (self.architecture or MLP()).validated()
            vars(self).pop("variable_numbers_", None)  # of an encoder that was pruned
        given, shape = X, getattr(X, "shape", ())
        X = self._rows(X, reset=not continued, ensure_min_samples=min_samples)
        if not continued:
            self.feature_shape_ = shape[1:] if len(shape) > 2 else (self.n_features_in_,)
            likelihood = self.likelihood or Gaussian()
            if isinstance(likelihood, str):
                likelihood = LIKELIHOODS[likelihood]()
            names = getattr(self, "feature_names_in_", None)
            self.likelihood_ = likelihood.validated().resolve(self.n_features_in_, names)
        for _, chunk in X.chunks(CHUNK_ROWS):
            self.likelihood_.check_data(chunk)
        if not continued:
            self.n_components_ = self.n_components
            if self.n_components == "auto":
                if n_processes() > 1:
                    raise ValueError(
                        "n_components='auto' is found on the rows of one process, and another "
                        "process may find another number. Fit on a sample before the process "
                        "group is made, and give the n_components_ that it finds."
                    )
                self.n_components_ = find_width(without_callbacks(self), given, self.n_features_in_)
        return X

    def _read_block(self, block):
        X = block.compute()
        return self._begin(X, continued=True) if X.shape[0] else None

    def _rows(self, X, *, reset, **kwargs):
        """Validate `X`, images included, and wrap it without a copy."""
        dtype = np.float32
        if (image_shape := getattr(self.architecture_, "image_shape", None)) is not None:
            X, dtype = flat_images(X, image_shape), [np.float32, np.uint8]
        X = validate_numeric(
            self,
            X,
            reset=reset,
            dtype=dtype,
            accept_sparse="csr",
            ensure_all_finite="allow-nan" if self.allow_missing else True,
            **kwargs,
        )
        is_bytes = X.dtype == np.uint8
        if reset:
            self.is_bytes_ = is_bytes
        elif self.is_bytes_ and not is_bytes and X.max() > 1:
            raise ValueError(
                f"X has floats up to {X.max():.6g}, but VAEEncoder was fitted on bytes, which it "
                "scales from 0..255 to 0..1. Pass bytes (uint8), or divide X by 255."
            )
        return Rows(X, divisor=255 if is_bytes else 1)

    def _train(self, X, rows, eval_rows, *, seed, n_steps, continued, task, in_passes=False):
        device = resolve_device(self.device)
        first_step = self.n_steps_ if continued else 0
        history = list(self.history_) if continued else []

        def fitted():
            return {
                "weights_": module.weights(),
                "history_": list(history),
                "n_iter_": len(history),
                "n_steps_": history[-1]["step"],
            }

        def end_epoch(record):
            history.append(record)
            return task.end_epoch(fitted)

        optimizer_state = None
        with seeded_torch(seed, device):
            if continued:
                module = self._module(device)
                # Training changes the module in place; should it fail, `weights_` is what holds.
                *_, kept_state = _live.pop(self)
                if in_passes:
                    optimizer_state = kept_state
            else:
                module = self._build_module(X[:: -(-len(X) // MAX_STATISTICS_ROWS)])
            training = train(
                module,
                self.objective_,
                X,
                rows=rows,
                eval_rows=eval_rows,
                n_steps=n_steps,
                first_step=first_step,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                kl_warmup_steps=self.kl_warmup_steps,
                device=device,
                patience=self.n_iter_no_change if self.early_stopping and not in_passes else None,
                tol=self.tol,
                seed=seed,
                verbose=bool(self.verbose),
                optimizer_state=optimizer_state,
                on_epoch_begin=task.begin_epoch,
                on_epoch=end_epoch,
            )
        self.weights_ = module.weights()
        self.history_ = history
        self.n_iter_ = len(self.history_)
        self.n_steps_ = training.n_steps
        _live[self] = (self.weights_, module.eval(), training.optimizer_state)

    def _build_module(self, X):
        """Make an untrained network; its learned variance starts from the rows of `X`."""
        n_features = X.shape[1]
        encoder, decoder = self.architecture_.build(
            n_features * (2 if self.allow_missing else 1),
            self.n_components_,
            self.likelihood_.n_outputs(n_features),
        )
        likelihood = self.likelihood_.build(X, allow_missing=self.allow_missing)
        return VAE(encoder, decoder, likelihood, self.allow_missing)

    def _module(self, device=None):
        """Return the fitted network, rebuilt if `weights_` are not those it was built from."""
        weights, module, _ = _live.get(self, (None, None, None))
        if weights is not self.weights_:
            with seeded_torch(0, torch.device("cpu")):  # layers draw weights when they are made
                module = self._build_module(np.zeros((1, self.n_features_in_), dtype=np.float32))
            module = module.load_weights(self.weights_).eval()
            _live[self] = (self.weights_, module, None)
        device = device or resolve_device(self.device, or_cpu=True)
        # Moving a module to where it is already would take longer than encoding a few rows.
        present = next(module.parameters()).device
        if present.type != device.type or device.index not in (None, present.index):
            module.to(device)
        return module

    def _seed(self, *, continued):
        # Without the number of steps every call that continues would repeat the same draws.
        return seed_from(self.random_state) + (self.n_steps_ if continued else 0)

    def _warn_if_collapsed(self, X):
        posterior = self._posterior(X.first(MAX_STATISTICS_ROWS))
        if (variance_criterion(LatentMoments.from_batch(*posterior), 0.1) == "passive").all():
            warnings.warn(
                f"All {self.n_components_} latent variables are passive: the codes carry no "
                "information. Scale the columns of X (StandardScaler), raise max_steps, lower the "
                "weight of the KL divergence in `objective`, or choose a likelihood that fits the "
                "data.",
                CollapseWarning,
                stacklevel=3,
            )

    def inverse_transform(self, Z):
        """Decode codes into the mean of the likelihood.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components) or (n_samples, 2 * n_components)
            Codes, dask collections included; the second form, for encoders with `add_variance`, is
            what :meth:`transform` returns, and its variances are not needed.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Expected data, in the units of the training data. For a dask collection a lazy one of
            the same kind.

        Raises
        ------
        ValueError
            If the number of columns is another.
        """
        check_is_fitted(self)
        Z = check_array(Z, dtype=np.float32)
        if Z.shape[1] not in (self.n_components_, self._n_features_out):
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but this VAEEncoder decodes codes of "
                f"{self.n_components_} columns."
            )
        module = self._module()
        return self._decode(Z[:, : self.n_components_], module.mean)

    def sample(self, n_samples=1):
        """Draw rows from the model: codes from the prior, then data from the likelihood.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
        """
        check_is_fitted(self)
        module = self._module()
        seed = seed_from(self.random_state)
        Z = np.random.default_rng(seed).standard_normal(
            (n_samples, self.n_components_), dtype=np.float32
        )
        with seeded_torch(seed, next(module.parameters()).device):
            return self._decode(Z, module.sample)

    def pruned(self, keep):
        """Cut latent variables out of the fitted network.

        The outputs of dropped variables are cut off the encoder, and their inputs off the decoder,
        which then decodes as if they were at 0, the mean of their prior.

        Parameters
        ----------
        keep : array-like of bool of shape (n_components,), or of int
            Mask of the variables to keep, such as `PassiveVariableRemover.get_support` gives for
            mean codes, or their numbers.

        Returns
        -------
        encoder : VAEEncoder
            A smaller fitted encoder. Its codes are the kept columns of those of this encoder, with
            their names; draws with ``output="sampled"`` are new draws.

        Raises
        ------
        ValueError
            If `keep` is neither or keeps nothing, or if the network cannot be cut.

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
        return prune_encoder(self, keep)

    def save_weights(self, path):
        """Write the weights to a safetensors file, by their names in the torch state dict.

        Parameters
        ----------
        path : str or path-like
            The file to write.

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
        write_weights(self.weights_, path)

    def load_weights(self, path):
        """Replace the weights by those of a safetensors file.

        The file may come from :meth:`save_weights` or from ``safetensors.torch.save_file`` on the
        state dict of the same network; half precision is widened. `history_` stays that of the
        last fit.

        Parameters
        ----------
        path : str or path-like
            The file to read. Reading it executes nothing.

        Returns
        -------
        self : VAEEncoder
            Unchanged if an error is raised.

        Raises
        ------
        NotFittedError
            If the encoder is not fitted: its fit decides names and shapes, one step is enough.
        ValueError
            If names or shapes differ from those of `weights_`, if a value is not finite, or if
            the file holds other values than were saved.
        safetensors.SafetensorError
            If the file is no complete safetensors file.
        """
        check_is_fitted(self)
        self.weights_ = read_weights(path, self.weights_)
        return self

    def score_samples(self, X):
        """Evidence lower bound (ELBO) of each row.

        The expectation over the posterior is taken at 16 fixed quasi-random points, the same for
        every row and every call, so that the score of a row depends on that row alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numeric data.

        Returns
        -------
        elbo : ndarray of shape (n_samples,), float64
            In nats.
        """
        X = self._validate(X)
        # In float64, because a sum over many features of float32 would depend in its last digits
        # on the number of rows that share a matrix product.
        device = resolve_device(self.device, or_cpu=True)
        if device.type == "mps":  # which has no float64
            device = torch.device("cpu")
        module = copy.deepcopy(self._module()).to(device).double()
        noise = elbo_points(self.n_components_)
        elbo = np.empty(len(X))
        for chunk, x in self._chunks(X, module):
            elbo[chunk] = module.elbo(x.double(), noise.to(device)).cpu()
        return elbo

    def score(self, X, y=None):
        """Mean ELBO of the rows, in nats: higher is better, so grid searches can maximise it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numeric data.
        y : None
            Ignored.

        Returns
        -------
        elbo : float
        """
        return float(self.score_samples(X).mean())

    def _validate(self, X):
        check_is_fitted(self)
        if not self.allow_missing and not self.is_bytes_:
            plain = plain_array(self, X, np.float32)
            if plain is not None:
                return Rows(plain)
        return self._rows(X, reset=False)

    def _part(self, X, rows):
        return X.part(rows)

    def _encode(self, X, mean, variance):
        module = self._module()
        for chunk, x in self._chunks(X, module):
            mean_x, log_variance = module.encode(x)
            mean[chunk] = mean_x.numpy(force=True)
            if variance is not None:
                variance[chunk] = log_variance.exp().numpy(force=True)

    def _decode(self, Z, decode):
        X = np.empty((len(Z), self.n_features_in_), dtype=np.float32)
        for chunk, z in self._chunks(Rows(Z), self._module()):
            X[chunk] = decode(z).numpy(force=True)
        return X.reshape(-1, *self.feature_shape_)

    @staticmethod
    def _chunks(X, module):
        device = next(module.parameters()).device
        with torch.inference_mode():
            for chunk, rows in X.chunks(CHUNK_ROWS):
                yield chunk, torch.from_numpy(rows).to(device)

    def _sk_visual_block_(self):
        """Put the components into the HTML representation, as soon as they are known.

        scikit-learn falls back to a plain table if this raises, as it does before version 1.7.
        """
        from sklearn.utils._repr_html.estimator import _VisualBlock

        components = {
            name: getattr(self, f"{name}_", getattr(self, name))
            for name in ("objective", "likelihood", "architecture")
        }
        shown = {k: v for k, v in components.items() if not (v is None or isinstance(v, str))}
        if not shown:
            return _VisualBlock("single", self, names=type(self).__name__, name_details=str(self))
        return _VisualBlock(
            "parallel",
            list(shown.values()),
            names=[f"{name}: {type(value).__name__}" for name, value in shown.items()],
            name_details=[str(value) for value in shown.values()],
        )

    def __getstate__(self):
        return pack_fitted(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(unpack_fitted(state))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.allow_missing
        return tags
