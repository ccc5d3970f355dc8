"""What the sweep trains: the paper's grid, presets, and files that change them."""

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from math import isfinite
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from passive_pruner.study._data import DATASETS
from passive_pruner.vae import (
    DIPVAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    FactorVAE,
    Objective,
)

# Name of an objective -> objective, given its strength, the number of gradient steps and the widths
# of a discriminator. What is fixed here are the values of disentanglement_lib.
OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "beta_vae": lambda strength, steps, discriminator: BetaVAE(beta=strength),
    # Of the 300,000 steps of the paper the first 100,000 raise the capacity.
    "annealed_vae": lambda strength, steps, discriminator: AnnealedVAE(
        gamma=1000.0, c_max=strength, iteration_threshold=max(1, steps // 3)
    ),
    "factor_vae": lambda strength, steps, discriminator: FactorVAE(
        gamma=strength, discriminator_layer_sizes=discriminator
    ),
    "dip_vae_ii": lambda strength, steps, discriminator: DIPVAE(
        kind="ii", lambda_od=strength, lambda_d=strength
    ),
    "beta_tc_vae": lambda strength, steps, discriminator: BetaTCVAE(beta=strength),
    "dip_vae_i": lambda strength, steps, discriminator: DIPVAE(
        kind="i", lambda_od=strength, lambda_d=10 * strength
    ),
}

# Locatello et al. (2019), arXiv 1811.12359, table 2 of the appendix; "Be More Active!" trains all
# of these but DIP-VAE-I.
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "beta_vae": (1, 2, 4, 6, 8, 16),
    "annealed_vae": (5, 10, 25, 50, 75, 100),
    "factor_vae": (10, 20, 30, 40, 50, 100),
    "dip_vae_ii": (1, 2, 5, 10, 20, 50),
    "beta_tc_vae": (1, 2, 4, 6, 8, 10),
    "dip_vae_i": (1, 2, 5, 10, 20, 50),
}


# Settings that are whole numbers, and those of make_sprites that may be set.
_WHOLE = (
    "n_strengths", "n_seeds", "n_components", "steps", "small_steps", "batch_size",
    "n_checkpoints", "n_images", "n_examples",
)  # fmt: skip
_SPRITES = ("image_size", "n_scales", "n_orientations", "n_positions")


def _check_list(name, values):
    if not isinstance(values, tuple):
        raise ValueError(f"{name}={values!r} must be a list.")


def _check_once(name, values):
    # Two models of the same name would write the same file.
    if repeated := [value for i, value in enumerate(values) if value in values[:i]]:
        raise ValueError(f"{name} has {repeated[0]!r} more than once.")


def _check_names(name, given, known):
    for value in given:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name}: unknown {value!r}; choose from {', '.join(known)}.")


def _check_whole(name, value):
    # bool is an Integral as well, but no number.
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name}={value!r} must be a whole number.")
    if value < 1:
        raise ValueError(f"{name}={value!r} must be at least 1.")


def _check_number(name, value):
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and isfinite(value) and value >= 0):
        raise ValueError(f"{name}={value!r} must be a finite number of at least 0.")


@dataclass(frozen=True)
class Settings:
    """Everything that decides the results of a sweep.

    Attributes
    ----------
    datasets, objectives : tuple of str
        Names of what is combined, each at most once.
    strengths : dict of str to tuple of float
        Strengths by objective, finite and at least 0.
    n_strengths : int
        How many of them are used, evenly spaced in the list from the first to the last.
    n_seeds : int
        Seeds 0, 1, ... per combination.
    n_components : int
        Number of latent variables.
    architecture : {"mlp", "conv"}
        Networks of image data; tables always have an MLP.
    hidden_layer_sizes : tuple of int
        Widths of the MLP.
    discriminator : tuple of int
        Widths of the discriminator of FactorVAE.
    steps, small_steps : int
        Gradient steps on sprites, and on the other data sets.
    batch_size : int
        Rows per gradient step.
    learning_rate : float
        Step size of Adam, above 0.
    n_checkpoints : int
        States in training at which correlations are measured.
    sprites : dict of str to int
        Whole-numbered parameters of :func:`passive_pruner.datasets.make_sprites`.
    n_images : int
        Most sprites that are trained on; of more, as many are drawn.
    n_examples : int
        Most rows that models are evaluated on.
    boosting : bool
        Whether gradient boosting is trained on the codes besides logistic regression.

    Raises
    ------
    ValueError
        Naming the setting, its value and what it may be. All whole numbers are at least 1.
    """

    datasets: tuple[str, ...] = ("sprites", "digits", "breast_cancer", "wine")
    objectives: tuple[str, ...] = (
        "beta_vae", "annealed_vae", "factor_vae", "dip_vae_ii", "beta_tc_vae",
    )  # fmt: skip
    strengths: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: dict(STRENGTHS))
    n_strengths: int = 3
    n_seeds: int = 3
    n_components: int = 10
    architecture: str = "mlp"
    hidden_layer_sizes: tuple[int, ...] = (128, 128)
    discriminator: tuple[int, ...] = (256, 256)
    steps: int = 4_000
    small_steps: int = 1_500
    batch_size: int = 64
    learning_rate: float = 1e-3
    n_checkpoints: int = 6
    sprites: Mapping[str, int] = field(
        default_factory=lambda: {
            "image_size": 32, "n_scales": 3, "n_orientations": 8, "n_positions": 8,
        }
    )  # fmt: skip
    n_images: int = 20_000
    n_examples: int = 3_000
    boosting: bool = True

    def __post_init__(self):
        for name, known in (("datasets", DATASETS), ("objectives", OBJECTIVES)):
            names = getattr(self, name)
            _check_list(name, names)
            _check_names(name, names, known)
            _check_once(name, names)
            if not names:
                raise ValueError(f"{name} is empty; choose from {', '.join(known)}.")
        for name in _WHOLE:
            _check_whole(name, getattr(self, name))
        for name in ("hidden_layer_sizes", "discriminator"):
            _check_list(name, getattr(self, name))
            for size in getattr(self, name):
                _check_whole(name, size)
        for name, known in (("strengths", OBJECTIVES), ("sprites", _SPRITES)):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"{name}={getattr(self, name)!r} must be a table of names.")
            _check_names(name, getattr(self, name), known)
        for name, values in self.strengths.items():
            _check_list(f"strengths.{name}", values)
            if not values:
                raise ValueError(f"strengths.{name} is empty; give at least one number.")
            for value in values:
                _check_number(f"strengths.{name}", value)
            _check_once(f"strengths.{name}", values)
        for name, value in self.sprites.items():
            _check_whole(f"sprites.{name}", value)
        _check_number("learning_rate", self.learning_rate)
        if self.learning_rate == 0:
            raise ValueError("learning_rate=0 must be above 0.")
        if not isinstance(self.boosting, bool):
            raise ValueError(f"boosting={self.boosting!r} must be true or false.")
        if self.architecture not in ("mlp", "conv"):
            raise ValueError(f"architecture={self.architecture!r} must be 'mlp' or 'conv'.")

    def models(self):
        """List the models of the sweep, all combinations with one seed before the next seed."""
        return [
            Model(dataset, objective, strength, seed, self.steps_of(dataset), self.key(
                dataset, objective, strength, seed))
            for seed, dataset, objective in product(
                range(self.n_seeds), self.datasets, self.objectives
            )
            for strength in self.chosen_strengths(objective)
        ]  # fmt: skip

    def chosen_strengths(self, objective):
        """Return strengths of `objective`, evenly spaced in their list."""
        values = self.strengths[objective]
        n = min(self.n_strengths, len(values))
        # The first of two middles, so that 3 of 6 are numbers 0, 2 and 5.
        return [values[i] for i in np.ceil(np.linspace(0, len(values) - 1, n) - 0.5).astype(int)]

    def steps_of(self, dataset):
        """Return the gradient steps of a model on `dataset`."""
        return self.steps if dataset == "sprites" else self.small_steps

    def key(self, dataset, *model):
        """Return a digest of a model and of the settings that its results depend on."""
        unused = {"datasets", "objectives", "strengths", "n_strengths", "n_seeds", "steps"}
        unused |= {"small_steps"} | (set() if dataset == "sprites" else {"sprites", "n_images"})
        parameters = {k: v for k, v in asdict(self).items() if k not in unused}
        text = json.dumps([dataset, *model, self.steps_of(dataset), parameters], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Model:
    """One model of the sweep; `key` tells it from the same model under other settings."""

    dataset: str
    objective: str
    strength: float
    seed: int
    steps: int
    key: str

    @property
    def name(self):
        """Name of the file of results, without its ending."""
        return f"{self.dataset}-{self.objective}-{self.strength:g}-{self.seed}-{self.key}"


#: Name of a preset -> what differs from the defaults.
PRESETS: Mapping[str, dict] = {
    "quick": {
        "datasets": ("digits", "breast_cancer"),
        "n_strengths": 2,
        "n_seeds": 1,
        "small_steps": 1_000,
        "boosting": False,
    },
    "paper": {
        "datasets": ("sprites",),
        "n_strengths": 6,
        "n_seeds": 5,
        "architecture": "conv",
        "discriminator": (1000,) * 6,
        "steps": 300_000,
        "learning_rate": 1e-4,
        "sprites": {"image_size": 64},
        "n_images": 737_280,
        "n_examples": 10_000,
    },
}


def load_settings(preset=None, path=None, **changes):
    """Load settings: a preset, changed by a TOML file, changed by what is not None in `changes`.

    Raises
    ------
    ValueError
        Naming the file or the option, the setting, its value and what it may be.
    OSError
        If the file cannot be read.
    """
    settings = Settings(**PRESETS[preset] if preset else {})
    if path is not None:
        try:
            given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:  # neither text nor TOML
            raise ValueError(f"{path} is not a TOML file: {error}") from error
        settings = _changed(settings, given, str(path))
    return _changed(settings, {k: v for k, v in changes.items() if v is not None}, "options")


def _changed(settings, changes, source):
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(set(changes) - known):
        raise ValueError(
            f"{source}: unknown setting {unknown[0]!r}; choose from {', '.join(sorted(known))}."
        )
    values = {k: _tuples(v) for k, v in changes.items()}
    if isinstance(values.get("strengths"), Mapping):
        values["strengths"] = {**settings.strengths, **values["strengths"]}
    try:
        return replace(settings, **values)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _tuples(value):
    """Turn lists into tuples, in tables as well."""
    if isinstance(value, Mapping):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value
