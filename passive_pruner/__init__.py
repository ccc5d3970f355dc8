"""Find and remove the passive variables of variational autoencoders in scikit-learn pipelines."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "PassiveVariableRemover",
    "Posterior",
    "PretrainedEncoder",
    "VAEEncoder",
    "datasets",
    "exceptions",
    "explore",
    "metrics",
    "model_card",
    "plots",
    "prune_pipeline",
    "regime",
    "study",
    "trusted_types",
    "vae",
]

if TYPE_CHECKING:
    from passive_pruner import datasets, exceptions, explore, metrics, plots, regime, study, vae
    from passive_pruner._card import model_card
    from passive_pruner._common._codes import Posterior
    from passive_pruner._encoder import VAEEncoder
    from passive_pruner._pipeline import prune_pipeline
    from passive_pruner._pretrained import PretrainedEncoder
    from passive_pruner._remover import PassiveVariableRemover
    from passive_pruner._trusted import trusted_types
else:
    # Loaded on first use, so that importing the package, or the remover alone, costs neither
    # torch nor pandas. Names that are not here are modules.
    _MODULES = {
        "PassiveVariableRemover": "_remover",
        "Posterior": "_common._codes",
        "PretrainedEncoder": "_pretrained",
        "VAEEncoder": "_encoder",
        "model_card": "_card",
        "prune_pipeline": "_pipeline",
        "trusted_types": "_trusted",
    }

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
        if name not in _MODULES:
            return module
        globals()[name] = value = getattr(module, name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
