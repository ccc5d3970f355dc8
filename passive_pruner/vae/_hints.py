"""Errors for what is given in the place of a component, with what was probably meant."""

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter, isclass, signature
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from passive_pruner.vae._architectures import MLP, Architecture, Conv, FromFactory
from passive_pruner.vae._likelihoods import LIKELIHOODS, Likelihood, Mixed
from passive_pruner.vae._objective import Objective
from passive_pruner.vae._objectives import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE, FactorVAE

# Parameter -> base class and the public classes of its components.
COMPONENTS = {
    "objective": (Objective, (BetaVAE, AnnealedVAE, FactorVAE, DIPVAE, BetaTCVAE)),
    "likelihood": (Likelihood, (*LIKELIHOODS.values(), Mixed)),
    "architecture": (Architecture, (MLP, Conv, FromFactory)),
}
# What other libraries and papers call them.
_ALIASES = {
    "elbo": BetaVAE,
    "vae": BetaVAE,
    "kl": BetaVAE,
    "tcvae": BetaTCVAE,
    "normal": "gaussian",
    "mse": "gaussian",
    "squarederror": "gaussian",
    "bce": "bernoulli",
    "binary": "bernoulli",
    "crossentropy": "categorical",
    "multinomial": "categorical",
    "softmax": "categorical",
    "count": "negative_binomial",
    "nb": "negative_binomial",
    "dense": MLP,
    "linear": MLP,
    "cnn": Conv,
}


def refuse_other_than_components(estimator) -> None:
    """Raise an error that says which components there are and which one may have been meant.

    Parameters
    ----------
    estimator : estimator instance
        With the parameters `objective`, `likelihood` and `architecture`.

    Raises
    ------
    InvalidParameterError
        If one of them is neither None nor what its place takes.
    """
    for name, (base, classes) in COMPONENTS.items():
        value = getattr(estimator, name)
        names = ["auto", *sorted(LIKELIHOODS)] if name == "likelihood" else []
        if value is None or isinstance(value, base) or (isinstance(value, str) and value in names):
            continue
        if names and isinstance(value, Mapping):
            continue
        by_name = f", {', '.join(map(repr, names))}, a dict of these by column" if names else ""
        meant = _meant(name, value)
        raise InvalidParameterError(
            f"The {name!r} parameter of {type(estimator).__name__} must be None{by_name} or a "
            f"component of passive_pruner.vae ({', '.join(c.__name__ for c in classes)}, or your "
            f"own {base.__name__}). Got {value!r} instead."
            + (f" Did you mean {meant}?" if meant else "")
        )


def _meant(name, value) -> str | None:
    """Return what may have been meant, as it is written, or None."""
    base, classes = COMPONENTS[name]
    for other, (other_base, _) in COMPONENTS.items():
        if isinstance(value, other_base):
            return f"{other}={value!r}"
    if isclass(value):
        return _call(value) if issubclass(value, base) else None
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if base is Objective and is_number:
        return f"BetaVAE(beta={value})"
    if base is Architecture:
        sizes = (value,) if is_number else value
        if isinstance(sizes, (tuple, list)) and all(isinstance(s, Integral) for s in sizes):
            return f"MLP({tuple(map(int, sizes))})"
    if not isinstance(value, str):
        return None
    known: dict[str, Any] = {_letters(cls.__name__): cls for cls in classes}
    if base is Likelihood:
        known |= {_letters(key): key for key in LIKELIHOODS}
    here = set(known.values())
    known |= {alias: meant for alias, meant in _ALIASES.items() if meant in here}
    given = _letters(value)
    # As a whole, by a beginning such as "beta" of BetaVAE, or by a similar spelling.
    starts = [key for key in known if len(given) > 2 and key.startswith(given)]
    for key in [k for k in known if k == given] + starts + get_close_matches(given, known, 1):
        meant = known[key]
        return repr(meant) if isinstance(meant, str) else _call(meant)
    return None


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def _call(cls) -> str:
    needed = any(p.default is Parameter.empty for p in signature(cls).parameters.values())
    return f"{cls.__name__}({'...' if needed else ''})"
