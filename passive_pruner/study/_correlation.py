"""How strongly variables of the same and of different types are correlated."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from passive_pruner._common._typing import MatrixLike
from passive_pruner.regime import LatentMoments, variance
from passive_pruner.regime._criteria import TYPES

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the table, in their order.
COLUMNS = [
    "step", "representation", "type_1", "type_2", "n_pairs", "mean_absolute_correlation",
]  # fmt: skip


def correlation_by_type(encoder: Any, X: MatrixLike, *, threshold: float = 0.1) -> pd.DataFrame:
    """Compute mean absolute correlations within and between types, for mean and sampled codes.

    Parameters
    ----------
    encoder : object with a method ``posterior``, or dict of int to such objects
        Fitted encoder such as :class:`passive_pruner.VAEEncoder`, or a dict of its states during
        training, with numbers of gradient steps as keys. In a dict, variables have the type of the
        last state in all states, so that the table shows how the correlations of the finally
        passive variables develop.
    X : array-like of shape (n_samples, ...)
        Data in the format of the encoder.
    threshold : float, default=0.1
        Tolerance of :func:`passive_pruner.regime.variance`, the rule for types; finite and at least
        0. It has no unit, because the prior has unit variance.

    Returns
    -------
    table : DataFrame
        One row per step, representation and pair of types that has any pair of variables, with
        the columns

        ``step``
            Number of gradient steps; 0 if `encoder` is not a dict.
        ``representation``
            "mean" or "sampled".
        ``type_1``, ``type_2``
            Types of the two variables.
        ``n_pairs``
            Number of pairs of two different variables with these types.
        ``mean_absolute_correlation``
            Mean over these pairs, from 0 to 1. The correlation of a constant variable counts as 0.

    Raises
    ------
    ValueError
        If no encoder is given, the states differ in their number of variables, or the threshold
        is negative or not finite.

    Notes
    -----
    The correlations of sampled codes are exact, see :class:`passive_pruner.regime.LatentMoments`.
    Under selective posterior collapse, the correlations of passive variables are close to 0 in
    sampled codes, whatever they are in mean codes.

    References
    ----------
    L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean and
    Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679, section 5.

    Examples
    --------
    States of an encoder during training, from one pass over the data to the next:

    >>> import copy
    >>> from sklearn.datasets import load_digits
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.study import correlation_by_type
    >>> X = load_digits().data / 16
    >>> encoder, states = VAEEncoder(likelihood="bernoulli", random_state=0), {}
    >>> for _ in range(2):
    ...     _ = encoder.partial_fit(X)
    ...     states[encoder.n_steps_] = copy.deepcopy(encoder)
    >>> table = correlation_by_type(states, X)
    >>> table["step"].unique().tolist()
    [8, 16]
    """
    import pandas as pd

    states = dict(sorted(encoder.items())) if isinstance(encoder, Mapping) else {0: encoder}
    if not states:
        raise ValueError("encoder is an empty dict; pass at least one fitted encoder.")
    for e in states.values():
        if isinstance(e, type) or not hasattr(e, "posterior"):
            raise TypeError(
                "encoder must be a fitted VAEEncoder or PretrainedEncoder, or a dict of such, got "
                f"{e!r}."
            )
    moments = {step: LatentMoments.from_batch(*e.posterior(X)) for step, e in states.items()}
    if len({m.n_components for m in moments.values()}) > 1:
        raise ValueError(
            "The states must be those of one encoder, but they have "
            f"{', '.join(f'{m.n_components} variables at step {k}' for k, m in moments.items())}."
        )
    types = variance(list(moments.values())[-1], threshold)
    distinct = ~np.eye(len(types), dtype=bool)
    records = []
    for step, m in moments.items():
        for representation in ("mean", "sampled"):
            correlation = np.abs(getattr(m, f"{representation}_correlation"))
            for type_1, type_2 in combinations_with_replacement(TYPES, 2):
                pairs = np.outer(types == type_1, types == type_2) & distinct
                if pairs.any():
                    n_pairs = int(pairs.sum()) // (2 if type_1 == type_2 else 1)
                    value = float(correlation[pairs].mean())
                    records.append((step, representation, type_1, type_2, n_pairs, value))
    return pd.DataFrame(records, columns=COLUMNS)
