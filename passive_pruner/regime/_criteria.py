"""Rules that name every latent variable active, mixed or passive, or negligible.

Each is a pure function of the moments and a threshold.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Real

import numpy as np

from passive_pruner.regime._moments import LatentMoments, check_moments
from passive_pruner.regime._units import in_prior_units, is_beyond_prior, looks_whitened

#: Types of the paper.
TYPES = ACTIVE, MIXED, PASSIVE = "active", "mixed", "passive"
#: Type of a variable that explains next to nothing, whatever its posterior.
NEGLIGIBLE = "negligible"


@dataclass(frozen=True, eq=False, kw_only=True)
class Criterion:
    """A rule that names the type of every latent variable, and all that is said about it.

    The remover, the report, the plots and the explorer read what is here; an entry of
    :data:`CRITERIA` is all that a new criterion needs.

    Parameters
    ----------
    name : str
        Value of ``criterion=``.
    title : str
        What the rule looks at, in words, for axes and headings.
    statistics : mapping of str to str
        Properties of :class:`LatentMoments` that the rule reads, with their symbols. The first one
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
        Whether the rule needs codes, so that the types of draws depend on knowing them for draws.
    reads_variances : bool, default=False
        Whether the rule needs posterior variances.
    adds_up : bool, default=True
        Whether the statistics of all rows follow from those of batches.
    types : tuple of str, default=("active", "passive")
        Types that the rule gives.
    threshold : float, default=0.1
        Threshold where none is given.
    compares_with_prior : bool, default=True
        Whether the statistics are those of codes in the units of the prior, instead of the units
        of what they explain.

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

    @property
    def knows_mixed(self) -> bool:
        """Whether some variables are called mixed."""
        return MIXED in self.types

    @property
    def statistic(self) -> str:
        """The property of the moments that is compared with the threshold."""
        return next(iter(self.statistics))

    @property
    def distance_symbol(self) -> str:
        """Symbol of :meth:`distance`."""
        symbol = self.statistics[self.statistic]
        return f"|{symbol} - {self.collapsed:g}|" if self.collapsed else symbol

    def distance(self, moments: LatentMoments) -> np.ndarray:
        """How far every variable is from collapse, shape (n_components,)."""
        return np.abs(getattr(self.read(moments), self.statistic) - self.collapsed)

    def read(self, moments: LatentMoments) -> LatentMoments:
        """Moments in the units in which the rule reads them, as far as these are known."""
        return in_prior_units(moments) if self.compares_with_prior else moments

    def check_units(self, moments: LatentMoments) -> None:
        """Raise a ValueError if codes show that they are in units that this rule does not read."""
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
                f"{moments.variance_of_mean[j]:.3g}. Those of VAEEncoder(whiten=False) are in "
                'other units: use whiten=True, or criterion="explained_variance", or '
                'criterion="variance" with VAEEncoder(add_variance=True).'
            )

    def __call__(self, moments: LatentMoments, threshold: float) -> np.ndarray:
        """Types of the variables.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.
        threshold : float
            At least 0, and finite.

        Returns
        -------
        types : ndarray of shape (n_components,), str

        Raises
        ------
        ValueError
            If the moments do not hold what the rule reads, if `threshold` is no such number, or
            if it is above 0 and the rule reads what codes explain, but these are in other units.
        """
        check_moments(moments)
        # bool is a Real as well, but no threshold.
        if not isinstance(threshold, Real) or isinstance(threshold, (bool, np.bool_)):
            raise TypeError(f"threshold must be a number, got {threshold!r}.")
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
        return self.rule(*values, threshold)


def active_units(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the variance of the posterior means.

    A variable is passive if Var(mu) <= `threshold`, else active: the statistic of active units
    [1]_. It cannot tell mixed variables from active ones.

    Parameters
    ----------
    moments : LatentMoments
        Moments of mean codes, or of sampled codes with variances.
    threshold : float
        Largest variance of the mean of a passive variable.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "passive".

    Raises
    ------
    ValueError
        If the codes are sampled and variances are not known.

    References
    ----------
    .. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR
       2016, section 5.2, arXiv:1509.00519.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, active_units
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> active_units(LatentMoments.from_batch(posterior.mean), 0.1)
    array(['active', 'active', 'passive'], dtype='<U7')
    """
    return CRITERIA["active_units"](moments, threshold)


def variance(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the mean and the variance of the posterior variances s2.

    The rule released with [1]_::

        passive   Var(s2) < threshold  and  |E[s2] - 1| <= threshold
        active    Var(s2) < threshold  and   E[s2]      <= threshold
        mixed     everything else

    with passive tested first. A variable that is active in few rows only is called passive.

    Parameters
    ----------
    moments : LatentMoments
        Moments with variances, of mean or of sampled codes.
    threshold : float
        Tolerance of the rule; 0.1 in [1]_.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active", "mixed" or "passive".

    Raises
    ------
    ValueError
        If variances are not known.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean
       and Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, variance
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> variance(LatentMoments.from_batch(*posterior), 0.1)
    array(['active', 'mixed', 'passive'], dtype='<U7')
    """
    return CRITERIA["variance"](moments, threshold)


def kl(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the mean divergence of the posterior from the prior.

    A variable is passive if the mean of KL(N(mu, s2) || N(0, 1)) = (mu^2 + s2 - 1 - ln s2) / 2
    is <= `threshold`, else active: `threshold` is the information, in nats per row, that may be
    lost with a variable.

    Parameters
    ----------
    moments : LatentMoments
        Moments with variances, of mean or of sampled codes.
    threshold : float
        Largest mean divergence of a passive variable, in nats.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "passive".

    Raises
    ------
    ValueError
        If variances are not known.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, kl
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> kl(LatentMoments.from_batch(*posterior), 0.1)
    array(['active', 'active', 'passive'], dtype='<U7')
    """
    return CRITERIA["kl"](moments, threshold)


def entropy(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the entropy of the mean representation.

    A variable is passive if the entropy power of its means is <= `threshold`, else active. The
    entropy tells passive from active variables without reference to a Gaussian [1]_; as entropy
    power, exp(2 h) / (2 pi e), it has the units of a variance and equals that of normal means.
    Means that take few values have little entropy however far apart these are: where
    :func:`active_units` and this criterion disagree, look at the distribution.

    The estimate is too small for few rows: for normal means the entropy power is 0.63 of the
    variance at 11 rows, 0.76 at 20 and 0.88 at 50, and it rises by 4 % between 1000 and 1001 rows,
    where SciPy changes its estimator. The same threshold drops more of a small table.

    Parameters
    ----------
    moments : LatentMoments
        Moments of mean codes of all rows at once, made with ``entropy=True``.
    threshold : float
        Largest entropy power of a passive variable.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "passive".

    Raises
    ------
    ValueError
        If the entropy is not known, or is that of sampled codes.

    References
    ----------
    .. [1] P. Clapham, L. Bonheme and M. Grzes, "Entropy-Based Characterisation of the Polarised
       Regime in Latent Variable Models", 2026, arXiv:2605.15965.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, entropy
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> entropy(LatentMoments.from_batch(posterior.mean, entropy=True), 0.1)
    array(['active', 'active', 'passive'], dtype='<U7')
    """
    return CRITERIA["entropy"](moments, threshold)


def explained_variance(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from what the variables explain of the decoded data.

    A variable is negligible if its share of the variance that all variables explain is <=
    `threshold`, else active. That is another question than the one of the other criteria: a
    posterior may be far from the prior and say precisely what hardly moves the decoded data.

    Parameters
    ----------
    moments : LatentMoments
        Moments of codes in the units of what they explain, as ``VAEEncoder(whiten=False)`` writes
        them, or with `code_scale`, as ``VAEEncoder.moments`` gives them.
    threshold : float
        Largest share of a negligible variable.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "negligible".

    Raises
    ------
    ValueError
        If the codes look as if the prior had scaled them, or are sampled and variances are not
        known.

    Notes
    -----
    Codes look so if E[mu^2] + E[s2] is between 0.5 and 3 for all variables; without variances, if
    the largest Var(mu) is between 0.5 and 1.2, to two standard errors, and the second largest at
    least half of it.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, explained_variance
    >>> posterior, _ = make_posterior(["active", "active", "passive"], random_state=0)
    >>> codes = posterior.mean * [3, 0.1, 0.5]
    >>> explained_variance(LatentMoments.from_batch(codes), 0.01)
    array(['active', 'negligible', 'negligible'], dtype='<U10')
    """
    return CRITERIA["explained_variance"](moments, threshold)


def _negligible_if_small(statistic, threshold):
    return np.where(statistic <= threshold, NEGLIGIBLE, ACTIVE)


def _passive_if_small(statistic, threshold):
    return np.where(statistic <= threshold, PASSIVE, ACTIVE)


def _bonheme(mean_of_variance, variance_of_variance, threshold):
    same_in_all_rows = variance_of_variance < threshold
    passive = same_in_all_rows & (np.abs(mean_of_variance - 1) <= threshold)
    active = same_in_all_rows & (mean_of_variance <= threshold)
    return np.where(passive, PASSIVE, np.where(active, ACTIVE, MIXED))


#: Name of a criterion -> the criterion.
CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            name="active_units",
            title="variance of the mean",
            statistics={"variance_of_mean": "Var(mu)"},
            rule=_passive_if_small,
            words="passive if Var(mu) <= {threshold}, else active",
        ),
        Criterion(
            name="variance",
            title="posterior variance",
            statistics={"mean_of_variance": "E[s2]", "variance_of_variance": "Var(s2)"},
            rule=_bonheme,
            words=(
                "passive if Var(s2) < {threshold} and |E[s2] - 1| <= {threshold}, active if "
                "Var(s2) < {threshold} and E[s2] <= {threshold}, else mixed"
            ),
            collapsed=1,
            reads_codes=False,
            reads_variances=True,
            types=TYPES,
        ),
        Criterion(
            name="kl",
            title="KL divergence",
            statistics={"kl": "KL"},
            rule=_passive_if_small,
            words="passive if KL <= {threshold} nats, else active",
            unit="nats",
            reads_variances=True,
        ),
        Criterion(
            name="entropy",
            title="entropy power of the mean",
            statistics={"entropy_power": "entropy power"},
            rule=_passive_if_small,
            words="passive if the entropy power of the means is <= {threshold}, else active",
            adds_up=False,
        ),
        Criterion(
            name="explained_variance",
            title="share of the explained variance",
            statistics={"explained_variance_ratio": "share of the explained variance"},
            rule=_negligible_if_small,
            words="negligible if share of the explained variance <= {threshold}, else active",
            types=(ACTIVE, NEGLIGIBLE),
            threshold=0.01,
            compares_with_prior=False,
        ),
    )
}


def is_kept(types: np.ndarray, threshold: float, drop: Iterable[str]) -> np.ndarray:
    """Tell which variables stay when those of the types in `drop` go; at threshold 0 all do.

    What a criterion calls negligible goes whatever else is dropped.
    """
    return (threshold == 0) | ~np.isin(types, [*drop, NEGLIGIBLE])
