"""Outputs of tasks that stay in a store until the engine opens them.

Such a file has its size, so that listing and measuring need no bytes, but nobody may read it (mode 0): an `open` that
is not seen here fails, and never reads anything else than what the task wrote.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from engines.kit.tasks import RunStopped
from engines.kit.tes_client import TesRefused, TesUnreachable


def is_withheld(path: str | Path) -> bool:
    """Whether the file's bytes are in a store still; False where nothing is there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for each file that is opened
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0 and stat.S_IMODE(status.st_mode) == 0


def fetch_when_opened(fetch: Callable[[str], None]) -> None:
    """From now on `fetch` is called with the path of each such file before this process opens it.

    It returns once the bytes are there. Where they can't be had, opening the file is an `OSError` that says why.
    """

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = os.fsdecode(arguments[0])
        if is_withheld(path):
            _fetch(fetch, os.path.abspath(path))  # noqa: PTH100

    sys.addaudithook(look)


def _fetch(fetch: Callable[[str], None], path: str) -> None:
    try:
        fetch(path)
    except (TesRefused, TesUnreachable) as error:
        raise OSError(errno.EIO, f"its contents can't be fetched: {error}", path) from error
    except RunStopped:
        raise OSError(errno.EINTR, "the run was stopped before its contents were fetched", path) from None
