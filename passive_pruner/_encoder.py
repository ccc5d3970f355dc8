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
    nats, summed over features and latent variables and averaged over rows. The budget is counted
    in gradient steps, so the same setting serves 500 rows and 5,000,000.

    Parameters
    ----------
    n_components : int or "auto", default=10
        Number of latent variables. Those that the data does not need become passive:
        :class:`PassiveVariableRemover` finds and removes them. "auto" finds the number. After a
        start at factor analysis it is that of the factors that are no functions of the others, and
        is found before training. After a random start training begins with as many variables as
        columns, at most 64, or more where all of them are needed; those that carry at most 0.05
        nats per row are cut out of the network, and training goes on with the others for at most
        a fifth of the steps before.
    objective : Objective or None, default=None
        What is minimised; None is ``BetaVAE(beta=1.0)``, the ELBO.
    likelihood : Likelihood, str, dict or None, default=None
        Distribution of the data given a code; None is ``Gaussian()``, whose variance is learned
        for each column, or "auto" for a table with categories (`categorical_features`).
        Names for likelihoods with default settings: "bernoulli", "categorical",
        "continuous_bernoulli", "gaussian", "negative_binomial" and "poisson".

        "auto" chooses by column: categorical for categories; Bernoulli for two values, such as
        booleans; negative binomial for integers that begin at 0 or 1 and to which it gives, with
        their mean and variance, more probability than a rounded Gaussian does; Gaussian for all
        else. A dict has the likelihoods of single columns and leaves the others to "auto":
        ``{"visits": "poisson"}``. Its keys are names or, if they are integers, places, as in
        `categorical_features`. `columns_` shows what was chosen and why.
    architecture : Architecture or None, default=None
        Encoder and decoder networks; None is ``MLP()``, two hidden layers of 256 ReLU units,
        with `linear_path` where `init` is "factor_analysis", or "auto" and the likelihood
        Gaussian.
    init : {"auto", "random", "factor_analysis"}, default="auto"
        Where training starts. "factor_analysis" fits a factor analysis to the training rows, in
        one pass over them, and starts as that model; variables for which the data shows no factor
        start passive, and so do factors that are curved functions of stronger ones. The start is
        epoch 0 of `history_`, so with early stopping the model never is worse on the held-out
        rows. It needs an MLP with `linear_path`, and a likelihood of which a part is Gaussian,
        Bernoulli, categorical or for counts without exposure; with others, with ``Conv`` and with
        networks of your own it is an error.

        "auto" is "factor_analysis" in :meth:`fit` where the likelihood is Gaussian and the
        architecture None or an MLP with `linear_path`; where the data shows no factor at all,
        training goes on from random weights. In all other cases it is "random".
    output : {"mean", "sampled"}, default="mean"
        What :meth:`transform` returns: the mean representation, or the sampled representation,
        one draw from the posterior of each row.
    add_variance : bool, default=False
        Whether :meth:`transform` appends one column of posterior variances per code. The remover
        needs them for ``criterion="variance"`` and to find passive variables in sampled codes.
    whiten : bool, default=True
        Whether codes stay as the prior has them, where every variable that carries information
        has a variance of about 1. False multiplies each by its `code_scale_`: the mean square of a
        column is then the variance that it explains, and distances between codes resemble those
        between decoded rows. The meaning is that of PCA. It acts on :meth:`transform` and
        :meth:`inverse_transform`; :meth:`posterior` has the units of the prior.
    categorical_features : array-like of bool, int or str, "from_dtype" or None, \
            default="from_dtype"
        Which columns hold categories: a mask, their places or names; or, in a DataFrame of pandas
        or polars, all of category, text or boolean type. As everywhere in scikit-learn an integer
        is a place, never a name. Arrays are numbers then, unless
        `likelihood` is "auto" or a dict. None: no column. It needs a `likelihood` that is None,
        "auto" or a dict.
    handle_unknown : {"error", "ignore"}, default="error"
        What to do about a category that was not there in :meth:`fit`. "ignore" takes such a cell
        for missing, with a warning. Every call reads it, as those of scikit-learn's encoders do:
        set after :meth:`fit` it acts at once, "ignore" if the network can be told of missing cells
        (`allow_missing_`), and is an error if not.
    allow_missing : bool, default=False
        Whether `X` may have NaN. Such cells are left out of the likelihood, and the encoder is
        told which cells are present; without it NaN is an error. In a table with categories the
        columns that have missing cells in :meth:`fit` may have them without it.
    max_steps : int, default=20000
        Most gradient steps that one call of :meth:`fit` takes. Where
        ``n_components="auto"`` cuts variables out, a sixth of them is for the network that is
        left. Networks of your own out of which variables cannot be cut are trained anew, and the
        search takes as many before.
    batch_size : int, default=256
        Most rows per gradient step. The rows of one pass are spread evenly over its batches.
    learning_rate : float, default=0.001
        Step size of Adam.
    kl_warmup_steps : int, default=0
        Gradient steps over which the weight of the regulariser grows from 0 to 1, counted like
        `n_steps_`. Variables that would collapse before the decoder can read them stay in use.
        What the likelihood itself learns, such as its variance, stays at its start meanwhile: it
        would adapt to errors that full weight does not allow. What `history_` records has full
        weight throughout; the patience of early stopping begins after the warm-up.
    early_stopping : bool, default=True
        Whether to hold out rows, stop when the objective on them no longer improves, and restore
        the best weights, all of which are averages over the last 50 steps or so. With the default
        objective this is the validation ELBO. Schedules of an objective count as finished when it
        is measured.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out; at least 1 and at most 1024 rows.
    n_iter_no_change : int, default=5
        Epochs of 100 gradient steps without an improvement by more than `tol` after which
        training stops. After a start at factor analysis epochs have 25 steps, and training first
        goes on from the best weights twice, each time at a fifth of the rate.
    tol : float, default=0.001
        Improvement that counts, in nats per row.
    warm_start : bool, default=False
        Whether :meth:`fit` continues from the weights of the last fit. What the network is made
        from cannot change then: `n_components`, `likelihood`, `architecture`, `allow_missing`.
    device : str, default="auto"
        Where the network runs: "cpu", "cuda", "cuda:1", "mps", or "auto" for the accelerator
        that is present. A fitted model whose device is missing is used on the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, batches, noise and the held-out rows; also of the draws of
        ``output="sampled"`` and :meth:`sample`. The same int gives the same model in any thread
        or process. The global generators are left alone.
    verbose : int or "auto", default="auto"
        1 prints one line per epoch: what `history_` records, the seconds since training began, and
        the ETA if early stopping does not end training sooner. 0 prints nothing. "auto" writes one
        line to the standard error stream after ten seconds, keeps it up to date, and removes it at
        the end; only in the main thread of the main process, where a terminal or a notebook is
        attached and no callback is.

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
        The "epoch" of the record that belongs to `weights_`: with early stopping that of the
        lowest objective, else the last.
    explained_variance_ : ndarray of shape (`n_components_`,)
        What every variable explains: the mean squared change of the decoded rows, summed over
        columns, when its mean is replaced by 0. Decoded is the mean of the likelihood, on the
        scale on which the network sees columns, so that units do not matter. Rows are at most 512
        of the last :meth:`fit`, drawn by the seed; an eighth of the last :meth:`partial_fit`, but
        at least 64; of a dask collection some of the first block.
    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        The same as a share of the variance of the decoded rows. The shares sum to 1 where
        variables act one by one, as in a linear decoder with uncorrelated codes.
    code_scale_ : ndarray of shape (`n_components_`,)
        What ``whiten=False`` multiplies codes by: the root of `explained_variance_` over the mean
        square of the codes.
    training_state_ : dict of str to ndarray
        Averages of Adam, and the discriminator of an objective that has one, from which the next
        :meth:`partial_fit` goes on; only after :meth:`partial_fit`.
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of gradient steps, those of earlier calls included under `warm_start` and
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
        Whether the encoder was fitted on images of bytes (uint8). Bytes and floats of images are
        not taken for each other.
    byte_divisor_ : float
        What bytes are divided by: 255, or 1 where all bytes of the training data were 0 or 1.
    origin_ : ndarray of shape (`n_features_in_`,), float64
        What is subtracted from every column before it becomes float32: its mean where float32
        could not tell its values apart, as in a time stamp, and 0 elsewhere.
    allow_missing_ : bool
        Whether the network can be told of missing cells.
    columns_ : Columns or None
        For a table with categories, what was learned about its columns: printed, a table of their
        likelihoods and of the reasons.
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
        If the first call of :meth:`partial_fit` has fewer than 10 rows or the same in all, or if
        rows that training goes on with are far from those that it began with.
    PrecisionWarning
        If float32 cannot tell the values of a column apart and its likelihood has a fixed origin.
    UnknownCategoryWarning
        If there are categories that were not there in fit and `handle_unknown` is "ignore".

    See Also
    --------
    PassiveVariableRemover : Removes the variables that carry no information.

    Notes
    -----
    The network is rebuilt from `weights_` when needed, so pickles, copies and hashes hold arrays
    only. These arrays are read-only; give `weights_` other arrays to change them.

    Networks of the user (:class:`~passive_pruner.vae.FromFactory`) may draw random numbers, as
    dropout does: they come from `random_state` too. In evaluation they draw the same every time.

    A start at factor analysis begins with what correlations show. Structure that is in no
    correlation may be missed where there are correlations too: compare the :meth:`score` with that
    of a random start. On images a random start is the better one.

    A read-only memory map (``numpy.load(..., mmap_mode="r")``) of float32 is trained from without
    a copy.

    Where ``torch.distributed`` has a process group of several processes, :meth:`fit` and
    :meth:`partial_fit` have to be called by all of them, each with its own rows. They start from
    the weights of the first process, average the gradients of every step, and stop together with
    the same weights; a step then reads `batch_size` rows in each process. Everything else works
    on its own in each process.

    A `sample_weight` says how much a row counts. What fit estimates from rows (standardisation, the
    start, noise, what variables explain) is weighted, with the effective number of rows
    (sum w)^2 / sum w^2 in the place of their number. In training each pass draws rows in proportion
    to their weights (systematic sampling), so that gradients are those of the weighted objective in
    expectation, for every objective. A fit with integer weights therefore has the optimum of one on
    repeated rows, but not its numbers: that one takes other random numbers, takes copies for
    independent rows, and can hold out a row of which it trains on a copy. Weights that are all
    alike, or 0, give the fit on the rows that count, to the last bit.

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
            Numbers, or a table with categories too; at least two rows. The blocks of a dask
            collection are read one after the other, in a new order in every pass; the first one
            stays in memory, and start values, held-out rows and the rows by which
            ``n_components="auto"`` is settled come from it alone.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much every row counts, in any unit; 0 as if it were not there. Of a dask collection
            a dask array or Series with the same blocks, which is read twice. Rows are read in
            proportion to their weights; what is estimated before training is weighted. See Notes.

        Returns
        -------
        self : VAEEncoder
            Unchanged if an error is raised.

        Raises
        ------
        ValueError
            If `X` is not finite, numeric or of categories, and two-dimensional, if the likelihood
            gives some of its values no density, or if training diverges in its first epoch. If a
            weight is negative, all are 0, or the likelihood takes none.
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

        There is no early stopping. The first call decides the location and scale of the columns
        and the start values of a learned variance. An error or an interrupt from the keyboard
        leaves the encoder as it was before the call.

        Parameters
        ----------
        X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
            Numeric data. The blocks of a dask collection are read one after the other.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times every row is read on average, so that weights of all calls have one
            unit: rows without weights have weight 1.

        Returns
        -------
        self : VAEEncoder
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
