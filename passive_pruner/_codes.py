"""The contract between encoders and the remover: column layout, column names, posterior.

Codes travel as ordinary columns, ``[codes]`` or ``[codes | variances]``. A column tells what it
is by the end of its name, which survives the prefixes that ``ColumnTransformer`` and
``FeatureUnion`` put in front.
"""

from typing import NamedTuple

import numpy as np

SAMPLED_SUFFIX = "_sampled"
VARIANCE_SUFFIX = "_variance"


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


def code_names(prefix: str, n_components: int, *, sampled: bool, add_variance: bool) -> np.ndarray:
    """Names of the columns that an encoder writes.

    Parameters
    ----------
    prefix : str
        Lower-case class name of the encoder.
    n_components : int
        Number of latent variables.
    sampled : bool
        Whether the codes are draws from the posterior instead of its means.
    add_variance : bool
        Whether one posterior-variance column per code follows the codes.

    Returns
    -------
    names : ndarray of shape (n_columns,), object
    """
    suffix = SAMPLED_SUFFIX if sampled else ""
    names = [f"{prefix}{j}{suffix}" for j in range(n_components)]
    if add_variance:
        names += [f"{prefix}{j}{VARIANCE_SUFFIX}" for j in range(n_components)]
    return np.asarray(names, dtype=object)
