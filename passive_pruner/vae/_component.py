"""Base class of objectives, likelihoods and architectures."""

from inspect import signature
from typing import ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from passive_pruner._common._documentation import DocumentationLinkMixin
from passive_pruner._common._parameters import refuse_booleans


class Component(DocumentationLinkMixin, BaseEstimator):
    """A part of a variational autoencoder that is described by plain constructor parameters.

    It has `get_params` and `set_params`, so grids reach inside, and it never holds a tensor:
    what training changes lives in the torch module that the component builds.
    """

    _parameter_constraints: ClassVar[dict] = {}

    def validated(self) -> Self:
        """Return a copy whose parameters have been checked.

        Returns
        -------
        component : component of the same class
            Copy with valid parameters.

        Raises
        ------
        ValueError
            If a parameter is outside its documented range.
        """
        copy = clone(self)
        copy._validate_params()
        refuse_booleans(copy)
        return copy

    def __setstate__(self, state):
        # What a component that was saved by an earlier version lacks is at its default.
        for parameter in signature(type(self)).parameters.values():
            state = {parameter.name: parameter.default, **state}
        super().__setstate__(state)

    def equals(self, other: object) -> bool:
        """Check whether `other` has the same class and equal parameters.

        Parameters
        ----------
        other : object
            Object to compare with.

        Returns
        -------
        equal : bool
            Whether both are the same.
        """
        return _equal(self, other)


def _equal(a, b) -> bool:
    if isinstance(a, Component):
        return type(a) is type(b) and _equal(a.get_params(deep=False), b.get_params(deep=False))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple, np.ndarray)) and isinstance(b, (list, tuple, np.ndarray)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)
