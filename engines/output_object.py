"""Reads what the engine left, which is foreign: no link that leads out of the run's folder is followed."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.engine import RunFolder
from common.errors import EngineError
from common.json_types import Json
from common.json_types import read_json as parsed
from common.location import file_path_of

LARGEST = 64 * 1024 * 1024
FILES = frozenset({"File", "Directory"})


def read_outputs(folder: RunFolder, path: Path) -> dict[str, Json]:
    """The output object; `EngineError` where there is none, or where one of its files is not the run's."""
    document = read_json(path, folder.work, LARGEST)
    if not isinstance(document, dict):
        raise EngineError("the workflow's outputs are not a JSON object")
    for item in files_in(document):
        _check(item, folder)
    return document


def read_json(path: Path, inside: Path, largest: int) -> Json:
    """A document of at most `largest` bytes, in a plain file whose folders are plain ones below `inside`."""
    try:
        if not path.parent.resolve().is_relative_to(inside.resolve()):
            raise EngineError(f"{path.name} is not in the run's folder")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
                raise EngineError(f"{path.name} is not a plain file of at most {largest} bytes")
            document: Json = parsed(file.read(largest + 1))
    except FileNotFoundError:
        raise EngineError(f"the engine left no {path.name}") from None
    except (OSError, ValueError) as error:
        raise EngineError(f"{path.name} can't be read: {error}") from None
    return document


def files_in(value: Json) -> Iterator[Mapping[str, Json]]:
    """Every File and Directory object, those inside others too."""
    if isinstance(value, Mapping):
        if value.get("class") in FILES:
            yield value
        for item in value.values():
            yield from files_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from files_in(item)


def _check(item: Mapping[str, Json], folder: RunFolder) -> None:
    location = item.get("location")
    if not isinstance(location, str):
        return
    path = file_path_of(location)
    if path is None or not _below(path, folder.work):
        # An input that is passed on keeps its own location; the caller knows which are allowed.
        return
    if not path.resolve().is_relative_to(folder.root.resolve()):
        raise EngineError(f"the output {path.name} is a link that leaves the run's folder")


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(folder)
