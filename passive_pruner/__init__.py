"""Find and remove the passive variables of variational autoencoders in scikit-learn pipelines."""

from importlib import import_module

__version__ = "0.1.0"

# Public name -> module that defines it. Loaded on first use, so that importing the package, or
# the remover alone, costs neither torch nor pandas.
_PUBLIC = {
    "PassiveVariableRemover": "_remover",
    "Posterior": "_common._codes",
    "PretrainedEncoder": "_pretrained",
    "VAEEncoder": "_encoder",
    "datasets": None,
    "exceptions": None,
    "explore": None,
    "metrics": None,
    "plots": None,
    "prune_pipeline": "_pipeline",
    "regime": None,
    "study": None,
    "trusted_types": "_trusted",
    "vae": None,
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
    try:
        module = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    if module is None:
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
