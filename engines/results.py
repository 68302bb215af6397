"""Reads what an engine left: its output object, and why it failed.

All of it is foreign: no link that leads out of the run's folder is followed.
"""

import os
import re
import signal
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.engine import EngineEnd, RunFolder
from common.errors import EngineError
from common.json_types import Json
from common.json_types import read_json as parsed
from common.location import file_path_of
from common.run_root import RunRoot
from engines.kit.settings import FAILURE

LARGEST_OUTPUTS = 64 * 1024 * 1024
LARGEST_FAILURE = 1024 * 1024
"""Bytes."""
FILE_CLASSES = frozenset({"File", "Directory"})


def read_outputs(folder: RunFolder, path: Path) -> dict[str, Json]:
    """The output object; `EngineError` where there is none, or where one of its files is not the run's."""
    document = read_json(path, folder.work, LARGEST_OUTPUTS)
    if not isinstance(document, dict):
        raise EngineError("the workflow's outputs are not a JSON object")
    for item in files_in(document):
        _check_inside(item, folder)
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
        if value.get("class") in FILE_CLASSES:
            yield value
        for item in value.values():
            yield from files_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from files_in(item)


def diagnosis(engine: str, folder: RunFolder, end: EngineEnd) -> str:
    """One sentence: the executor's own, else how its process ended; `engine` as in "the CWL engine"."""
    sentence = _own_sentence(folder)
    if sentence:
        return without_paths(sentence, folder)
    if was_killed(end):
        return f"the {engine} engine was killed; it may have used more memory than it was given"
    last_lines = [line.strip() for line in end.stderr.splitlines() if line.strip()][-1:]
    why = f": {without_paths(last_lines[0], folder)}" if last_lines else ""
    return f"the {engine} engine ended with exit code {end.exit_code}{why}"


def was_killed(end: EngineEnd) -> bool:
    """By SIGKILL, which is how a system ends what takes too much memory."""
    return end.exit_code in {-signal.SIGKILL, 128 + signal.SIGKILL}


def without_paths(sentence: str, folder: RunFolder) -> str:
    """The names that the user gave, without the run's own folders before them."""
    for base in (folder.seen.attachments, folder.seen.work):
        sentence = re.sub(rf"(file://)?{re.escape(str(base))}/", "", sentence)
    return sentence


def _own_sentence(folder: RunFolder) -> str:
    try:
        document = read_json(folder.work / FAILURE, folder.work, LARGEST_FAILURE)
    except EngineError:
        return ""
    sentence = document.get("sentence") if isinstance(document, Mapping) else None
    return sentence if isinstance(sentence, str) else ""


def _check_inside(item: Mapping[str, Json], folder: RunFolder) -> None:
    location = item.get("location")
    if not isinstance(location, str):
        return
    path = file_path_of(location)
    if path is None or not _below(path, folder.seen.work):
        # An input that is passed on keeps its own location; the caller knows which are allowed.
        return
    if RunRoot(folder=folder).real_path(path) is None:
        raise EngineError(f"the output {path.name} is a link that leaves the run's folder")


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(folder)
