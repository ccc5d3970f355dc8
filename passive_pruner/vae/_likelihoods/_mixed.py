"""Mixed likelihood, for tables whose columns differ in kind."""

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from passive_pruner.vae._likelihoods._base import (
    Likelihood,
    LikelihoodModule,
    Standardization,
    build_module,
    cell_error,
)
from passive_pruner.vae._likelihoods._names import LIKELIHOODS


class Mixed(Likelihood):
    """Combination of likelihoods for groups of columns, which are independent given the code.

    The log-likelihood is the sum of those of the groups. The scale of a column has no influence if
    the likelihood learns a scale: use ``Gaussian("per_feature")`` for real columns in different
    units.

    Parameters
    ----------
    parts : list of (likelihood, columns)
        A likelihood, or its name, and the columns that it describes: a position, a list of
        positions, a boolean mask, a slice, a column name or a list of names. Every column of the
        data belongs to exactly one part. Each one-hot group must be a separate part.

    References
    ----------
    Nazabal, Olmos, Ghahramani and Valera (2020), "Handling incomplete heterogeneous data using
    VAEs", Pattern Recognition 107, arXiv 1807.03653.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.vae import Gaussian, Mixed
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": rng.normal(40, 9, 200), "visits": rng.poisson(3.0, 200)})
    >>> X = X.join(pd.get_dummies(pd.Series(rng.choice(["a", "b", "c"], 200)), dtype=float))
    >>> likelihood = Mixed(
    ...     [
    ...         (Gaussian("per_feature"), ["age"]),
    ...         ("poisson", ["visits"]),
    ...         ("categorical", ["a", "b", "c"]),
    ...     ]
    ... )
    >>> encoder = VAEEncoder(2, likelihood=likelihood, max_steps=300, random_state=0)
    >>> encoder.fit(X).sample(4)[:, 2:].sum(axis=1)
    array([1., 1., 1., 1.], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict] = {"parts": [list, tuple]}

    def __init__(self, parts: Sequence[tuple[Any, Any]]) -> None:
        self.parts = parts

    def validated(self) -> Self:
        copy = super().validated()
        copy.parts = [_validated_part(part) for part in copy.parts]
        return copy

    def resolve(self, n_features: int, feature_names: Sequence[str] | None = None) -> Likelihood:
        names = None if feature_names is None else list(feature_names)
        parts = []
        n_parts = np.zeros(n_features, dtype=int)
        for likelihood, columns in self.parts:
            positions = _positions(columns, n_features, names)
            if not positions:
                raise ValueError(f"The part ({likelihood!r}, {columns!r}) of Mixed has no columns.")
            np.add.at(n_parts, positions, 1)
            part_names = None if names is None else [names[j] for j in positions]
            parts.append((likelihood.resolve(len(positions), part_names), positions))
        for wrong, what in [(n_parts == 0, "no part"), (n_parts > 1, "more than one part")]:
            if wrong.any():
                columns = [names[j] if names else int(j) for j in np.flatnonzero(wrong)]
                raise ValueError(
                    f"Every column belongs to exactly one part of Mixed, but {columns} belong to "
                    f"{what}."
                )
        return Mixed(parts)

    def n_outputs(self, n_features: int) -> int:
        return sum(likelihood.n_outputs(len(columns)) for likelihood, columns in self.parts)

    def shiftable(self, n_features: int) -> np.ndarray:
        mask = np.zeros(n_features, dtype=bool)
        for likelihood, columns in self.parts:
            mask[columns] = likelihood.shiftable(len(columns))
        return mask

    def check_data(self, X: np.ndarray) -> None:
        for likelihood, columns in self.parts:
            try:
                likelihood.check_data(X[:, columns])
            except ValueError as error:
                if cell := vars(error).get("cell"):
                    message, column = cell  # the column is counted within the part
                    raise cell_error(message, columns[column]) from None
                raise ValueError(f"In columns {columns} of X: {error}") from error

    def build(
        self,
        X: np.ndarray,
        *,
        allow_missing: bool = False,
        sample_weight: np.ndarray | None = None,
    ) -> LikelihoodModule:
        return MixedModule(self.parts, X, missing=allow_missing, sample_weight=sample_weight)


class MixedModule(LikelihoodModule):
    def __init__(self, parts, X: np.ndarray, *, missing: bool, sample_weight):
        super().__init__(missing=missing)
        self.parts = nn.ModuleList(
            build_module(likelihood, X[:, columns], missing, sample_weight)
            for likelihood, columns in parts
        )
        self.n_columns = [len(columns) for _, columns in parts]
        self.n_outputs = [likelihood.n_outputs(len(columns)) for likelihood, columns in parts]
        # Columns sorted by part, and back. They move with the module to its device but follow
        # from the component, so they are no weights.
        positions = [column for _, columns in parts for column in columns]
        order = torch.tensor(positions, dtype=torch.int64, device="cpu")
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse_order", order.argsort(), persistent=False)

    def standardize(self, x):
        columns = self._split(x)
        return self._join(p.standardize(c) for p, c in zip(self.parts, columns, strict=True))

    def standardization(self, n_features):
        order = self.order.cpu().numpy()
        parts = [p.standardization(n) for p, n in zip(self.parts, self.n_columns, strict=True)]
        if any(part is None for part in parts):
            return None
        joined = Standardization.of(n_features)
        for values, of_parts in zip(joined, zip(*parts, strict=True), strict=True):
            values[order] = np.concatenate(of_parts)
        return joined

    def log_likelihood(self, outputs, x):
        outputs, columns = self._split_outputs(outputs), self._split(x)
        return sum(
            p.log_likelihood(o, c) for p, o, c in zip(self.parts, outputs, columns, strict=True)
        )

    def mean(self, outputs):
        outputs = self._split_outputs(outputs)
        return self._join(p.mean(o) for p, o in zip(self.parts, outputs, strict=True))

    def standardized_mean(self, outputs):
        outputs = self._split_outputs(outputs)
        return self._join(p.standardized_mean(o) for p, o in zip(self.parts, outputs, strict=True))

    def sample(self, outputs):
        outputs = self._split_outputs(outputs)
        return self._join(p.sample(o) for p, o in zip(self.parts, outputs, strict=True))

    def _split(self, x):
        return x[:, self.order].split(self.n_columns, dim=1)

    def _split_outputs(self, outputs):
        return outputs.split(self.n_outputs, dim=1)

    def _join(self, tables):
        return torch.cat(list(tables), dim=1)[:, self.inverse_order]


def _validated_part(part):
    """Return (likelihood, columns) with the likelihood made from its name and validated."""
    if not (isinstance(part, tuple) and len(part) == 2):
        raise ValueError(f"Each part of Mixed is a pair (likelihood, columns), but got {part!r}.")
    likelihood, columns = part
    if isinstance(likelihood, str) and likelihood in LIKELIHOODS:
        likelihood = LIKELIHOODS[likelihood]()
    if not isinstance(likelihood, Likelihood):
        raise ValueError(
            "The likelihood of a part of Mixed is a Likelihood instance or one of "
            f"{sorted(LIKELIHOODS)}, but got {likelihood!r}."
        )
    return likelihood.validated(), columns


def _positions(columns, n_features: int, names: Sequence[str] | None) -> list[int]:
    """Turn a position, a name, a slice, or a list or mask of them into a list of positions."""
    if isinstance(columns, slice):
        return list(range(n_features))[columns]
    chosen = [columns] if isinstance(columns, (str, Integral)) else columns
    if not isinstance(chosen, Iterable) or isinstance(chosen, (bytes, Mapping, Set)):
        raise ValueError(_no_columns(columns))
    chosen = list(chosen)
    if chosen and all(isinstance(column, str) for column in chosen):
        if names is None:
            raise ValueError(
                f"Mixed names the columns {chosen}, but X has no column names. Pass a DataFrame, "
                "or positions."
            )
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise ValueError(
                f"Mixed names the columns {unknown}, which X does not have; it has {list(names)}."
            )
        return [names.index(name) for name in chosen]
    is_mask = bool(chosen) and all(isinstance(column, (bool, np.bool_)) for column in chosen)
    if not is_mask and not all(type(c) is not bool and isinstance(c, Integral) for c in chosen):
        raise ValueError(_no_columns(columns))
    try:
        return np.arange(n_features)[np.asarray(chosen, dtype=bool if is_mask else int)].tolist()
    except IndexError as error:
        raise ValueError(
            f"Mixed asks for columns {chosen}, but X has {n_features} columns."
        ) from error


def _no_columns(columns) -> str:
    return (
        "The columns of a part of Mixed are a position, a name, a slice, a list of positions or of "
        f"names, or a boolean mask, but got {columns!r}."
    )
