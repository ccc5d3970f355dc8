"""scikit-learn's callbacks on the estimators, where the installed scikit-learn has them."""

from contextlib import contextmanager

from sklearn.base import clone

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Adds nothing: this version of scikit-learn has no callbacks."""


class FitTask:
    """A fit as callbacks see it: a task, with a subtask for every epoch.

    It holds the training data, so it must not become part of the estimator.
    """

    def __init__(self, arguments, context):
        self._arguments = arguments
        self._context = context
        self._epoch = None

    @property
    def has_callbacks(self) -> bool:
        """Whether somebody listens."""
        return bool(getattr(self._context, "_callbacks", None))

    def begin_epoch(self):
        """Tell the callbacks that an epoch begins."""
        if self._context is not None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._arguments)

    def end_epoch(self, fitted):
        """Tell the callbacks that the epoch has ended.

        Parameters
        ----------
        fitted : callable
            Returns the attributes with which the estimator would be fitted if training ended
            here, as a dict. Called only if a callback asks for them.

        Returns
        -------
        stop : bool
            Whether a callback asks to end training.
        """
        if self._context is None:
            return False
        return self._epoch.call_on_fit_task_end(**self._arguments, reconstruction_attributes=fitted)


@contextmanager
def fit_task(estimator, X, y, sample_weight=None, *, n_epochs=0):
    """Report the block to the callbacks of an estimator as its fit.

    What puts the estimator back after an error has to be inside the block: ``_fit_context``, which
    closes the callbacks, needs what the estimator holds of them from the beginning of the block.

    Parameters
    ----------
    estimator : estimator instance
        A subclass of CallbackSupportMixin, in a method that ``_fit_context`` decorates.
    X, y, sample_weight : object
        What fit was given.
    n_epochs : int or None, default=0
        Most epochs that there will be; None if that is unknown.

    Yields
    ------
    task : FitTask
    """
    arguments = {"estimator": estimator, "X": X, "y": y}
    if sample_weight is not None:
        arguments["metadata"] = {"sample_weight": sample_weight}
    if not hasattr(estimator, "_init_callback_context"):
        yield FitTask(arguments, None)
        return
    context = estimator._init_callback_context(max_subtasks=n_epochs)
    context.call_on_fit_task_begin(**arguments)
    yield FitTask(arguments, context)
    context.call_on_fit_task_end(**arguments, reconstruction_attributes={})


def without_callbacks(estimator):
    """Return an unfitted copy of an estimator, without the callbacks that were set on it."""
    copy = clone(estimator)
    vars(copy).pop("_skl_callbacks", None)
    return copy
