"""What the decoder does with every latent variable: the ELBO with it and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Share of the variables that `kept_variables` keeps by mistake, at most and on average.
LEVEL = 0.05


def ablate(encoder: Any, X: Any) -> pd.DataFrame:
    """Measure the loss of the model when one latent variable at a time is replaced by its prior.

    Criteria judge a variable by the output of the encoder. This function judges it by the decoder:
    it measures how much the evidence lower bound (ELBO) falls, in nats per row, if the posterior of
    the variable is replaced by its prior. This gain is the improvement in log-likelihood due to the
    variable minus its KL divergence.

    Parameters
    ----------
    encoder : object with a method ``gain_samples``
        Fitted encoder that has a decoder and a likelihood: a :class:`passive_pruner.VAEEncoder`.
        A :class:`passive_pruner.PretrainedEncoder` has neither.
    X : array-like, dask array or dask DataFrame of shape (n_samples, n_features)
        Data, as passed to the encoder; at least two rows. Use held-out rows, because gains on
        training rows include what the model has memorised.

    Returns
    -------
    ablation : DataFrame with one row per variable, index "variable", float64
        ``gain``
            Mean over rows of the ELBO minus the ELBO with the variable at its prior, in nats.
        ``standard_error``
            Standard error of `gain` over rows, which are assumed to be independent.
        ``q_value``
            Smallest false discovery rate at which the gain is significantly above 0, from 0 to 1;
            see Notes.
        ``explained_variance_ratio``
            Attribute of the encoder: share of the variance of decoded training rows. NaN if the
            encoder does not have it.

    Raises
    ------
    TypeError
        If the encoder has no method ``gain_samples``.
    ValueError
        If `X` has fewer than two rows, or rows that the encoder cannot score.

    See Also
    --------
    passive_pruner.VAEEncoder.gain_samples : Compute the gains of single rows.
    passive_pruner.VAEEncoder.pruned : Cut variables out of the network, given this table.

    Notes
    -----
    The gain of a variable whose posterior is the prior in all rows is exactly 0. The gain of a
    variable that the decoder ignores is minus its divergence, hence never above 0, whatever the
    encoder writes into its mean. For a linear decoder :doc:`/theory` derives closed forms: with
    loadings w, noise Psi and g = w' Psi^-1 w, the gain in factor analysis is ``g - ln(1 + g) / 2``
    nats per row.

    The decoder cannot distinguish draws from the prior from signal. Cutting the variable out of the
    network, which fixes it at 0, loses less: ``(g - ln(1 + g)) / 2`` in the linear case. Gains of
    several variables are not additive.

    The p-value of a variable is that of the one-sided t-test of the hypothesis that its expected
    gain is at most 0; q-values are those of Benjamini and Hochberg [1]_. The test assumes
    independent rows and nearly normal means of gains. A few hundred rows justify the latter, unless
    the gain comes from a few rows only. The procedure controls the rate if the tests are
    independent or positively dependent [2]_, which tests on the same rows need not be; under any
    dependence the rate is at most the level times ``1 + 1/2 + ... + 1/n_components``.

    Related methods use means only or decoded rows only. DRVI calls a dimension vanished if no cell
    has a mean beyond a threshold, and orders the others by their effect on the reconstruction [3]_.
    Leeb et al. intervene on latent variables and look at the response after decoding and encoding
    again [4]_. Hirn shows that a variable of a beta-VAE collapses where its contribution to
    reconstruction is below a cutoff that beta sets [5]_.

    References
    ----------
    .. [1] Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", Journal of the
       Royal Statistical Society B 57(1), 1995.
    .. [2] Y. Benjamini and D. Yekutieli, "The Control of the False Discovery Rate in Multiple
       Testing under Dependency", Annals of Statistics 29(4), 2001.
    .. [3] ``scvi.external.drvi.utils.tl.set_latent_dimension_stats`` of scvi-tools 1.5.
    .. [4] F. Leeb, S. Bauer, M. Besserve and B. Schölkopf, "Exploring the Latent Space of
       Autoencoders with Interventional Assays", NeurIPS 2022, arXiv:2106.16091.
    .. [5] J. Hirn, "Posterior Collapse as Automatic Spectral Pruning", 2026, arXiv:2605.22691.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.regime import ablate
    >>> X = StandardScaler().fit_transform(load_wine().data)
    >>> train, test = train_test_split(X, random_state=0)
    >>> encoder = VAEEncoder(n_components=8, max_steps=300, random_state=0).fit(train)
    >>> ablation = ablate(encoder, test)
    >>> ablation.columns.tolist()
    ['gain', 'standard_error', 'q_value', 'explained_variance_ratio']
    >>> smaller = encoder.pruned(ablation)
    >>> bool(smaller.n_components_ == (ablation["q_value"] <= 0.05).sum())
    True
    """
    import pandas as pd
    from scipy import stats  # which takes long to import

    if not hasattr(encoder, "gain_samples"):
        raise TypeError(
            "ablate needs a fitted encoder with a decoder and a likelihood, such as VAEEncoder, "
            f"got {type(encoder).__name__}, of which no likelihood is known. Of a pipeline pass "
            "the encoder, and X as the steps before it return it."
        )
    gains = np.asarray(encoder.gain_samples(X), dtype=np.float64)
    n_samples = len(gains)
    if n_samples < 2:
        raise ValueError(f"A standard error needs at least 2 rows, X has {n_samples}.")
    gain = gains.mean(axis=0)
    standard_error = gains.std(axis=0, ddof=1) / np.sqrt(n_samples)
    # Where all rows gain the same there is nothing to test.
    varies = standard_error > 0
    t = np.divide(gain, standard_error, where=varies, out=np.where(gain > 0, np.inf, -np.inf))
    ratio = getattr(encoder, "explained_variance_ratio_", np.full_like(gain, np.nan))
    return pd.DataFrame(
        {
            "gain": gain,
            "standard_error": standard_error,
            "q_value": stats.false_discovery_control(stats.t.sf(t, df=n_samples - 1)),
            "explained_variance_ratio": ratio,
        },
        index=pd.RangeIndex(len(gain), name="variable"),
    )


def kept_variables(keep, n_components):
    """Turn tables by variable into numbers of variables, whatever the order of their rows.

    Parameters
    ----------
    keep : DataFrame, Series or object
        Some or all rows of a table of :func:`ablate`, a mask that was computed from one, such as
        ``table["gain"] > 0``, or anything else.
    n_components : int
        Number of variables of the encoder.

    Returns
    -------
    numbers : ndarray of int, or `keep`
        Of a table those of the variables that are shown to gain anything, of a mask those where it
        is True, in ascending order. Anything else is returned as it is.

    Raises
    ------
    ValueError
        If it is another table, one of another encoder or that has lost the numbers of its
        variables, or no variable is shown to gain anything.
    """
    if hasattr(keep, "columns"):
        return _shown_to_gain(keep, n_components)
    index = getattr(keep, "index", None)
    is_numbered = getattr(index, "name", None) == "variable" and index.dtype.kind == "i"
    if is_numbered and keep.dtype == bool:
        _check_numbers(index, n_components)
        return np.sort(index[keep.to_numpy()].to_numpy())
    return keep


def _check_numbers(numbers, n_components):
    if len(numbers) and max(numbers) >= n_components:
        raise ValueError(
            f"The table has a variable {max(numbers)}, but the encoder has variables 0 to "
            f"{n_components - 1}: pass what passive_pruner.regime.ablate returns for this encoder."
        )


def _shown_to_gain(ablation, n_components):
    import pandas as pd

    if "q_value" not in ablation.columns:
        raise ValueError(
            "As a table of variables to keep pass what passive_pruner.regime.ablate returns, with "
            f"a column 'q_value'; this one has {[str(name) for name in ablation.columns]}."
        )
    if "variable" in ablation.columns:  # as a file that was read may have them
        numbers, values = np.asarray(ablation["variable"]), np.asarray(ablation["q_value"])
        ablation = pd.DataFrame({"q_value": values}, index=pd.Index(numbers, name="variable"))
    if getattr(getattr(ablation, "index", None), "name", None) != "variable":
        raise ValueError(
            "The table of variables to keep does not say which variables its rows are: they are "
            "the index 'variable' of what passive_pruner.regime.ablate returns, or a column of "
            "that name."
        )
    _check_numbers(ablation.index, n_components)
    q_value = ablation["q_value"]
    numbers = q_value.index[q_value.to_numpy() <= LEVEL]
    if len(numbers) == 0:
        raise ValueError(
            f"No variable is shown to gain anything: the smallest q_value is {q_value.min():.3g}, "
            f"above {LEVEL}. Ablate on more rows, or pass a mask such as table['gain'] > 0."
        )
    return np.sort(numbers.to_numpy())
