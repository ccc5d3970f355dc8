"""What is to go away warns for two minor versions first."""

from passive_pruner._common._warnings import warn_user


def warn_deprecated(what: str, *, since: str, instead: str) -> None:
    """Warn the user that something will be removed two minor versions after `since`.

    Parameters
    ----------
    what : str
        What is deprecated, as the user wrote it.
    since : str
        The version that warns first, "major.minor".
    instead : str
        What to write in its place.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_deprecated("units", since="0.2", instead="n_components")
    >>> print(caught[0].message)
    units is deprecated since version 0.2 and will be removed in 0.4. Use n_components.
    """
    major, minor = map(int, since.split("."))
    warn_user(
        f"{what} is deprecated since version {since} and will be removed in {major}.{minor + 2}. "
        f"Use {instead}.",
        FutureWarning,
    )
