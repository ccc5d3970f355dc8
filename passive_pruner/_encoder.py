"""VAEEncoder: a variational autoencoder as a scikit-learn transformer."""

from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from passive_pruner._common._callbacks import fit_task
from passive_pruner._common._dask import accepts_dask, is_dask, values_of
from passive_pruner._common._rows import BlockedRows
from passive_pruner._common._sample_weight import checked_weights
from passive_pruner._common._typing import Float64Array, MatrixLike, RandomState, checks_parameters
from passive_pruner._common._validation import all_or_nothing
from passive_pruner._trained import MAX_EVALUATION_ROWS, TrainedVAE
from passive_pruner.vae import Architecture, Likelihood, Objective
from passive_pruner.vae._likelihoods import LIKELIHOODS


@accepts_dask
class VAEEncoder(TrainedVAE):
    """Variational autoencoder that encodes rows into the posterior of its latent variables.

    Training minimises the negative log-likelihood plus the regulariser of `objective`, both in
    nats, summed over features and latent variables and averaged over rows. The training budget is
    counted in gradient steps, so the same setting suits 500 rows and 5,000,000.

    Parameters
    ----------
    n_components : int or "auto", default=10
        Number of latent variables. Variables that the data does not need become passive, and
        :class:`PassiveVariableRemover` removes them. "auto" chooses the number. After a start at
        factor analysis it is, before training, the number of factors that are not functions of
        other factors. After a random start, training begins with as many variables as columns, at
        most 64, or more if all of them are needed. Variables with a KL divergence of at most 0.05
        nats per row are then cut out of the network, and training continues with the others for at
        most a fifth of the previous steps.
    objective : Objective or None, default=None
        Objective that training minimises. None means ``BetaVAE(beta=1.0)``, the negative ELBO.
    likelihood : Likelihood, str, dict or None, default=None
        Distribution of the data given a code. None means ``Gaussian()``, which learns a variance
        per column, or "auto" for a table with categories (`categorical_features`). Likelihoods with
        default settings can be given by name: "bernoulli", "categorical", "continuous_bernoulli",
        "gaussian", "negative_binomial" and "poisson".

        "auto" chooses a likelihood per column: categorical for categories, Bernoulli for columns
        with two values such as booleans, and negative binomial for integers that start at 0 or 1 if
        it fits them better than a rounded Gaussian with the same mean and variance; all other
        columns are Gaussian. A dict sets the likelihood of single columns and leaves the others to
        "auto": ``{"visits": "poisson"}``. Its keys are names, or integer positions as in
        `categorical_features`. `columns_` shows each choice and its reason.
    architecture : Architecture or None, default=None
        Encoder and decoder networks. None means ``MLP()`` with two hidden layers of 256 ReLU units;
        it has a `linear_path` if `init` is "factor_analysis", or "auto" with a Gaussian likelihood.
    init : {"auto", "random", "factor_analysis"}, default="auto"
        Initial model. "factor_analysis" fits a factor analysis to the training rows in one pass
        over them and initialises the network as that model. Variables without a factor in the data
        start passive, and so do factors that are nonlinear functions of stronger ones. The initial
        model is epoch 0 of `history_`, so with early stopping the result is never worse on the
        held-out rows. This needs an MLP with `linear_path`, and a likelihood of which some part is
        Gaussian, Bernoulli, categorical or a count likelihood without exposure; other likelihoods,
        ``Conv`` and custom networks raise an error.

        "auto" means "factor_analysis" in :meth:`fit` if the likelihood is Gaussian and the
        architecture is None or an MLP with `linear_path`; if the data has no factor at all,
        training continues from random weights. In all other cases it means "random".
    output : {"mean", "sampled"}, default="mean"
        What :meth:`transform` returns: the mean representation, or the sampled representation,
        one draw from the posterior of each row.
    add_variance : bool, default=False
        Whether :meth:`transform` appends one column of posterior variances per code. The remover
        needs them for ``criterion="variance"`` and to find passive variables in sampled codes.
    whiten : bool, default=True
        Whether codes keep the scale of the prior, on which every informative variable has a
        variance of about 1. False multiplies each code by its `code_scale_`: the mean square of a
        column is then the variance that it explains, and distances between codes resemble distances
        between decoded rows, as with `whiten` of PCA. It applies to :meth:`transform` and
        :meth:`inverse_transform`; :meth:`posterior` always has the scale of the prior.
    categorical_features : array-like of bool, int or str, "from_dtype" or None, \
            default="from_dtype"
        Columns that hold categories: a mask, positions or names. "from_dtype" selects the columns
        of category, text or boolean type in a pandas or polars DataFrame, and reads arrays as
        numbers, unless `likelihood` is "auto" or a dict. None selects no column. As in scikit-learn
        an integer is a position, never a name. Needs a `likelihood` that is None, "auto" or a dict.
    handle_unknown : {"error", "ignore"}, default="error"
        How to handle a category that was not present in :meth:`fit`. "ignore" treats such a cell as
        missing and warns. As in scikit-learn's encoders, a value that is set after :meth:`fit`
        takes effect at once; "ignore" raises an error if the network does not support missing cells
        (`allow_missing_`).
    allow_missing : bool, default=False
        Whether `X` may contain NaN. Such cells are left out of the likelihood, and the encoder gets
        a mask of the present cells as input. If False, NaN raises an error, except in those columns
        of a table with categories that have missing cells in :meth:`fit`.
    max_steps : int, default=20000
        Maximum number of gradient steps of one call of :meth:`fit`. If ``n_components="auto"`` cuts
        variables out, a sixth of them is reserved for the remaining network. Custom networks that
        cannot be cut are trained anew, after a search of up to as many steps.
    batch_size : int, default=256
        Maximum number of rows per gradient step. Rows are distributed evenly over the batches.
    learning_rate : float, default=0.001
        Step size of Adam.
    kl_warmup_steps : int, default=0
        Number of gradient steps, counted like `n_steps_`, over which the weight of the regulariser
        increases from 0 to 1. This keeps variables in use that would collapse before the decoder
        has learned to use them. Parameters of the likelihood, such as its variance, are not trained
        meanwhile, as they would adapt to errors that the full weight does not allow. `history_`
        always records the full weight; the patience of early stopping starts after the warm-up.
    early_stopping : bool, default=True
        Whether to hold out rows, stop when the objective on them no longer improves, and restore
        the best weights. The weights compared are running averages over about 50 steps. With the
        default objective this is the negative validation ELBO. The objective is measured with its
        schedules at their end.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out; at least 1 and at most 1024 rows.
    n_iter_no_change : int, default=5
        Number of epochs of 100 gradient steps without an improvement by more than `tol` after which
        training stops. After a start at factor analysis epochs have 25 steps, and training first
        continues from the best weights twice, each time with the learning rate divided by 5.
    tol : float, default=0.001
        Smallest improvement that early stopping counts, in nats per row.
    warm_start : bool, default=False
        Whether :meth:`fit` continues from the weights of the last fit. `n_components`,
        `likelihood`, `architecture` and `allow_missing`, which define the network, cannot change
        then.
    device : str, default="auto"
        Device of the network: "cpu", "cuda", "cuda:1", "mps", or "auto" for an available
        accelerator. A fitted model whose device is not available runs on the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, batches, noise and the held-out rows; also of the draws of
        ``output="sampled"`` and :meth:`sample`. The same int gives the same model in any thread or
        process. Global generators are not used.
    verbose : int or "auto", default="auto"
        1 prints one line per epoch with the values of `history_`, the seconds since training began,
        and the remaining time without early stopping. 0 prints nothing. "auto" writes one line to
        the standard error stream after ten seconds, updates it, and removes it at the end; it does
        so only in the main thread of the main process, with a terminal or notebook and without
        callbacks.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        Parameters of the fitted network, by their name in its torch state dict.
    history_ : list of dict
        One record per epoch of 100 gradient steps, or 25 after a start at factor analysis,
        measured on the held-out rows (without early stopping on up to 1024 training rows):
        "elbo", "reconstruction", "kl", "regularizer" and "objective" in nats per row, "n_active",
        the number of variables whose mean has a variance above 0.1, and per variable
        "variance_of_mean" and "mean_of_variance"; the parts of the objective, such as
        "total_correlation"; and "epoch", "step" and "seconds". Epochs and steps count on through
        warm starts and :meth:`partial_fit`.
    best_epoch_ : int
        Epoch of the record in `history_` that belongs to `weights_`: the one with the lowest
        objective with early stopping, otherwise the last.
    explained_variance_ : ndarray of shape (`n_components_`,)
        Variance explained by every variable: the mean squared change of the decoded rows, summed
        over columns, when the mean of the variable is replaced by 0. Decoded rows are means of the
        likelihood on the scale of the network inputs, so that units do not matter. It is estimated
        from at most 512 rows of the last :meth:`fit`, drawn with the seed, or from an eighth of the
        rows of the last :meth:`partial_fit`, at least 64; of a dask collection, from rows of the
        first block.
    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        Share of the variance of the decoded rows that every variable explains. The shares sum to 1
        if the effects of the variables are additive, as in a linear decoder with uncorrelated
        codes.
    code_scale_ : ndarray of shape (`n_components_`,)
        Factors by which ``whiten=False`` multiplies the codes: the square root of
        `explained_variance_` divided by the mean square of the codes.
    training_state_ : dict of str to ndarray
        State of Adam, and of the discriminator if the objective has one, from which the next
        :meth:`partial_fit` continues; only after :meth:`partial_fit`.
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of gradient steps, including those of earlier calls with `warm_start` and
        :meth:`partial_fit`.
    objective_, likelihood_, architecture_ : Objective, Likelihood, Architecture
        The components in use.
    init_ : {"random", "factor_analysis"}
        The start in use.
    n_components_ : int
        Number of latent variables.
    variable_numbers_ : ndarray of shape (`n_components_`,)
        Numbers of the variables before pruning; only after :meth:`pruned`.
    feature_shape_ : tuple of int
        Shape of one example: ``(n_features_in_,)``, or that of the images given to :meth:`fit`.
    is_bytes_ : bool
        Whether the encoder was fitted on images of bytes (uint8). Byte and float images cannot be
        exchanged.
    byte_divisor_ : float
        Divisor of bytes: 255, or 1 if all bytes of the training data were 0 or 1.
    origin_ : ndarray of shape (`n_features_in_`,), float64
        Offset that is subtracted from every column before conversion to float32: the mean of
        columns whose values float32 could not distinguish, such as time stamps, and 0 otherwise.
    allow_missing_ : bool
        Whether the network supports missing cells.
    columns_ : Columns or None
        For a table with categories, the description of its columns. It prints as a table of their
        likelihoods with the reason for each.
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
        If :meth:`fit` is interrupted from the keyboard after its first epoch; the weights of the
        last finished epoch are kept, or with early stopping those of the best.
    ScheduleWarning
        If the warm-up or a schedule of the objective takes more steps than training may take.
    FirstBatchWarning
        If the first batch of :meth:`partial_fit` has fewer than 10 rows or identical rows only, or
        if later rows are far from it.
    PrecisionWarning
        If float32 cannot distinguish the values of a column whose likelihood has a fixed origin.
    UnknownCategoryWarning
        If `X` has categories that were not present in fit and `handle_unknown` is "ignore".

    See Also
    --------
    PassiveVariableRemover : Removes the passive variables from the codes.

    Notes
    -----
    The network is rebuilt from `weights_` when needed, so pickles, copies and hashes hold arrays
    only. These arrays are read-only; to change weights, assign other arrays to `weights_`.

    Custom networks (:class:`~passive_pruner.vae.FromFactory`) may draw random numbers, as dropout
    does; these are seeded by `random_state` too. In evaluation they draw the same numbers every
    time.

    A start at factor analysis uses correlations only. If the data has correlations as well as
    structure without correlation, training may miss the latter: compare the :meth:`score` with that
    of a random start. On images a random start is better.

    Training reads a float32 memory map (``numpy.load(..., mmap_mode="r")``) without a copy.

    Where ``torch.distributed`` has a process group of several processes, :meth:`fit` and
    :meth:`partial_fit` have to be called by all of them, each with its own rows. They start from
    the weights of the first process, average the gradients of every step, and stop together with
    the same weights; a step then reads `batch_size` rows in each process. All other methods work
    independently in each process.

    All estimates that fit makes from rows (standardisation, initial model, noise, explained
    variance) use `sample_weight`, with the effective number of rows (sum w)^2 / sum w^2 instead of
    the number of rows. Each training pass draws rows in proportion to their weights (systematic
    sampling), so that for every objective the expected gradient is that of the weighted objective.
    A fit with integer weights therefore has the same optimum as a fit on repeated rows, but not the
    same result: the latter uses other random numbers, treats copies as independent rows, and can
    hold out a row whose copy it trains on. If all nonzero weights are equal, the result is bit for
    bit that of a fit on the rows with nonzero weight.

    References
    ----------
    Kingma and Welling (2014), "Auto-Encoding Variational Bayes", arXiv 1312.6114.
    Lucas, Tucker, Grosse and Norouzi (2019), "Don't Blame the ELBO! A Linear VAE Perspective on
    Posterior Collapse", NeurIPS, arXiv 1911.02469.
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

    weights_: dict[str, np.ndarray]
    history_: list[dict[str, Any]]
    explained_variance_: Float64Array
    explained_variance_ratio_: Float64Array
    code_scale_: Float64Array
    objective_: Objective
    likelihood_: Likelihood
    architecture_: Architecture
    n_components_: int
    n_features_in_: int
    n_iter_: int
    n_steps_: int
    best_epoch_: int
    feature_shape_: tuple[int, ...]

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "objective": [Objective, None],
        "likelihood": [Likelihood, StrOptions({"auto", *LIKELIHOODS}), dict, None],
        "architecture": [Architecture, None],
        "init": [StrOptions({"auto", "random", "factor_analysis"})],
        "output": [StrOptions({"mean", "sampled"})],
        "add_variance": ["boolean"],
        "whiten": ["boolean"],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "handle_unknown": [StrOptions({"error", "ignore"})],
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
        "verbose": ["verbose", StrOptions({"auto"})],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = 10,
        *,
        objective: Objective | None = None,
        likelihood: Likelihood | str | None = None,
        architecture: Architecture | None = None,
        init: Literal["auto", "random", "factor_analysis"] = "auto",
        output: Literal["mean", "sampled"] = "mean",
        add_variance: bool = False,
        whiten: bool = True,
        categorical_features: ArrayLike | str | None = "from_dtype",
        handle_unknown: Literal["error", "ignore"] = "error",
        allow_missing: bool = False,
        max_steps: int = 20_000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        kl_warmup_steps: int = 0,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-3,
        warm_start: bool = False,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int | Literal["auto"] = "auto",
    ) -> None:
        self.n_components = n_components
        self.objective = objective
        self.likelihood = likelihood
        self.architecture = architecture
        self.init = init
        self.output = output
        self.add_variance = add_variance
        self.whiten = whiten
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
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

    @checks_parameters
    def fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the autoencoder.

        Parameters
        ----------
        X : array-like, DataFrame, dask array or dask DataFrame of shape (n_samples, n_features)
            Numeric data or a table with categories; at least two rows. The blocks of a dask
            collection are read one after the other, in a new order in every pass. The first block
            stays in memory; initial values, held-out rows and the rows that determine
            ``n_components="auto"`` are taken from it alone.
        y : None, default=None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in any unit; rows of weight 0 are ignored. For a dask collection, a
            dask array or Series with the same blocks, which is read twice. See Notes.

        Returns
        -------
        self : VAEEncoder
            The fitted encoder. It is unchanged if an error is raised.

        Raises
        ------
        ValueError
            If `X` is not finite, not numeric or categorical, or not two-dimensional, if some of its
            values have no density under the likelihood, or if training diverges in its first epoch.
            If a weight is negative, all weights are 0, or the likelihood does not support weights.
        """
        continued = self.warm_start and hasattr(self, "weights_")
        first, weights, others, others_weight = self._first_and_others(X, sample_weight)
        columns = self._columns_of(first, weights, continued=continued)
        # How often a network is made wider, and how long it is trained then, is not known before.
        n_epochs = (
            None
            if self.n_components == "auto"
            else -(-self.max_steps // self._epoch_steps(columns))
        )
        with (
            fit_task(self, X, y, sample_weight, n_epochs=n_epochs) as task,
            all_or_nothing(self),
        ):
            seed = self._settle(columns, continued=continued)
            table = self._table(first, weights, reset=not continued, ensure_min_samples=2)
            if weights is not None and not others and np.ptp(table.weights) == 0:
                table = table.reweighted(None)  # all rows that count, count alike
            rng = np.random.default_rng(seed)
            rows = np.arange(len(table))
            n_held_out = 0
            if self.early_stopping:
                n_held_out = int(np.ceil(self.validation_fraction * len(rows)))
                n_held_out = min(n_held_out, len(rows) - 1, MAX_EVALUATION_ROWS)
            shuffled = rng.permutation(rows)
            eval_rows = shuffled[: n_held_out or MAX_EVALUATION_ROWS]
            rows = shuffled[n_held_out:]
            is_wide = not continued and self._start_width(table, rows, eval_rows, seed)
            if others:
                table = BlockedRows(table, others, others_weight)
            self._train(
                table, rows, eval_rows, seed, continued=continued, task=task, is_wide=is_wide
            )
            self._explain(table, seed)
            self._warn_if_collapsed(table, rng)
        return self

    @checks_parameters
    def partial_fit(
        self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Continue training with one pass over `X`.

        There is no early stopping. The first call determines the location and scale of the columns
        and the initial value of a learned variance. The encoder is unchanged if the call ends with
        an error or a keyboard interrupt.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Numeric data. The blocks of a dask collection are read one after the other.
        y : None, default=None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Average number of times that each row is used. Use the same unit in all calls; rows
            without weights have weight 1.

        Returns
        -------
        self : VAEEncoder
            The encoder, after this pass.
        """
        if is_dask(X):
            with all_or_nothing(self):
                for block in values_of(X, sample_weight):
                    if sample_weight is None:
                        self.partial_fit(block)
                    else:
                        self.partial_fit(block[0], sample_weight=block[1])
            return self
        weights = None
        if sample_weight is not None:
            self._refuse_processes()
            weights = checked_weights(sample_weight, X)
        with fit_task(self, X, y, sample_weight, n_epochs=None) as task, all_or_nothing(self):
            continued = hasattr(self, "weights_")
            if not continued and self.n_components == "auto":
                raise ValueError(
                    "n_components='auto' is found by training on all rows, which partial_fit does "
                    "not see. Give a number, or call fit on a sample first."
                )
            columns = self._columns_of(X, weights, continued=continued)
            seed = self._settle(columns, continued=continued, one_pass=True)
            table = self._table(X, weights, reset=not continued)
            if weights is not None and (table.weights == 1).all():
                table = table.reweighted(None)
            if not continued:
                self.n_components_ = int(self.n_components)
                self._warn_of_first_rows(table, seed)
            rows = np.random.default_rng(seed).permutation(len(table))
            eval_rows = rows[:MAX_EVALUATION_ROWS]
            self._train(table, rows, eval_rows, seed, continued=continued, task=task, one_pass=True)
            self._explain(table, seed, one_pass=True)
        return self
