"""Categorical likelihood, for one category per row."""

import numpy as np
from torch.distributions import Categorical as CategoricalDistribution
from torch.nn.functional import one_hot

from passive_pruner.vae._likelihoods._base import (
    Likelihood,
    LikelihoodModule,
    cell_error,
    first_cell,
)


class Categorical(Likelihood):
    """Categorical likelihood for a one-hot group of columns, with the decoder's outputs as logits.

    Each row has a single 1, in the column of its category, and 0 elsewhere, as in the output of
    :class:`sklearn.preprocessing.OneHotEncoder`. The mean is the vector of probabilities, a softmax
    of the decoder outputs. A row with NaN in any column of the group counts as missing in all of
    them. For several groups, or a group with other columns, use :class:`Mixed`.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.vae import Categorical
    >>> X = np.eye(3, dtype="float32")[[0, 2, 2, 1]]
    >>> Categorical().check_data(X)
    >>> Categorical().check_data(2 * X)
    Traceback (most recent call last):
    ...
    ValueError: The categorical likelihood takes one-hot columns of 0 and 1, but X has 2 in ...
    """

    def check_data(self, X: np.ndarray) -> None:
        total = X.sum(axis=1)
        # A row with a single number that is not zero and the sum 1 is one-hot.
        if ((np.count_nonzero(X, axis=1) == 1) & (total == 1)).all():
            return
        advice = (
            "Encode the categories with sklearn.preprocessing.OneHotEncoder without drop, and "
            "give each one-hot group its own Categorical in Mixed."
        )
        wrong = (X != 0) & (X != 1) & ~np.isnan(X)
        if wrong.any():
            value, column = first_cell(X, wrong)
            raise cell_error(
                "The categorical likelihood takes one-hot columns of 0 and 1, but X has "
                f"{value:.6g} in {{column}}. {advice}",
                column,
            )
        total = total[(total != 1) & ~np.isnan(total)]
        if len(total):
            raise ValueError(
                "The categorical likelihood takes one-hot columns, a single 1 in each row, but a "
                f"row of X sums to {total[0]:.6g}. {advice}"
            )

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return CategoricalModule(missing=allow_missing)


class CategoricalModule(LikelihoodModule):
    def distribution(self, outputs):
        """Distribution of the position of the 1, of batch shape (batch,)."""
        # OneHotCategorical would raise on NaN, before training can report that it diverged.
        return CategoricalDistribution(logits=outputs, validate_args=False)

    def log_likelihood(self, outputs, x):
        # For the maximum NaN is above 1, so that every row has some position.
        log_prob = self.distribution(outputs).log_prob(x.argmax(dim=1))
        return log_prob.masked_fill(x.isnan().any(dim=1), 0.0) if self.missing else log_prob

    def mean(self, outputs):
        return self.distribution(outputs).probs

    def sample(self, outputs):
        position = self.distribution(outputs).sample()
        return one_hot(position, outputs.shape[1]).to(outputs.dtype)
