"""URLs that clients are given, of logs and of outputs, and the names of the log files behind them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from common.json_types import Json, JsonObject

LIVE_SUFFIX = ".live"
"""Ends the name of a file that grows while its task runs, and goes once the whole one is there."""
WES_PATH = "/ga4gh/wes/v1"
TES_PATH = "/ga4gh/tes/v1"
STREAMS = ("stdout", "stderr")
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]+", re.ASCII)
OUTPUT_SCHEME = "wes-output:"
"""`location` of a stored File or Directory: this and its percent-encoded path relative to the work folder."""


def log_file(stream: str, executor: int) -> str:
    """`stdout`, and `stdout.1` for the second executor."""
    return stream if executor == 0 else f"{stream}.{executor}"


@dataclass(frozen=True, kw_only=True)
class Links:
    """`base` is scheme and host (and a prefix, behind a proxy), without a slash at the end."""

    base: str

    def run(self, run_id: str) -> str:
        """WES 1.1, GetRunLog."""
        return f"{self.base}{WES_PATH}/runs/{run_id}"

    def engine_log(self, run_id: str, stream: str) -> str:
        """The engine's `stdout` or `stderr`."""
        return f"{self.run(run_id)}/logs/{stream}"

    def tasks(self, run_id: str) -> str:
        """WES 1.1, ListTasks."""
        return f"{self.run(run_id)}/tasks"

    def task_logs(self, run_id: str, log_id: str) -> tuple[str, str]:
        """Of stdout and stderr."""
        logs = f"{self.base}{WES_PATH}/runs/{run_id}/tasks/{_quoted(log_id)}/logs/"
        return f"{logs}stdout", f"{logs}stderr"

    def outputs(self, run_id: str) -> str:
        """The list of the run's output files; each lies below it."""
        return f"{self.run(run_id)}/outputs"

    def tes_task(self, task_id: str) -> str:
        """TES 1.1, GetTask of the read-only TES."""
        return f"{self.base}{TES_PATH}/tasks/{_quoted(task_id)}"


def _quoted(name: str) -> str:
    """Our own ids need no quoting, and asking for it takes most of the time that a link takes."""
    return name if _PLAIN.fullmatch(name) else quote(name, safe="")


@dataclass(frozen=True, kw_only=True)
class RecordedOutput:
    """One file, or a folder whose files are not listed, that is an output under `name` (the workflow's own).

    `path` is relative to the work folder; `size` (bytes), `sha256` (hex) and `checksum` (as the engine gave it) are
    None where they were not recorded.
    """

    name: str
    path: str
    folder: bool = False
    size: int | None = None
    sha256: str | None = None
    checksum: str | None = None


def location_of(path: str) -> str:
    """The `location` of an output by its path relative to the work folder."""
    return OUTPUT_SCHEME + quote(path)


def linked(outputs: JsonObject, outputs_url: str) -> dict[str, Json]:
    """The outputs with each stored location below `outputs_url`; all else as it is."""
    return {name: _linked(value, outputs_url.rstrip("/")) for name, value in outputs.items()}


def _linked(value: Json, url: str) -> Json:
    if isinstance(value, Mapping):
        return {
            name: _location(item, url) if name == "location" else _linked(item, url) for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_linked(item, url) for item in value]
    return value


def _location(value: Json, url: str) -> Json:
    if isinstance(value, str) and value.startswith(OUTPUT_SCHEME):
        return f"{url}/{value.removeprefix(OUTPUT_SCHEME)}"
    return value


def files(outputs: JsonObject) -> list[RecordedOutput]:
    """Every stored file, in the order of the outputs, each path once; secondary files and listings included."""
    found: dict[str, RecordedOutput] = {}
    for name, value in outputs.items():
        for file in _files(name, value):
            found.setdefault(file.path, file)
    return list(found.values())


def kept_paths(outputs: JsonObject) -> list[str]:
    """Each file and folder, relative to the work folder, without which an output could not be given out any more."""
    return [*_folders(outputs), *(file.path for file in files(outputs))]


def may_fetch(outputs: JsonObject, path: str) -> bool:
    """Whether `path` is an output, or lies beneath a Directory that is one."""
    folders = set(_folders(outputs))
    parents = path.split("/")
    beneath = any("/".join(parents[:depth]) in folders for depth in range(1, len(parents)))
    return beneath or any(file.path == path for file in files(outputs))


def _files(name: str, value: Json) -> Iterator[RecordedOutput]:
    if isinstance(value, Mapping):
        path = _stored_path(value)
        listing = value.get("listing")
        if path is not None and (value.get("class") != "Directory" or not isinstance(listing, list | tuple)):
            yield _file(name, path, value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _files(name, item)


def _folders(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        path = _stored_path(value)
        if path is not None and value.get("class") == "Directory":
            yield path
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _folders(item)


def _stored_path(entry: JsonObject) -> str | None:
    location = entry.get("location")
    if not isinstance(location, str) or not location.startswith(OUTPUT_SCHEME):
        return None
    return unquote(location.removeprefix(OUTPUT_SCHEME)).strip("/")


def _file(name: str, path: str, entry: JsonObject) -> RecordedOutput:
    size, sha256, checksum = entry.get("size"), entry.get("sha256"), entry.get("checksum")
    return RecordedOutput(
        name=name,
        path=path,
        folder=entry.get("class") == "Directory",
        size=size if isinstance(size, int) else None,
        sha256=sha256 if isinstance(sha256, str) else None,
        checksum=checksum if isinstance(checksum, str) else None,
    )
