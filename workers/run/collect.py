"""What a run leaves: its outputs, and notes for its system log."""

import hashlib
import itertools
import mimetypes
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from common.engine import RunFolder
from common.errors import EngineError, SystemFailure
from common.json_types import Json
from common.location import file_path_of, file_url
from common.run_root import RunRoot
from engines.results import read_json
from gateway.task_documents import system_logs
from sandbox.foreign_files import is_withheld
from tes.task import Task
from wes_service.core.links import OUTPUT_SCHEME

NOTES_FILE = ".wes/notes.json"
NOTES_BYTES = 64 * 1024
NOTES_LINES = 20
NOTE_LENGTH = 500


def engine_notes(folder: RunFolder) -> tuple[str, ...]:
    """As much of a list of texts as a log should hold; nothing where there is no such file, or no list in it."""
    try:
        document = read_json(folder.work / NOTES_FILE, folder.work, NOTES_BYTES)
    except EngineError:
        return ()
    lines = [line for line in document if isinstance(line, str)] if isinstance(document, list) else []
    return tuple(" ".join(line.split())[:NOTE_LENGTH] for line in lines[:NOTES_LINES])


STEPS_SHOWN = 5
_NOT_USED = re.compile(r"\bimage (\S+) was not used")
"""How the embedded TES says it, in a task's system log."""


def unused_images(tasks: Sequence[Task], default_image: str) -> list[str]:
    """A line for each image. The default image is none that anybody named."""
    steps: dict[str, list[str]] = {}
    for task in tasks:
        for image in _images(task):
            if image != default_image:
                steps.setdefault(image, []).append(task.name or task.id)
    reason = "ran with programs of the TES's machine"
    return [f"The image {image} was not used: {_named(names)} {reason}." for image, names in steps.items()]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - STEPS_SHOWN} more steps" if len(names) > STEPS_SHOWN else ""
    return ", ".join(names[:STEPS_SHOWN]) + more


def _images(task: Task) -> list[str]:
    return list(dict.fromkeys(image for line in system_logs(task.document) for image in _NOT_USED.findall(line)))


CHUNK = 1024 * 1024
BLOCK = 512
SPARSE_FROM = 1024**3
SPARSE_SHARE = 100
"""A file of more than `SPARSE_FROM` bytes of which less than one hundredth was ever written holds nothing but zeros."""


@dataclass(frozen=True, kw_only=True)
class FileMeasurement:
    """Size in bytes, and the two digests of a file in hexadecimal."""

    size: int
    sha1: str
    sha256: str


NOT_MEASURED = FileMeasurement(size=0, sha1="", sha256="")


@dataclass(frozen=True, kw_only=True)
class OutputLimits:
    """Of one run: files and folders among its outputs, folders inside of each other, and bytes of all files."""

    entries: int = 100_000
    depth: int = 64
    total_bytes: int = 10 * 1000**4


NO_LIMITS = OutputLimits()


def _go_on() -> None:
    """Nobody wants it to stop."""


def collect_outputs(
    outputs: Mapping[str, Json], folder: RunFolder, limits: OutputLimits = NO_LIMITS, check: Callable[[], None] = _go_on
) -> dict[str, Json]:
    """The output object in which each File and Directory is named below `work`, with size, checksum and sha256.

    Raises `SystemFailure` for a file that is not there or lies elsewhere, symlinks resolved, and `EngineError` where
    there is more than the limits allow. `check` is called again and again, and raises where nobody wants the outputs
    any more.
    """
    collector = _Collector(root=RunRoot(folder=folder), limits=limits, check=check)
    return {name: collector.output(name, value) for name, value in outputs.items()}


def withheld_outputs(
    outputs: Mapping[str, Json], folder: RunFolder, limits: OutputLimits = NO_LIMITS, check: Callable[[], None] = _go_on
) -> list[str]:
    """The URLs, as the engine knows them, of all files that `collect_outputs` would read and whose bytes are in a store
    still. Raises as that does."""
    finder = _WithheldFinder(root=RunRoot(folder=folder), limits=limits, check=check)
    for name, value in outputs.items():
        finder.output(name, value)
    seen = folder.seen.work
    return [file_url(seen / path.relative_to(folder.work)) for path in finder.found]


@dataclass(kw_only=True)
class _Collector:
    """What was seen so far. A file is read once, however often it is named."""

    root: RunRoot
    limits: OutputLimits
    check: Callable[[], None]
    name: str = ""
    entries: int = 0
    total_bytes: int = 0
    _measured: dict[Path, FileMeasurement] = field(default_factory=dict)
    _listed: set[Path] = field(default_factory=set)

    def output(self, name: str, value: Json) -> Json:
        self.name = name
        self._listed = set()
        return self._collected(value, 0)

    def _collected(self, value: Json, depth: int) -> Json:
        if isinstance(value, Mapping):
            if value.get("class") == "File":
                return self._file(value, depth)
            if value.get("class") == "Directory":
                return self._directory(value, depth)
            return {name: self._collected(item, depth) for name, item in value.items()}
        if isinstance(value, list):
            return [self._collected(item, depth) for item in value]
        return value

    def _file(self, entry: Mapping[str, Json], depth: int) -> dict[str, Json]:
        path = self._inside(entry)
        measured = self._measure(path)
        rest = {name: value for name, value in entry.items() if name not in {"path", "dirname"}}
        result: dict[str, Any] = {
            **rest,
            "location": self._named(path),
            "basename": entry.get("basename") or path.name,
            "size": measured.size,
            "checksum": f"sha1${measured.sha1}",
            "sha256": measured.sha256,
            "mediaType": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        }
        if "secondaryFiles" in entry:
            result["secondaryFiles"] = self._collected(entry["secondaryFiles"], depth)
        return result

    def _directory(self, entry: Mapping[str, Json], depth: int) -> dict[str, Json]:
        path = self._inside(entry)
        rest = {name: value for name, value in entry.items() if name not in {"path", "dirname", "listing"}}
        named = {**rest, "location": self._named(path), "basename": entry.get("basename") or path.name}
        if path in self._listed:
            # By another link: folders of links to folders would be listed without end.
            return named
        self._listed.add(path)
        if depth >= self.limits.depth:
            raise self._too_much(f"folders that lie more than {self.limits.depth} deep inside of each other")
        listing = [self._collected(child, depth + 1) for child in self._children(path)]
        return {**named, "listing": listing}

    def _children(self, folder: Path) -> list[dict[str, Json]]:
        room = self.limits.entries - self.entries
        with os.scandir(folder) as found:
            return [self._child(one) for one in sorted(itertools.islice(found, room + 1), key=lambda one: one.name)]

    def _child(self, found: os.DirEntry[str]) -> dict[str, Json]:
        """As an engine would have named it."""
        folder = self.root.folder
        seen = folder.seen.work / Path(found.path).relative_to(folder.work)
        real = self.root.real_path(seen) if found.is_symlink() else Path(found.path)
        kind = "Directory" if real is not None and real.is_dir() else "File"
        return {"class": kind, "location": str(seen), "basename": found.name}

    def _inside(self, entry: Mapping[str, Json]) -> Path:
        self.check()
        self.entries += 1
        if self.entries > self.limits.entries:
            raise self._too_much(f"more than {self.limits.entries:,} files and folders (WES_MAX_OUTPUT_FILES)")
        location = str(entry.get("location") or entry.get("path") or "")
        named = file_path_of(location)
        if named is None:
            raise SystemFailure(f"the output {location or entry.get('basename')!r} is not a file of this run")
        real = self.root.real_path(named)
        if real is None or self.root.folder.work not in real.parents:
            raise SystemFailure(f"the output {named.name!r} lies outside the run's folder and is not given out")
        if not real.exists():
            raise SystemFailure(f"the output {named.name!r} is missing")
        return real

    def _measure(self, path: Path) -> FileMeasurement:
        if path not in self._measured:
            with _opened(path) as source:
                self._weigh(path, os.fstat(source.fileno()))
                self._measured[path] = measure_file(source, self.check)
        return self._measured[path]

    def _weigh(self, path: Path, status: os.stat_result) -> None:
        """Before it is read, which may take hours."""
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            raise EngineError(f"the output '{self.name}' names {path.name!r}, which is neither a file nor a folder")
        if is_withheld(status):
            raise SystemFailure(f"the output '{self.name}' names {path.name!r}, whose bytes are in a store still")
        if size > SPARSE_FROM and status.st_blocks * BLOCK < size / SPARSE_SHARE:
            gb = size / 1000**3
            raise EngineError(
                f"the output '{self.name}' names {path.name!r}, which claims {gb:,.0f} GB and holds next to nothing"
            )
        self.total_bytes += size
        if self.total_bytes > self.limits.total_bytes:
            most = self.limits.total_bytes / 1000**3
            raise self._too_much(f"more than {most:g} GB among the outputs (WES_MAX_OUTPUT_GB)")

    def _too_much(self, what: str) -> EngineError:
        return EngineError(f"the output '{self.name}' is too large to be kept: there are {what}")

    def _named(self, path: Path) -> str:
        return OUTPUT_SCHEME + quote(str(path.relative_to(self.root.folder.work)))


@dataclass(kw_only=True)
class _WithheldFinder(_Collector):
    """Goes the same way, and reads nothing."""

    found: list[Path] = field(default_factory=list)
    _looked_at: set[Path] = field(default_factory=set)

    def _measure(self, path: Path) -> FileMeasurement:
        if path not in self._looked_at:
            self._looked_at.add(path)
            if is_withheld(path.lstat()):
                self.found.append(path)
        return NOT_MEASURED


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def measure_file(source: BinaryIO, check: Callable[[], None] = _go_on) -> FileMeasurement:
    """Reads the open file once, in pieces. It is on disk before the run is called complete."""
    sha1, sha256, size = hashlib.sha1(usedforsecurity=False), hashlib.sha256(), 0
    while data := source.read(CHUNK):
        check()
        sha1.update(data)
        sha256.update(data)
        size += len(data)
    os.fsync(source.fileno())
    return FileMeasurement(size=size, sha1=sha1.hexdigest(), sha256=sha256.hexdigest())
