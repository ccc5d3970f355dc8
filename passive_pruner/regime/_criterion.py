"""What is said about a rule that names every latent variable active, mixed or passive."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Real

import numpy as np

from passive_pruner.regime._error_control import can_tell
from passive_pruner.regime._moments import LatentMoments, check_moments
from passive_pruner.regime._units import in_prior_units, is_beyond_prior, looks_whitened

#: Types of the paper.
TYPES = ACTIVE, MIXED, PASSIVE = "active", "mixed", "passive"
#: Type of a variable that explains next to nothing, whatever its posterior.
NEGLIGIBLE = "negligible"
#: Type of a variable that the rule would drop, but that is not shown to be of its type.
UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False, kw_only=True)
class Criterion:
    """Rule that determines the type of every latent variable, with its description.

    The remover, the report, the plots and the explorer use this object; to add a criterion, add an
    entry to :data:`CRITERIA`.

    Parameters
    ----------
    name : str
        Name of the criterion, the value of ``criterion=``.
    title : str
        Description of the statistic, for axes and headings.
    statistics : mapping of str to str
        Properties of :class:`LatentMoments` that the rule uses, with their symbols. The first one
        is compared with the threshold.
    rule : callable
        ``rule(*statistics, threshold)``, with an array of shape (n_components,) for every
        statistic, returns the types as an array of that shape.
    words : str
        The rule in words, with ``{threshold}`` where the threshold stands.
    collapsed : float, default=0
        First statistic of a variable whose posterior is the prior; the threshold is a distance
        from it.
    unit : str, default=""
        Unit of the first statistic.
    reads_codes : bool, default=True
        Whether the rule uses codes, so that it must know whether these are means or draws.
    reads_variances : bool, default=False
        Whether the rule needs posterior variances.
    adds_up : bool, default=True
        Whether the statistics of all rows can be computed from those of batches.
    types : tuple of str, default=("active", "passive")
        Types that the rule returns.
    threshold : float, default=0.1
        Default threshold of the criterion.
    compares_with_prior : bool, default=True
        Whether the statistics are those of codes on the scale of the prior, instead of codes whose
        variance is the variance that they explain.
    p_values : callable, default=None
        ``p_values(moments, threshold, drop)``, with the moments in the units of the rule, tests for
        every variable the null hypothesis that it has none of the types in `drop`, and returns an
        array of shape (n_components,). None if there is no such test.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import CRITERIA, LatentMoments
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> criterion = CRITERIA["variance"]
    >>> criterion(LatentMoments.from_batch(*posterior), 0.1)
    array(['active', 'mixed', 'passive'], dtype='<U7')
    >>> criterion.statistic, criterion.knows_mixed
    ('mean_of_variance', True)
    """

    name: str
    title: str
    statistics: Mapping[str, str]
    rule: Callable[..., np.ndarray]
    words: str
    collapsed: float = 0
    unit: str = ""
    reads_codes: bool = True
    reads_variances: bool = False
    adds_up: bool = True
    types: tuple[str, ...] = (ACTIVE, PASSIVE)
    threshold: float = 0.1
    compares_with_prior: bool = True
    p_values: Callable[..., np.ndarray] | None = None

    @property
    def knows_mixed(self) -> bool:
        """Whether the rule can return the type "mixed"."""
        return MIXED in self.types

    @property
    def statistic(self) -> str:
        """Name of the property of the moments that is compared with the threshold."""
        return next(iter(self.statistics))

    @property
    def distance_symbol(self) -> str:
        """Symbol of :meth:`distance`."""
        symbol = self.statistics[self.statistic]
        return f"|{symbol} - {self.collapsed:g}|" if self.collapsed else symbol

    def distance(self, moments: LatentMoments) -> np.ndarray:
        """Compute the distance of every variable from collapse.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.

        Returns
        -------
        distance : ndarray of shape (n_components,)
            Distance of the statistic from `collapsed`, in `unit`.
        """
        return np.abs(getattr(self.read(moments), self.statistic) - self.collapsed)

    def read(self, moments: LatentMoments) -> LatentMoments:
        """Convert moments to the units of the rule, as far as these are known.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.

        Returns
        -------
        moments : LatentMoments
            Moments in the units of the rule.
        """
        check_moments(moments)
        return in_prior_units(moments) if self.compares_with_prior else moments

    def check_units(self, moments: LatentMoments) -> None:
        """Raise a ValueError if the codes are in units that this rule does not support.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.
        """
        check_moments(moments)
        if not self.compares_with_prior:
            if looks_whitened(moments):
                variances = np.sort(moments.variance_of_mean)[::-1]
                raise ValueError(
                    f"The criterion {self.name} takes codes whose variances are what they explain, "
                    "but these look as if the prior had scaled them: their variances are "
                    f"{np.array2string(variances, precision=2, threshold=6)}. Use "
                    "VAEEncoder(whiten=False), and put scalers after this step."
                )
            return
        beyond = is_beyond_prior(moments)
        if beyond.any():
            j = int(np.argmax(beyond))
            raise ValueError(
                f"The criterion {self.name} compares mean codes with the prior N(0, 1), under "
                f"which their variance is below 1, but that of code {j} is "
                f"{moments.variance_of_mean[j]:.3g}. Those of VAEEncoder(whiten=False) and of rows "
                "far from the training data are not in its units: use whiten=True, or "
                'criterion="explained_variance", or '
                'criterion="variance" with VAEEncoder(add_variance=True).'
            )

    def __call__(
        self,
        moments: LatentMoments,
        threshold: float,
        *,
        alpha: float | None = None,
        drop: Iterable[str] = (PASSIVE,),
    ) -> np.ndarray:
        """Types of the variables.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.
        threshold : float
            At least 0, and finite.
        alpha : float, default=None
            Level, from 0 to 1, at which the types in `drop`, and "negligible", have to be shown:
            variables with a larger :meth:`q_values` are "undecided". By default nothing has to.
        drop : iterable of str, default=("passive",)
            Types that are dropped.

        Returns
        -------
        types : ndarray of shape (n_components,), str

        Raises
        ------
        TypeError
            If `threshold` or `alpha` is not a number.
        ValueError
            If the moments do not hold what the rule reads, if `threshold` is no such number, or
            if it is above 0 and the rule reads what codes explain, but these are in other units;
            with `alpha`, as :meth:`q_values` raises it.
        """
        types = self.rule(*self._values(moments, threshold), threshold)
        if alpha is None or threshold == 0:
            return types
        _check_number("alpha", alpha)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1, or None, got {alpha}.")
        shown = self.q_values(moments, threshold, drop=drop) <= alpha
        return np.where(np.isin(types, [*drop, NEGLIGIBLE]) & ~shown, UNDECIDED, types)

    def q_values(
        self, moments: LatentMoments, threshold: float, *, drop: Iterable[str] = (PASSIVE,)
    ) -> np.ndarray:
        """Compute the smallest false discovery rate at which each variable would be dropped.

        For every variable the null hypothesis that it does not have a dropped type is tested, and
        the p-values are adjusted by the procedure of Benjamini and Hochberg [1]_. See
        :class:`passive_pruner.PassiveVariableRemover` for the assumptions.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.
        threshold : float
            Threshold of the rule, finite and at least 0. At 0 no test is significant.
        drop : iterable of str, default=("passive",)
            Types that are dropped. With ("passive", "mixed") the null hypothesis is that a variable
            is active.

        Returns
        -------
        q_values : ndarray of shape (n_components,)
            Adjusted p-values, from 0 to 1. They are 1 for fewer than 8 rows.

        Raises
        ------
        ValueError
            If the rule has no test, if the moments do not allow the standard errors that it needs,
            or for the same reasons as calling the rule.

        References
        ----------
        .. [1] Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate: A Practical and
           Powerful Approach to Multiple Testing", Journal of the Royal Statistical Society B 57,
           1995.

        Examples
        --------
        >>> from passive_pruner.datasets import make_posterior
        >>> from passive_pruner.regime import CRITERIA, LatentMoments
        >>> posterior, _ = make_posterior(["active", "passive"], 30, random_state=0)
        >>> moments = LatentMoments.from_batch(posterior.mean)
        >>> CRITERIA["active_units"].q_values(moments, 0.1).round(2)
        array([1. , 0.2])
        """
        self._values(moments, threshold)
        if not isinstance(drop, Iterable):
            raise TypeError(f"drop must be an iterable of types, got {drop!r}.")
        if self.p_values is None:
            raise ValueError(
                f"The criterion {self.name} has no test, so that alpha cannot act: use alpha=None "
                "or another criterion."
            )
        if threshold == 0 or not can_tell(moments):
            return np.ones(moments.n_components)
        from scipy.stats import false_discovery_control  # takes as long to import as all else here

        p_values = self.p_values(self.read(moments), threshold, tuple(drop))
        # Rounding takes incomplete gamma functions above 1.
        return false_discovery_control(np.clip(p_values, 0, 1))

    def _values(self, moments, threshold):
        """Return the statistics that the rule reads, after all checks."""
        check_moments(moments)
        _check_number("threshold", threshold)
        if not (isfinite(threshold) and threshold >= 0):
            raise ValueError(f"threshold must be finite and at least 0, got {threshold}.")
        read = self.read(moments)
        values = [getattr(read, name) for name in self.statistics]
        if not self.adds_up and (moments.sampled or np.isnan(values).any()):
            raise ValueError(
                f"The criterion {self.name} needs the mean codes of all rows at once: neither "
                f"batches, whose values of {self.statistic} cannot be added up, nor draws. Make "
                "the moments by LatentMoments.from_batch(mean, entropy=True), or call fit instead "
                "of partial_fit."
            )
        if (self.reads_variances or moments.sampled) and not moments.has_variance:
            of_draws = "" if self.reads_variances else " of sampled codes"
            raise ValueError(
                f"The criterion {self.name}{of_draws} needs posterior variances, but these moments "
                "have none; pass them to LatentMoments.from_batch(mean, variance)."
            )
        if threshold > 0 and not self.compares_with_prior:
            self.check_units(moments)
        return values


def _check_number(name, value):
    # bool is a Real as well, but no threshold.
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number, got {value!r}.")
