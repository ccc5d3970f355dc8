"""Feature selector that removes the passive latent variables of a variational autoencoder."""

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from passive_pruner._common._callbacks import CallbackSupportMixin, fit_task
from passive_pruner._common._codes import check_mean_names, codes_are_sampled
from passive_pruner._common._dask import accepts_dask, is_dask, moments_of
from passive_pruner._common._documentation import BoxesInHTML, DocumentationLinkMixin
from passive_pruner._common._state import VersionedState
from passive_pruner._common._typing import MatrixLike, TypedSelector, checks_parameters
from passive_pruner._common._undetermined import (
    ROWS_TO_TELL,
    UNIT_LIKE,
    is_undetermined,
    warn_of_draws,
)
from passive_pruner._common._validation import (
    all_or_nothing,
    plain_array,
    refuse_series,
    validate_numeric,
)
from passive_pruner.regime import CRITERIA, LatentMoments, report
from passive_pruner.regime._criteria import is_kept
from passive_pruner.regime._criterion import MIXED, PASSIVE, UNDECIDED
from passive_pruner.regime._report import NEEDS_VARIANCES
from passive_pruner.regime._summary import is_decided, list_types, summarize

if TYPE_CHECKING:
    import pandas as pd


@accepts_dask
class PassiveVariableRemover(
    TypedSelector,
    VersionedState,
    CallbackSupportMixin,
    DocumentationLinkMixin,
    BoxesInHTML,
    SelectorMixin,
    BaseEstimator,
):
    """Remove the passive latent variables from the codes of a variational autoencoder.

    Under posterior collapse the posterior of a *passive* variable equals the prior N(0, 1) in
    every row. Its mean is then close to 0 but correlated with the other means, while its draws
    are noise [1]_. This selector keeps the variables that are not passive.

    Parameters
    ----------
    threshold : float, default=None
        Largest distance from collapse at which a variable is called passive or, under
        "explained_variance", largest share at which it is called negligible. None means 0.01 under
        "explained_variance" and 0.1 under all other criteria. The unit is a share of unit variance
        under "active_units" and "variance", a share of the entropy power of the standard normal
        distribution under "entropy", nats under "kl", and a share of the explained variance under
        "explained_variance". 0 removes nothing, not even constant codes. For a variable with
        Var(mu) = 1 - s2 in all rows these values correspond:

        ========  ========  =========
        Var(mu)   E[s2]     KL (nats)
        ========  ========  =========
        0.01      0.99      0.005
        0.1       0.9       0.053
        0.9       0.1       1.15
        ========  ========  =========

    criterion : str, default="active_units"
        Rule that determines the types, and with it the columns that X must have:

        - "active_units": X holds mean codes; passive if Var(mu) <= threshold [2]_.
        - "variance": X holds codes, mean or sampled, followed by their posterior variances s2;
          passive if Var(s2) < threshold and abs(E[s2] - 1) <= threshold, active if
          Var(s2) < threshold and E[s2] <= threshold, else mixed [1]_.
        - "kl": columns as for "variance"; passive if the mean of KL(N(mu, s2) || N(0, 1)) is
          <= threshold.
        - "entropy": X holds mean codes, all rows at once; passive if their entropy power
          exp(2 h) / (2 pi e), h being their differential entropy, is <= threshold [3]_.
        - "explained_variance": X holds mean codes of ``VAEEncoder(whiten=False)``, whose variances
          are the variances that they explain; a variable is negligible if its share of their sum is
          <= threshold.

    drop : {("passive",), ("passive", "mixed")}, default=("passive",)
        Types to remove, besides negligible variables. Only "variance" identifies mixed variables.

    alpha : float, default=None
        Upper bound, from 0 to 1, of the false discovery rate: the expected share of the removed
        variables whose population statistic is at least `threshold`. A variable that the rule would
        remove for the given rows, but for which the test is not significant, is "undecided" and is
        kept. With None the rule is applied to the given rows without a test. See Notes for the
        assumptions.

    Attributes
    ----------
    variable_types_ : ndarray of shape (n_components,), str
        Type of every latent variable according to the criterion: "active", "mixed", "passive" or
        "negligible", or with `alpha` also "undecided".
    threshold_, criterion_, drop_, alpha_ : float, str, tuple of str, float or None
        Parameters that the types and the selection were computed with. Parameters that are set
        after ``fit`` take effect at the next ``fit`` or ``partial_fit``.
    moments_ : LatentMoments
        Moments of the data, see :class:`passive_pruner.regime.LatentMoments`.
    undetermined_ : bool
        Whether passive variables cannot be detected in the given codes. This is the case under
        "active_units" and "entropy" if no variable is passive and every code has a variance above
        0.5, and under "kl" if in addition some E[s2] > 0.5. Sampled and standardised codes look
        like this whatever the types of their variables.
    report_ : DataFrame
        Evidence for the type of every latent variable, see :func:`passive_pruner.regime.report`.
        Columns that need posterior variances are present only if X has them. The column "decided"
        tells whether the type stays the same when the statistics change by two standard errors.
        With `alpha`, "decided" tells whether the type is not "undecided", and "q_value" is the
        smallest `alpha` at which the variable would be removed.
    n_features_in_ : int
        Number of columns of X, variances included.
    feature_names_in_ : ndarray of shape (`n_features_in_`,), object
        Names of the columns, if X has names that are all strings.

    Warns
    -----
    PassiveUndeterminedWarning
        If `undetermined_` is True and the codes look standardised or sampled: all codes have the
        same variance, or, in at least 1000 rows, all have about the variance of the prior and at
        least one is distributed like the prior, as samples of a passive variable are. Mean codes of
        an encoder without passive variables are undetermined as well, but seldom meet these
        conditions.

    See Also
    --------
    passive_pruner.VAEEncoder : Computes the codes, and with ``add_variance=True`` the variances.
    sklearn.feature_selection.VarianceThreshold : The same test as "active_units", on any data.
    sklearn.feature_selection.SelectFdr : The same error control, for tests that need y.

    Notes
    -----
    At a stationary point of the objective E[mu^2] + E[s2] = 1 for every variable. Therefore Var(mu)
    <= threshold, which needs mean codes only, is equivalent to E[s2] >= 1 - threshold as far as
    training has converged. :class:`~passive_pruner.regime.LatentMoments` states the exact relations
    between mean and sampled codes.

    Column names that end in ``_sampled`` or ``_variance`` state what a column holds, and an X that
    contradicts the criterion raises an error. All statistics treat codes named ``_sampled`` as
    draws from the posterior. An array has no column names, so its codes are treated as means. If
    they are draws, the types under "variance" are correct nevertheless, but ``report_`` is not.

    Variance columns are never selected. :meth:`inverse_transform` fills every removed column with
    0, which for codes is the mean of the prior.

    A *negligible* variable is not passive: its posterior may differ strongly from the prior. It
    encodes information that hardly changes the decoded data, yet a model that gives all columns
    equal weight would weigh it as much as the others. "variance" and "kl" also accept codes of
    ``VAEEncoder(whiten=False)`` that are followed by their variances, because E[mu^2] + E[s2] is
    then the square of the factor that the code was multiplied by. Codes are treated as such if this
    sum is above 3 for some variable.

    With `alpha`, the null hypothesis that the statistic is at least `threshold` is tested for every
    variable, and the procedure of Benjamini and Hochberg [4]_ adjusts for the number of variables.
    "variance" tests all conditions of passive, and with ``drop=("passive", "mixed")`` whether E[s2]
    <= threshold. "entropy" tests the variance, which is an upper bound of the entropy power. The
    tests assume independent rows, and that tests of different variables are independent or
    positively dependent (PRDS) [5]_; for any dependence divide `alpha` by 1 + 1/2 + ... +
    1/n_components. A variable may be active in a few rows only, of which a sample contains too few
    or none. The test assumes that such rows have codes N(0, 1) under "active_units" and "entropy",
    s2 = 0 under "variance", normal codes with the variance of the largest variable under
    "explained_variance", and 2 nats or the largest mean of all variables under "kl", with heavier
    tails if the given rows have them. Small samples can miss rare rows with much larger codes,
    which trained encoders can have; "variance" is affected least. No test is significant below 8
    rows, and few are if `threshold` times the number of rows is below 5.

    With `sample_weight` the types are those of a table in which each row is repeated as often as
    its weight. `alpha`, "decided" and the warnings use the effective number of rows (sum w)^2 / sum
    w^2 and the standard errors of weighted means, see
    :func:`passive_pruner.regime.standard_errors`: giving all rows the weight 2 does not make a
    result more certain. If a row represents several independent rows, repeat it instead. The test
    of `alpha` assumes that active rows have typical weights. It can miss rare active rows that
    weigh far more than the others more often than `alpha` states.

    Pruning does not always help. The mean of a passive variable is small but still carries
    information, which a model that rescales its inputs can use [3]_. Compare the results with those
    of ``threshold=0``.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean
       and Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679.
    .. [2] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR
       2016, section 5.2, arXiv:1509.00519.
    .. [3] P. Clapham, L. Bonheme and M. Grzes, "Entropy-Based Characterisation of the Polarised
       Regime in Latent Variable Models", 2026, arXiv:2605.15965.
    .. [4] Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate: A Practical and
       Powerful Approach to Multiple Testing", Journal of the Royal Statistical Society B 57, 1995.
    .. [5] Y. Benjamini and D. Yekutieli, "The Control of the False Discovery Rate in Multiple
       Testing under Dependency", The Annals of Statistics 29(4), 2001.

    Examples
    --------
    >>> from passive_pruner import PassiveVariableRemover
    >>> from passive_pruner.datasets import make_posterior
    >>> posterior, _ = make_posterior(["active", "passive", "active"], random_state=0)
    >>> remover = PassiveVariableRemover().fit(posterior.mean)
    >>> remover.variable_types_
    array(['active', 'passive', 'active'], dtype='<U7')
    >>> remover.transform(posterior.mean).shape
    (1000, 2)

    In 30 rows a variable can look passive by chance:

    >>> few = PassiveVariableRemover(alpha=0.05).fit(posterior.mean[:30])
    >>> few.variable_types_
    array(['active', 'undecided', 'active'], dtype='<U9')
    """

    variable_types_: NDArray[np.str_]
    moments_: LatentMoments
    threshold_: float
    criterion_: str
    drop_: tuple[str, ...]
    undetermined_: bool
    n_features_in_: int

    _parameter_constraints: ClassVar[dict] = {
        "threshold": [Interval(Real, 0, None, closed="left"), None],
        # A view, so that a criterion that is added later is known.
        "criterion": [StrOptions(CRITERIA.keys())],
        "drop": [list, tuple],
        "alpha": [Interval(Real, 0, 1, closed="both"), None],
    }

    def __init__(
        self,
        *,
        threshold: float | None = None,
        criterion: str = "active_units",
        drop: Sequence[str] = ("passive",),
        alpha: float | None = None,
    ) -> None:
        self.threshold = threshold
        self.criterion = criterion
        self.drop = drop
        self.alpha = alpha

    @checks_parameters
    def fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the types of the latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components) or (n_samples, 2 * n_components)
            Codes, followed by their posterior variances if the criterion needs them. For a dask
            array or DataFrame only the moments of the blocks are collected. "entropy" needs data in
            memory.
        y : None, default=None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. For a dask collection, a dask array or Series with the same blocks.
            Not supported by "entropy".

        Returns
        -------
        self : PassiveVariableRemover
            The fitted selector. It is unchanged if an error is raised.

        Raises
        ------
        ValueError
            If X is invalid, contradicts the criterion, is in units that the criterion does not
            support, does not allow the standard errors that `alpha` needs, or has no variable left
            to keep; if a weight is negative or all weights are 0.
        """
        with fit_task(self, X, y, sample_weight), all_or_nothing(self):
            vars(self).pop("moments_", None)
            self._learn(X, sample_weight)
            self._get_support_mask()
        return self

    @checks_parameters
    def partial_fit(
        self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Update the types with a batch, as if all batches so far had been given at once.

        If `threshold`, `drop` or `alpha` changes between calls, or `criterion` changes to one that
        uses the same columns, the new value applies to all batches.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components) or (n_samples, 2 * n_components)
            Batch of rows, with the same columns as in :meth:`fit`.
        y : None, default=None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. Use the same unit for all batches; rows without weights have weight
            1.

        Returns
        -------
        self : PassiveVariableRemover
            The fitted selector. If no variable is left to keep, :meth:`transform` raises an error
            until a later batch adds one.

        Raises
        ------
        ValueError
            If X is invalid, contradicts the criterion or has other columns than the previous
            batches, or if the criterion was changed to one that uses other columns.
        """
        with fit_task(self, X, y, sample_weight), all_or_nothing(self):
            self._learn(X, sample_weight)
        return self

    def _learn(self, X, sample_weight):
        """Update moments and types with a batch."""
        if set(map(str, self.drop)) not in ({PASSIVE}, {PASSIVE, MIXED}):
            raise ValueError(
                f"The 'drop' parameter of {type(self).__name__} must be ('passive',) or "
                f"('passive', 'mixed'), got {self.drop!r} instead."
            )
        first = not hasattr(self, "moments_")
        criterion = CRITERIA[self.criterion]
        if not first and CRITERIA[self.criterion_].reads_variances != criterion.reads_variances:
            raise ValueError(
                f"partial_fit cannot go on with criterion={self.criterion!r}, as the batches "
                f"before were read by {self.criterion_!r}, which takes other columns. Start again "
                f"with fit, or set criterion={self.criterion_!r}."
            )
        if is_dask(X):
            batch = moments_of(self, X, sample_weight, reset=first)
        else:
            X = validate_numeric(self, X, dtype=[np.float64, np.float32], reset=first)
            batch = self._moments_of_batch(X, sample_weight)
        # Earlier rows have shown the units: later ones that are far from them have drifted.
        known = not first and self.moments_.n_effective >= ROWS_TO_TELL
        self.moments_ = batch if first else self.moments_.merge(batch)
        given = criterion.threshold if self.threshold is None else self.threshold
        self.threshold_, self.criterion_ = float(given), self.criterion
        self.drop_ = tuple(map(str, self.drop))
        self.alpha_ = None if self.alpha is None else float(self.alpha)
        if self.threshold_ > 0 and not known:
            criterion.check_units(self.moments_)
        self.variable_types_ = criterion(
            self.moments_, self.threshold_, alpha=self.alpha_, drop=self.drop_
        )
        self.undetermined_ = is_undetermined(
            criterion, self.moments_, self.threshold_, self.variable_types_
        )
        if self.undetermined_:
            warn_of_draws(self.moments_)

    @property
    def report_(self) -> "pd.DataFrame":
        """DataFrame with the evidence for every latent variable."""
        check_is_fitted(self)
        table = report(self.moments_, self.variable_types_, names=self._variable_names())
        if not self.moments_.has_variance:
            table = table.drop(columns=list(NEEDS_VARIANCES))
        if self.alpha_ is None:
            decided = is_decided(self.moments_, self.criterion_, self.threshold_)
            table.insert(1, "decided", decided | (self.threshold_ == 0))
        else:
            table.insert(1, "decided", self.variable_types_ != UNDECIDED)
            table.insert(2, "q_value", self._q_values())
        return table

    def summary(self) -> str:
        """Summarise the types, the reasons for dropping variables, and the uncertain decisions.

        Returns
        -------
        summary : str
            Text of several lines. A variable is undecided if a change of its statistics by two
            standard errors could change its type, see
            :func:`passive_pruner.regime.standard_errors`; with `alpha`, if the rule would remove it
            but its q value is above `alpha`.

        Examples
        --------
        >>> from passive_pruner import PassiveVariableRemover
        >>> from passive_pruner.datasets import make_posterior
        >>> posterior, _ = make_posterior(["active", "passive", "active"], random_state=0)
        >>> print(PassiveVariableRemover().fit(posterior.mean).summary())
        3 latent variables in 1000 rows: 2 active, 0 mixed, 1 passive.
        Rule: passive if Var(mu) <= 0.1, else active.
        2 kept, 1 dropped:
          1  passive  Var(mu) = ...
        Undecided, as two standard errors (±) could change the type: none
        """
        check_is_fitted(self)
        text = summarize(
            self.moments_,
            self.variable_types_,
            self._is_kept(),
            criterion=self.criterion_,
            threshold=self.threshold_,
            names=self._variable_names(),
            alpha=self.alpha_,
            q_values=None if self.alpha_ is None else self._q_values(),
        )
        if self.undetermined_:
            text += (
                f"\nUndetermined: every code has a variance above {UNIT_LIKE}, as draws and "
                "standardised codes have too. The types hold if these are mean codes."
            )
        return text

    def _html_boxes(self):
        if not hasattr(self, "moments_"):
            return {}
        title, lists = list_types(self.variable_types_, self._variable_names())
        return {title: f"{self.summary()}\n\n{lists}"}

    def _variable_names(self):
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names[: self.moments_.n_components]

    def _q_values(self):
        criterion = CRITERIA[self.criterion_]
        return criterion.q_values(self.moments_, self.threshold_, drop=self.drop_)

    def _is_kept(self):
        return is_kept(self.variable_types_, self.threshold_, self.drop_)

    def _get_support_mask(self):
        check_is_fitted(self)
        support = np.zeros(self.n_features_in_, dtype=bool)
        kept = self._is_kept()
        support[: len(kept)] = kept
        if not support.any():
            statistic = CRITERIA[self.criterion_].statistic
            values = getattr(CRITERIA[self.criterion_].read(self.moments_), statistic)
            rows = " (X contains only one sample)" if self.moments_.n_effective == 1 else ""
            types = " or ".join(dict.fromkeys(self.variable_types_.tolist()))
            raise ValueError(
                f"Every latent variable is {types} under "
                f"criterion={self.criterion_!r} with threshold={self.threshold_:g}, none is left "
                f"to keep{rows}: {statistic} is between {values.min():.3g} and {values.max():.3g}. "
                "Lower the threshold (0 keeps all), or train the encoder to collapse less."
            )
        return support

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Remove the columns that are not kept.

        Parameters
        ----------
        X : array-like of shape (n_samples, `n_features_in_`)
            Columns as in :meth:`fit`.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_kept)
            Codes of the kept variables. For a dask collection, a lazy collection of the same kind.
        """
        plain = plain_array(self, X, np.float64)
        if plain is not None:
            return self._transform(plain)
        # Where a DataFrame comes out as well, SelectorMixin selects without looking at values.
        if hasattr(X, "columns"):
            validate_numeric(self, X, reset=False, dtype=[np.float64, np.float32])
        refuse_series(X)
        return super().transform(X)

    def _transform(self, X):
        if not isinstance(X, np.ndarray):
            return super()._transform(X)
        # Column numbers are several times faster than the mask that SelectorMixin indexes with.
        return X.take(self.get_support(indices=True), axis=1)

    def _moments_of_batch(self, X, sample_weight=None):
        names = getattr(self, "feature_names_in_", None)
        criterion = CRITERIA[self.criterion]
        if not criterion.reads_variances:
            if names is not None:
                check_mean_names(names, self.criterion)
            entropy = "entropy_power" in criterion.statistics
            return LatentMoments.from_batch(X, sample_weight=sample_weight, entropy=entropy)
        if X.shape[1] % 2:
            raise ValueError(
                f"criterion={self.criterion!r} needs [codes | variances], an even number of "
                f"columns, got {X.shape[1]}. Append variances with VAEEncoder(add_variance=True), "
                'or use criterion="active_units" for mean codes alone.'
            )
        codes, variances = np.hsplit(X, 2)
        sampled = False if names is None else codes_are_sampled(*np.split(names, 2))
        if variances.min() < 0:
            raise ValueError(
                f"Negative values in data passed to {type(self).__name__}: variance columns must "
                f"be >= 0, got min {variances.min():.3g}; a scaler between the encoder and this "
                "step destroys the variances: put it after."
            )
        return LatentMoments.from_batch(
            codes, variances, sample_weight=sample_weight, sampled=sampled
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        # States of versions whose parameters acted at once.
        if hasattr(self, "moments_") and not hasattr(self, "criterion_"):
            self.threshold_, self.criterion_ = float(self.threshold), self.criterion
            self.drop_ = tuple(map(str, self.drop))
        # States of versions without control of errors.
        self.alpha = getattr(self, "alpha", None)
        if hasattr(self, "moments_"):
            self.alpha_ = getattr(self, "alpha_", None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
