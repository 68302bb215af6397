"""Opens files that foreign code may have put there, and nothing outside their folder."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from common.errors import LogNotFound


def open_beneath(folder: Path, relative: str) -> BinaryIO:
    """Opens a regular file below `folder` (absolute, its parents free of symlinks); `LogNotFound` for all else.

    A symlink is followed while it stays inside. What was opened is what is checked, so a link that changes meanwhile
    gains nothing; O_PATH neither waits on a pipe nor touches a device.
    """
    if "\0" in relative or ".." in relative.split("/") or relative.startswith("/"):
        raise LogNotFound
    try:
        handle = os.open(folder / relative, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise LogNotFound from None
    try:
        return _reopened(handle, folder)
    except OSError:
        raise LogNotFound from None
    finally:
        os.close(handle)


def _reopened(handle: int, folder: Path) -> BinaryIO:
    link = Path(f"/proc/self/fd/{handle}")
    inside = link.readlink().is_relative_to(folder)
    if not inside or not stat.S_ISREG(os.fstat(handle).st_mode):
        raise LogNotFound
    return link.open("rb")
