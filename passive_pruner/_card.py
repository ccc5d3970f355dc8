"""A model card: what a fitted pipeline was fitted on, what its variables are, how good it is."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from scipy import sparse
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _num_samples

import passive_pruner
from passive_pruner._common._typing import MatrixLike
from passive_pruner.plots._inputs import find_encoder, find_parts, steps_of, variable_names
from passive_pruner.regime import CRITERIA, report
from passive_pruner.vae import Gaussian

if TYPE_CHECKING:
    from skops.card import Card

# Columns that are named one by one.
_MAX_NAMES = 30


def model_card(estimator: Any, X: MatrixLike, *, X_test: MatrixLike | None = None) -> Card:
    """Create a skops model card of a fitted encoder or pipeline.

    The card describes the data, the result of training, the type of every latent variable, the
    removed variables with the rule that removed them, and the ELBO in comparison with the
    log-likelihoods of factor analysis and PCA of the same width. Add sections on the purpose and
    the intended users of the model yourself.

    Parameters
    ----------
    estimator : encoder or Pipeline
        Fitted estimator with a :class:`VAEEncoder` or :class:`PretrainedEncoder`. Of a search the
        best estimator is used.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Training data, as passed to the estimator.
    X_test : array-like or DataFrame of shape (n_samples, n_features), default=None
        Rows that were not used in training, on which the models of the data are compared. None
        compares them on `X`, which favours the model with the closest fit; the card states this.

    Returns
    -------
    card : skops.card.Card
        ``card.render()`` is its Markdown; ``card.save("README.md")`` writes it;
        ``card.add(**{"Intended use": "..."})`` adds to it.

    Raises
    ------
    ImportError
        If skops is not installed: ``pip install "passive_pruner[persistence]"``.
    ValueError
        If there is no fitted encoder.

    Notes
    -----
    The ELBO is a lower bound of the log-likelihood, whereas the log-likelihoods of the linear
    models are exact [1]_. An encoder whose ELBO is lower describes the data worse, or has not been
    trained enough. The comparison is made if the likelihood is Gaussian for all columns and the
    columns are numeric, not constant and without missing cells. The linear models are fitted to the
    standardised columns, as the encoder is.

    References
    ----------
    .. [1] J. Lucas, G. Tucker, R. Grosse and M. Norouzi, "Don't Blame the ELBO! A Linear VAE
       Perspective on Posterior Collapse", NeurIPS 2019, arXiv:1911.02469.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import PassiveVariableRemover, VAEEncoder, model_card
    >>> X = load_wine().data
    >>> encoder = VAEEncoder(n_components=6, max_steps=200, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), encoder, PassiveVariableRemover()).fit(X)
    >>> card = model_card(pipe, X)
    >>> print(card.select("What was removed, and why").content)
    ```
    6 latent variables in 178 rows: 3 active, 0 mixed, 3 passive.
    ...
    """
    try:
        from skops.card import Card
    except ImportError as error:
        raise ImportError(
            "model_card requires skops. Install it with pip install 'passive_pruner[persistence]'."
        ) from error
    estimator = getattr(estimator, "best_estimator_", estimator)
    X, X_test = (np.asarray(rows) if isinstance(rows, list) else rows for rows in (X, X_test))
    encoder, remover, inside, _ = find_encoder("model_card", estimator, X)
    card = Card(estimator, model_diagram=False, template=None)
    steps = " → ".join(type(step).__name__ for step in steps_of(estimator))
    card.add(Model=f"{steps}\n\n{_block(estimator)}")
    card.add(Data=_data(X, encoder))
    if hasattr(encoder, "summary"):
        card.add(Training=_block(encoder.summary()))
    moments = encoder.moments(inside)
    if remover is None:
        criterion = CRITERIA["active_units"]
        types = criterion(moments, criterion.threshold)
        rule = criterion.words.format(threshold=criterion.threshold)
        removed = f"Nothing: there is no PassiveVariableRemover. Types in this card: {rule}."
        if hasattr(encoder, "variable_numbers_"):
            removed = (
                "The encoder was cut down to these variables, by a choice that it does not know. "
                f"Types in this card: {rule}."
            )
    else:
        types, removed = remover.variable_types_, _block(remover.summary())
    table = report(moments, types, names=variable_names(encoder)).reset_index()
    shown = ["variable", "type", "variance_of_mean", "mean_of_variance", "kl"]
    shown += ["max_correlation_mean", "max_correlation_sampled"]
    table = table[shown].round(3)
    share = getattr(encoder, "explained_variance_ratio_", None)
    if share is not None:
        table["explained_variance_ratio"] = np.round(share, 3)
    card.add_table(
        description="Measured on the training data; the divergence `kl` is in nats.",
        **{"Latent variables": table},
    )
    card.add(**{"What was removed, and why": removed})
    card.add(**{"How well it describes the data": _densities(estimator, encoder, inside, X_test)})
    versions = {"passive_pruner": passive_pruner, "scikit-learn": sklearn, "numpy": np}
    lines = [f"- {name} {module.__version__}" for name, module in versions.items()]
    card.add(Versions="\n".join([f"- Python {platform.python_version()}", *lines]))
    return card


def _block(text) -> str:
    return f"```\n{text}\n```"


def _data(X, encoder) -> str:
    """Size, names and kinds of the columns."""
    text = f"{_num_samples(X)} rows with {np.shape(X)[1:]} columns." if np.ndim(X) > 2 else ""
    if not text:
        text = f"{X.shape[0]} rows, {X.shape[1]} columns." if hasattr(X, "shape") else ""
    names = [str(name) for name in getattr(X, "columns", [])]
    if names:
        more = "" if len(names) <= _MAX_NAMES else f" and {len(names) - _MAX_NAMES} more"
        text += f"\n\nColumns: {', '.join(names[:_MAX_NAMES])}{more}."
    columns = getattr(encoder, "columns_", None)
    if columns is not None:
        text += f"\n\nWhat the encoder reads:\n\n{_block(columns)}"
    return text


def _densities(estimator, encoder, train, X_test) -> str:
    """Table of the ELBO and the log-likelihoods of linear models."""
    if not hasattr(encoder, "score"):
        return f"{type(encoder).__name__} has no decoder, so there is no density to compare."
    test = train if X_test is None else find_parts(estimator, X_test).X
    rows = "the training data" if X_test is None else f"{_num_samples(test)} test rows"
    lines = [f"Mean over {rows}, in nats per row.", "", "| model | nats per row |", "|---|---|"]
    lines.append(f"| {type(encoder).__name__}, ELBO | {encoder.score(test):.2f} |")
    likelihood = getattr(encoder, "likelihood_", None)
    why_not = "" if type(likelihood) is Gaussian else f"the likelihood is {likelihood!r}"
    if getattr(encoder, "allow_missing_", False):
        why_not = "cells may be missing"
    elif sparse.issparse(train) or np.ndim(train) != 2:
        why_not = "X is no dense table"
    elif not why_not and (np.ptp(np.asarray(train), axis=0) == 0).any():
        why_not = "a column is constant, and has no density"
    if why_not:
        return "\n".join([*lines, "", f"Linear models are not compared: {why_not}."])
    width = min(encoder.n_components_, train.shape[1] - 1, _num_samples(train) - 1)
    # Like the encoder they see standardised columns; in the units of X densities have a factor.
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    for name, model in {
        "factor analysis": FactorAnalysis(width),
        "PCA": PCA(width, random_state=0),
    }.items():
        score = model.fit(train).score(test) - np.log(scaler.scale_).sum()
        lines.append(f"| {name} of width {width}, log-likelihood | {score:.2f} |")
    return "\n".join(lines)
