"""Files that are there as a whole or not at all."""

import os
import uuid
from contextlib import suppress


def checked_path(path) -> str:
    """Return a path as text; what is none, such as the number of an open file, is a TypeError."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or an os.PathLike, got {path!r}.")
    text = os.fspath(path)
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"path must be text without null characters, got {text!r}.")
    return text


def write_whole(path, content: str | bytes) -> None:
    """Write a file that appears under its name only when it is complete and on the disk.

    What was there stays until then, and stays if the disk is full. The new file has the mode that
    the umask gives.

    Parameters
    ----------
    path : str or path-like
        The file; where it is a link, the file that the link points to.
    content : str or bytes
        All of it; text is written as UTF-8.

    Raises
    ------
    OSError
        Naming `path`, if it cannot be written. Nothing else is left behind.
    """
    given = checked_path(path)
    path = os.path.realpath(given)
    content = content.encode() if isinstance(content, str) else content
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            _write_then_name(folder, os.path.basename(aside), content)
        except (AttributeError, OSError):  # another system, or a file system that cannot
            with open(aside, "xb") as file:
                _write(file, content)
        os.replace(aside, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(aside)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, given) from error
        raise


def _write_then_name(folder, name, content):
    """Write a file that gets its name at the end, so that nothing is left if the process is killed.

    With a folder given, os.link follows the link of /proc to the file that has no name.
    """
    where = os.open(folder, os.O_RDONLY)
    try:
        with open(os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666), "wb") as file:
            _write(file, content)
            os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=where)
    finally:
        os.close(where)


def _write(file, content):
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
