"""How many latent variables a data set needs: what ``n_components="auto"`` stands for."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _num_samples

from passive_pruner.exceptions import CollapseWarning, TrainingInterruptedWarning
from passive_pruner.regime import LatentMoments

# The search starts from this width, or from the number of columns if that is smaller.
START_WIDTH = 64
# Nats per row above which a variable counts. Where training has converged, E[mu^2] = 1 - s2, so
# the divergence of a variable with the same s2 in all rows is -ln(s2) / 2; it is 0.053 at
# s2 = 0.9, where the remover's default threshold draws its line. Before convergence the
# divergence is the safer reading: s2 of a passive variable creeps up to 1 for hundreds of steps,
# while its divergence, close to (1 - s2)^2 / 4, is already small.
INFORMATION = 0.05
MAX_ROWS = 4096


def find_width(encoder, X, n_features):
    """Count the latent variables that carry information about the data.

    An autoencoder with more variables than needed is trained, and those whose posterior differs
    from the prior are counted: a variable that the data does not need becomes passive, whatever
    the number of others, so one wide training tells the width that a search over widths would
    find. If no variable is passive the width is doubled, up to the number of columns.

    Parameters
    ----------
    encoder : VAEEncoder
        Its parameters are used, except `n_components`; it is not changed.
    X : array-like of shape (n_samples, n_features)
        Training data, as :meth:`VAEEncoder.fit` takes it.
    n_features : int
        Number of columns.

    Returns
    -------
    width : int
        At least 1 and at most `n_features`.

    Raises
    ------
    KeyboardInterrupt
        If interrupted from the keyboard.

    Notes
    -----
    All trainings of the search together take at most ``encoder.max_steps`` gradient steps. A
    doubled width is trained only if as many steps as the last training took are left; otherwise
    the count so far is returned. Counts fall while training goes on, so a budget that ends before
    the training has converged gives too large a width.

    The rule is that of the variant of FONDUE that reads types of variables [1]_, with the
    divergence from the prior in place of the variance of the posterior, and trained until early
    stopping in place of a few steps.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "FONDUE: an algorithm to find the optimal dimensionality of
       the latent representations of variational autoencoders", 2022, arXiv:2209.12806.
    """
    # Every so many rows, because the first rows of a sorted table are not like the others.
    n_samples = _num_samples(X)
    rows = np.arange(0, n_samples, -(-n_samples // MAX_ROWS))
    some_rows = _safe_indexing(*indexable(X), rows)
    width = min(n_features, START_WIDTH)
    steps_left = encoder.max_steps
    while True:
        wide = clone(encoder).set_params(n_components=width, max_steps=steps_left, warm_start=False)
        _fit(wide, X)
        moments = LatentMoments.from_batch(*wide.posterior(some_rows))
        n_informative = int(np.sum(moments.kl > INFORMATION))
        steps_left -= wide.n_steps_
        if n_informative < width or width == n_features or steps_left < wide.n_steps_:
            return max(n_informative, 1)
        width = min(2 * width, n_features)


def _fit(encoder, X):
    with warnings.catch_warnings():
        # The training that follows the search says so itself.
        warnings.simplefilter("ignore", CollapseWarning)
        # Its model would be used as if it had been trained to the end.
        warnings.simplefilter("error", TrainingInterruptedWarning)
        try:
            encoder.fit(X)
        except TrainingInterruptedWarning:
            raise KeyboardInterrupt from None
