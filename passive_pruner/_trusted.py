"""The types of the package that occur in files of its estimators."""

import inspect
import io
import pickle

from sklearn.base import BaseEstimator

import passive_pruner
from passive_pruner import regime, vae
from passive_pruner._common._cells import Column
from passive_pruner._common._columns import Columns
from passive_pruner._pretrained import PretrainedEncoder
from passive_pruner._runtimes import is_path


def trusted_types() -> list[str]:
    """List the types of this package for ``skops.io.load(file, trusted=trusted_types())``.

    skops only creates objects of types that it knows or that are in this list. The list contains
    the full names of the estimators, their components, their descriptions of columns, and
    :class:`~passive_pruner.regime.LatentMoments`. A pipeline of this package and scikit-learn needs
    no other types. Add functions and classes of your own, such as the factory of a
    :class:`~passive_pruner.vae.FromFactory`, yourself.

    Loading creates objects but runs none of them. A :class:`~passive_pruner.PretrainedEncoder` in
    the file may refer to a separate model file, which its `transform` opens and runs, and a
    TorchScript file is a program: use a file from somebody else only if you trust both files.

    Returns
    -------
    names : list of str
        Full names of the types.

    Examples
    --------
    >>> from passive_pruner import trusted_types
    >>> "passive_pruner._remover.PassiveVariableRemover" in trusted_types()
    True
    """
    public = [getattr(room, name) for room in (passive_pruner, vae) for name in room.__all__]
    classes = [c for c in public if inspect.isclass(c) and issubclass(c, BaseEstimator)]
    classes += [Column, Columns, regime.LatentMoments]
    return sorted(f"{c.__module__}.{c.__qualname__}" for c in classes)


def refuse_model_files(estimator):
    """Raise a ValueError if there is a TorchScript file that `estimator` would open and run.

    Parameters
    ----------
    estimator : object
        Anything that was loaded from a file of somebody else, such as a pipeline.
    """
    _Search(io.BytesIO()).dump(estimator)


class _Search(pickle.Pickler):
    """Walks through all that an object holds, as a pickle of it would, and keeps nothing."""

    def reducer_override(self, obj):
        if isinstance(obj, PretrainedEncoder):
            for name in ("encode", "encode_"):
                path = getattr(obj, name, None)
                if is_path(path) and not str(path).endswith(".onnx"):
                    raise ValueError(
                        f"A PretrainedEncoder would open and run the model file {str(path)!r}, "
                        "a program: a TorchScript file reads and writes any file. If you trust it, "
                        "load the model yourself with skops.io.load and call "
                        "passive_pruner.explore.explore(model, X, y)."
                    )
        return NotImplemented
