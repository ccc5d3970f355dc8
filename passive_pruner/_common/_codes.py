"""The contract between encoders and the remover: column layout, column names, posterior.

Codes travel as ordinary columns, ``[codes]`` or ``[codes | variances]``. A column tells what it
is by the end of its name, which survives the prefixes that ``ColumnTransformer`` and
``FeatureUnion`` put in front.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from passive_pruner.regime._moments import SAMPLED_SUFFIX, VARIANCE_SUFFIX


class Posterior(NamedTuple):
    """Diagonal Gaussian posterior of every latent variable for every example.

    Attributes
    ----------
    mean : ndarray of shape (n_samples, n_components), float32
        Posterior means, the mean representation.
    variance : ndarray of shape (n_samples, n_components), float32
        Posterior variances, the variance representation.
    """

    mean: np.ndarray
    variance: np.ndarray


def code_names(
    prefix: str, variables: Iterable[int], *, sampled: bool, add_variance: bool
) -> np.ndarray:
    """Names of the columns that an encoder writes.

    Parameters
    ----------
    prefix : str
        Lower-case class name of the encoder.
    variables : iterable of int
        Numbers of the latent variables.
    sampled : bool
        Whether the codes are draws from the posterior instead of its means.
    add_variance : bool
        Whether one posterior-variance column per code follows the codes.

    Returns
    -------
    names : ndarray of shape (n_columns,), object
    """
    suffix = SAMPLED_SUFFIX if sampled else ""
    variables = list(variables)
    names = [f"{prefix}{j}{suffix}" for j in variables]
    if add_variance:
        names += [f"{prefix}{j}{VARIANCE_SUFFIX}" for j in variables]
    return np.asarray(names, dtype=object)


def check_mean_names(names, criterion):
    """Refuse columns whose names say that they are not mean codes."""
    for suffix, what, instead in (
        (SAMPLED_SUFFIX, "draws from the posterior", 'output="mean"'),
        (VARIANCE_SUFFIX, "posterior variances", "add_variance=False"),
    ):
        found = [name for name in names if name.endswith(suffix)]
        if found:
            raise ValueError(
                f'criterion="{criterion}" reads mean codes alone, but column {found[0]!r} holds '
                f'{what}. Use VAEEncoder(add_variance=True) and criterion="variance", or '
                f"VAEEncoder({instead})."
            )


def codes_are_sampled(codes, variances):
    """Whether [codes | variances] holds draws by its names, which must fit that layout.

    A user's own names, with neither suffix, are trusted.
    """
    names = [*codes, *variances]
    is_sampled = [name.endswith(SAMPLED_SUFFIX) for name in codes]
    is_variance = [name.endswith(VARIANCE_SUFFIX) for name in names]
    of_codes = [name.removesuffix(SAMPLED_SUFFIX) for name in codes]
    of_variances = [name.removesuffix(VARIANCE_SUFFIX) for name in variances]
    problem = None
    if not any(is_sampled + is_variance):
        if _are_numbered(names):
            problem = "are numbered as codes without variances"
    elif any(is_variance[: len(codes)]) or not all(is_variance[len(codes) :]):
        problem = "have variances in another place"
    elif len(set(is_sampled)) > 1:
        problem = "mix means with draws"
    elif of_codes != of_variances and sorted(of_codes) == sorted(of_variances):
        problem = "have variances in another order than codes"
    if problem:
        raise ValueError(
            f"This criterion needs [codes | variances], one column named '*{VARIANCE_SUFFIX}' per "
            f"code in the same order, but the columns {names[0]!r} to {names[-1]!r} {problem}. "
            "Append variances with VAEEncoder(add_variance=True); columns of your own in that "
            "layout can be renamed, or passed as an array."
        )
    return all(is_sampled)


def _are_numbered(names):
    """Whether `names` are one prefix with different numbers, as codes without variances are."""
    prefix = names[0].rstrip("0123456789")
    numbers = [name.removeprefix(prefix) for name in names]
    return all(n.isdecimal() for n in numbers) and len(set(numbers)) == len(numbers)
