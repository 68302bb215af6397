"""Files at URLs: steps get them from the TES, and what an expression asks of one is asked of its server.

miniwdl itself would download each input in a task of its own, in an image of its choice.
"""

import io
from typing import IO, Any

import WDL.StdLib
from WDL._util import pathsize

from engines.kit.files import REMOTE_SCHEMES, is_remote
from engines.kit.network import UnreadableUrl, read_document, shown_url, size_of_url

ADVICE = "attach the file to the run instead"


class UnreadableFile(Exception):
    """An expression needs what can't be read here; the message is for a person."""


def _never_called() -> None:
    """Stands for a downloader: inputs are never downloaded here."""


SCHEMES = {scheme.removesuffix("://"): _never_called for scheme in REMOTE_SCHEMES}
DOWNLOADERS = (SCHEMES, SCHEMES)
"""By which miniwdl knows for files and for directories what is a URL and no path of this machine."""


def without_downloads(*arguments: Any) -> Any:
    """In the place of miniwdl's functions that download inputs: the inputs of a task as they are."""
    return next((argument for argument in arguments if isinstance(argument, WDL.Env.Bindings)), None)


def size_of(path: str) -> int:
    """Bytes of a path, or of a file at a URL, without reading it."""
    if not is_remote(path):
        size: int = pathsize(path)
        return size
    if path.endswith("/"):
        raise UnreadableFile(f"it asks for the size of the directory {path}, which nobody here can tell")
    try:
        return size_of_url(path)
    except UnreadableUrl as error:
        raise UnreadableFile(f"it asks for the size of {shown_url(path)}, but {error}; {ADVICE}") from None


def opened(path: str, mode: str = "r") -> IO[Any]:
    """A file for `read_lines()` and the like."""
    if not is_remote(path):
        return open(path, mode)  # noqa: PTH123 - in the place of this very function
    try:
        return io.StringIO(read_document(path))
    except UnreadableUrl as error:
        raise UnreadableFile(f"it reads {shown_url(path)}, but {error}; {ADVICE}") from None
