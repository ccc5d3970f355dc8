"""Writing files that are either complete or absent, whenever the process or the machine stops."""

import os
from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` beside `path` first, and move it there once it is on the disk.

    Parameters
    ----------
    path : Path
        File to write or to replace.
    content : str or bytes
        What it shall hold; text is written as UTF-8.

    Raises
    ------
    OSError
        Naming `path`, if it cannot be written. What was there before is still there then, and
        nothing else is left behind.
    """
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            # Else the name may reach the disk before the content does.
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
