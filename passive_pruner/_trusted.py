"""The types of the package that occur in files of its estimators."""

import inspect

from sklearn.base import BaseEstimator

import passive_pruner
from passive_pruner import regime, vae


def trusted_types():
    """List the package's own types for ``skops.io.load(file, trusted=trusted_types())``.

    skops builds no object of a type that it neither knows nor finds in this list: the estimators,
    their components and :class:`~passive_pruner.regime.LatentMoments`, by full name. A pipeline
    of the package and scikit-learn needs no other. A function or class of your own in it, such as
    the factory of a :class:`~passive_pruner.vae.FromFactory`, is yours to add.

    Loading builds objects and runs none of them. A :class:`~passive_pruner.PretrainedEncoder` in
    the file may name a model file beside it, which its `transform` opens and runs, and a
    TorchScript file is a program: use one of somebody else only if you trust both files.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from passive_pruner import trusted_types
    >>> "passive_pruner._remover.PassiveVariableRemover" in trusted_types()
    True
    """
    public = [getattr(room, name) for room in (passive_pruner, vae) for name in room.__all__]
    classes = [c for c in public if inspect.isclass(c) and issubclass(c, BaseEstimator)]
    return sorted(f"{c.__module__}.{c.__qualname__}" for c in [*classes, regime.LatentMoments])
