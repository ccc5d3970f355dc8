"""What objectives, likelihoods and architectures have in common."""

from typing import ClassVar

from sklearn.base import BaseEstimator, clone

from passive_pruner._common._documentation import DocumentationLinkMixin


class Component(DocumentationLinkMixin, BaseEstimator):
    """A part of a variational autoencoder that is described by plain constructor parameters.

    It has `get_params` and `set_params`, so grids reach inside, and it never holds a tensor:
    what training changes lives in the torch module that the component builds.
    """

    _parameter_constraints: ClassVar[dict] = {}

    def validated(self):
        """Return a copy whose parameters have been checked.

        Raises
        ------
        ValueError
            If a parameter is outside its documented range.
        """
        copy = clone(self)
        copy._validate_params()
        return copy
