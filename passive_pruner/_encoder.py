"""VAEEncoder: a variational autoencoder as a scikit-learn transformer."""

import copy
import warnings
from numbers import Integral, Real
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted

from passive_pruner._codes import Posterior, code_names
from passive_pruner._validation import all_or_nothing, seed_from, validate_numeric
from passive_pruner.exceptions import CollapseWarning
from passive_pruner.regime import LatentMoments
from passive_pruner.regime import variance as variance_criterion
from passive_pruner.vae import MLP, Architecture, BetaVAE, Gaussian, Likelihood, Objective
from passive_pruner.vae._likelihoods import LIKELIHOODS
from passive_pruner.vae._module import VAE, elbo_points, resolve_device, seeded_torch
from passive_pruner.vae._training import train

# Held-out rows are read after every epoch; more of them would cost time and tell little more.
MAX_EVALUATION_ROWS = 4096
# Rows per chunk in which data passes through the network: the activations of a chunk stay in the
# cache of the processor.
CHUNK_ROWS = 1024

# Estimator -> (the weights_ it was built from, the module, the state of its optimiser). What
# lives here can always be rebuilt, so it stays out of pickles, copies and hashes.
_live: WeakKeyDictionary = WeakKeyDictionary()


class VAEEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Variational autoencoder that encodes rows into the posterior of its latent variables.

    Training minimises the negative log-likelihood plus the regulariser of `objective`, both in
    nats, summed over features and latent variables and averaged over rows. The budget is counted
    in gradient steps, so the same setting serves 500 rows and 5,000,000.

    Parameters
    ----------
    n_components : int, default=10
        Number of latent variables. Those that the data does not need become passive:
        :class:`PassiveVariableRemover` finds and removes them.
    objective : Objective or None, default=None
        What is minimised; None is ``BetaVAE(beta=1.0)``, the ELBO.
    likelihood : Likelihood, {"gaussian", "bernoulli"} or None, default=None
        Distribution of the data given a code; None is ``Gaussian()``, whose variance is learned.
    architecture : Architecture or None, default=None
        Encoder and decoder networks; None is ``MLP()``, two hidden layers of 256 ReLU units.
    output : {"mean", "sampled"}, default="mean"
        What :meth:`transform` returns: the mean representation, or the sampled representation,
        one draw from the posterior of each row.
    add_variance : bool, default=False
        Whether :meth:`transform` appends one column of posterior variances per code. The remover
        needs them for ``criterion="variance"`` and to find passive variables in sampled codes.
    max_steps : int, default=20000
        Most gradient steps that one call of :meth:`fit` takes.
    batch_size : int, default=256
        Most rows per gradient step. The rows of one pass are spread evenly over its batches.
    learning_rate : float, default=0.001
        Step size of Adam.
    early_stopping : bool, default=True
        Whether to hold out rows, stop when the objective on them no longer improves, and restore
        the best weights. With the default objective this is the validation ELBO. Schedules of an
        objective count as finished when it is measured.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out; at least 1 and at most 4096 rows.
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
        Whether to print one line per epoch.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters of the fitted network, by their name in its torch state dict.
    history_ : list of dict
        One record per epoch of 100 gradient steps, measured on the held-out rows (without early
        stopping on up to 4096 training rows): "elbo", "reconstruction", "kl", "regularizer" and
        "objective" in nats per row, "n_active", the number of variables whose mean has a variance
        above 0.1, and per variable "variance_of_mean" and "mean_of_variance"; also "epoch", "step"
        and "seconds".
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of gradient steps, those of earlier calls included under `warm_start` and
        :meth:`partial_fit`.
    objective_, likelihood_, architecture_ : Objective, Likelihood, Architecture
        The components in use.
    n_components_ : int
        Number of latent variables.
    n_features_in_ : int
        Number of columns of the training data.
    feature_names_in_ : ndarray of shape (n_features_in_,)
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
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "objective": [Objective, None],
        "likelihood": [Likelihood, StrOptions(set(LIKELIHOODS)), None],
        "architecture": [Architecture, None],
        "output": [StrOptions({"mean", "sampled"})],
        "add_variance": ["boolean"],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
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
        max_steps=20_000,
        batch_size=256,
        learning_rate=1e-3,
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
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
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
        X : array-like of shape (n_samples, n_features)
            Numeric data, at least two rows.
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
        with all_or_nothing(self):
            continued = self.warm_start and hasattr(self, "weights_")
            X = validate_numeric(
                self, X, dtype=np.float32, ensure_min_samples=2, reset=not continued
            )
            rows = np.arange(len(X))
            seed = self._seed(continued=continued)
            if self.early_stopping:
                n_held_out = int(np.ceil(self.validation_fraction * len(X)))
                n_held_out = min(n_held_out, len(X) - 1, MAX_EVALUATION_ROWS)
                shuffled = np.random.default_rng(seed).permutation(rows)
                eval_rows, rows = shuffled[:n_held_out], shuffled[n_held_out:]
            else:
                eval_rows = rows[:MAX_EVALUATION_ROWS]
            self._train(X, rows, eval_rows, seed=seed, n_steps=self.max_steps, continued=continued)
            self._warn_if_collapsed(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Continue training with one pass over `X`.

        There is no early stopping. The first call decides the start values of a learned variance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numeric data.
        y : None
            Ignored.

        Returns
        -------
        self : VAEEncoder
        """
        with all_or_nothing(self):
            continued = hasattr(self, "weights_")
            X = validate_numeric(self, X, dtype=np.float32, reset=not continued)
            rows = np.arange(len(X))
            self._train(
                X,
                rows,
                rows[:MAX_EVALUATION_ROWS],
                seed=self._seed(continued=continued),
                n_steps=-(-len(X) // self.batch_size),
                continued=continued,
                in_passes=True,
            )
        return self

    def _train(self, X, rows, eval_rows, *, seed, n_steps, continued, in_passes=False):
        device = resolve_device(self.device)
        first_step = self.n_steps_ if continued else 0
        history = self.history_ if continued else []
        optimizer_state = None
        with seeded_torch(seed, device):
            if continued:
                self.likelihood_.check_data(X)
                module = self._module(device)
                # Training changes the module in place; should it fail, `weights_` is what holds.
                *_, kept_state = _live.pop(self)
                if in_passes:
                    optimizer_state = kept_state
            else:
                self.objective_ = (self.objective or BetaVAE()).validated()
                likelihood = self.likelihood or Gaussian()
                if isinstance(likelihood, str):
                    likelihood = LIKELIHOODS[likelihood]()
                self.likelihood_ = likelihood.validated()
                self.architecture_ = (self.architecture or MLP()).validated()
                self.n_components_ = self.n_components
                self.likelihood_.check_data(X)
                module = self._build_module(X[:: -(-len(X) // MAX_EVALUATION_ROWS)])
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
                device=device,
                patience=self.n_iter_no_change if self.early_stopping and not in_passes else None,
                tol=self.tol,
                seed=seed,
                verbose=bool(self.verbose),
                optimizer_state=optimizer_state,
            )
        self.weights_ = module.weights()
        self.history_ = history + training.history
        self.n_iter_ = len(self.history_)
        self.n_steps_ = training.n_steps
        _live[self] = (self.weights_, module.eval(), training.optimizer_state)

    def _build_module(self, X):
        """Make an untrained network; its learned variance starts from the rows of `X`."""
        n_features = X.shape[1]
        encoder, decoder = self.architecture_.build(
            n_features, self.n_components_, self.likelihood_.n_outputs(n_features)
        )
        return VAE(encoder, decoder, self.likelihood_.build(X))

    def _module(self, device=None):
        """Return the fitted network, rebuilt if `weights_` are not those it was built from."""
        weights, module, _ = _live.get(self, (None, None, None))
        if weights is not self.weights_:
            module = self._build_module(np.zeros((1, self.n_features_in_), dtype=np.float32))
            module = module.load_weights(self.weights_).eval()
            _live[self] = (self.weights_, module, None)
        return module.to(device or resolve_device(self.device, or_cpu=True))

    def _seed(self, *, continued):
        # Without the number of steps every call that continues would repeat the same draws.
        return seed_from(self.random_state) + (self.n_steps_ if continued else 0)

    def _warn_if_collapsed(self, X):
        posterior = self._posterior(X[:MAX_EVALUATION_ROWS])
        if (variance_criterion(LatentMoments.from_batch(*posterior), 0.1) == "passive").all():
            warnings.warn(
                f"All {self.n_components_} latent variables are passive: the codes carry no "
                "information. Scale the columns of X (StandardScaler), raise max_steps, lower the "
                "weight of the KL divergence in `objective`, or choose a likelihood that fits the "
                "data.",
                CollapseWarning,
                stacklevel=3,
            )

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numeric data.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components) or (n_samples, 2 * n_components), float32
            Posterior means, or one draw from each posterior with ``output="sampled"``; with
            `add_variance` followed by the posterior variances.
        """
        X = self._validate(X)
        d = self.n_components_
        columns = np.empty((len(X), 2 * d if self._needs_variance else d), dtype=np.float32)
        codes, variance = columns[:, :d], columns[:, d:]
        self._encode(X, codes, variance if self._needs_variance else None)
        if self.output == "sampled":
            noise = np.random.default_rng(seed_from(self.random_state))
            codes += np.sqrt(variance) * noise.standard_normal(codes.shape, dtype=np.float32)
        return columns if self.add_variance else codes

    @property
    def _needs_variance(self):
        return self.add_variance or self.output == "sampled"

    def posterior(self, X):
        """Posterior of the latent variables for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numeric data.

        Returns
        -------
        posterior : Posterior
            Named tuple of `mean` and `variance`, both of shape (n_samples, n_components), float32.
        """
        return self._posterior(self._validate(X))

    def inverse_transform(self, Z):
        """Decode codes into the mean of the likelihood.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components) or (n_samples, 2 * n_components)
            Codes; the second form, for encoders with `add_variance`, is what :meth:`transform`
            returns, and its variances are not needed.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Expected data, in the units of the training data.

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

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str
            ``vaeencoder0``, ``vaeencoder1``, ... for means, ``vaeencoder0_sampled``, ... for
            samples and ``vaeencoder0_variance``, ... for variances.
        """
        check_is_fitted(self)
        return code_names(
            type(self).__name__.lower(),
            self.n_components_,
            sampled=self.output == "sampled",
            add_variance=self.add_variance,
        )

    @property
    def _n_features_out(self):
        return self.n_components_ * (2 if self.add_variance else 1)

    def _validate(self, X):
        check_is_fitted(self)
        return validate_numeric(self, X, dtype=np.float32, reset=False)

    def _posterior(self, X):
        shape = (len(X), self.n_components_)
        posterior = Posterior(np.empty(shape, np.float32), np.empty(shape, np.float32))
        self._encode(X, *posterior)
        return posterior

    def _encode(self, X, mean, variance):
        """Write the posterior of `X` into `mean` and, unless it is None, `variance`."""
        module = self._module()
        for chunk, x in self._chunks(X, module):
            mean_x, log_variance = module.encode(x)
            mean[chunk] = mean_x.cpu()
            if variance is not None:
                variance[chunk] = log_variance.exp().cpu()

    def _decode(self, Z, decode):
        X = np.empty((len(Z), self.n_features_in_), dtype=np.float32)
        for chunk, z in self._chunks(Z, self._module()):
            X[chunk] = decode(z).cpu()
        return X

    @staticmethod
    def _chunks(X, module):
        device = next(module.parameters()).device
        with torch.inference_mode():
            for start in range(0, len(X), CHUNK_ROWS):
                chunk = slice(start, start + CHUNK_ROWS)
                yield chunk, torch.tensor(X[chunk], device=device)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = self.output == "sampled"
        return tags
