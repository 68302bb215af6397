"""What stands for the contents of files in the key of a task's work (docs/decisions/0025)."""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cachetools import LRUCache

from common.json_types import Json
from common.run_root import DataLocation, FileInRun, RunLocation
from gateway.file_origins import FileOrigins
from gateway.run_files import DEEPEST, MOST_FILES, FileTree
from gateway.translation import UnusableInput

CHUNK_BYTES = 1024 * 1024
MOST_KNOWN = 200_000
"""Files whose digests are remembered."""
SETTLED_NANOSECONDS = 100_000_000
"""A file that was changed a moment ago may change once more within the same tick of the file system's clock."""
BLOCK_BYTES = 512
"""Of `st_blocks`, whatever the file system's own are."""
MOST_HOLES = 64
"""How many times larger than what it takes on disk a file may be: 8 TB of nothing are made at once, read in hours."""
MOST_LINKED_FOLDERS = 1_000
"""In what is looked through."""
Wanted = Callable[[], bool]
_State = tuple[int, int, int, int, int]


class NotWanted(Exception):
    """Nobody needs the digest any more, as the task is to be cancelled."""


class ContentDigests:
    """SHA-256 of files, each read once as long as it stays as it is; of all runs, for many threads at once."""

    def __init__(self) -> None:
        self._known: MutableMapping[_State, str] = LRUCache(MOST_KNOWN)
        self._lock = threading.Lock()

    def of(self, fd: int, wanted: Wanted) -> str:
        """In hexadecimal. `UnusableInput` where the file changes meanwhile or is nearly all holes, `NotWanted`."""
        status = os.fstat(fd)
        if status.st_size > max(status.st_blocks * BLOCK_BYTES * MOST_HOLES, MOST_HOLES * CHUNK_BYTES):
            raise UnusableInput("a file has far more bytes than are on disk")
        with self._lock:
            known = self._known.get(_state(status))
        if known is not None:
            return known
        digest = read_digest(fd, wanted)
        if _state(os.fstat(fd)) != _state(status):
            raise UnusableInput("a file changed while it was read")
        if time.time_ns() - status.st_ctime_ns > SETTLED_NANOSECONDS:
            self.know(status, digest)
        return digest

    def know(self, status: os.stat_result, digest: str) -> None:
        """Remembers what was read elsewhere."""
        with self._lock:
            self._known[_state(status)] = digest


def read_digest(fd: int, wanted: Wanted) -> str:
    """Of the bytes from the beginning of the file on."""
    digest = hashlib.sha256()
    os.lseek(fd, 0, os.SEEK_SET)
    while chunk := os.read(fd, CHUNK_BYTES):
        digest.update(chunk)
        if not wanted():
            raise NotWanted
    return digest.hexdigest()


def _state(status: os.stat_result) -> _State:
    """Also another one where somebody has set the time of a changed file back."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True, kw_only=True)
class TreeFile:
    """A regular file; `path` is relative to where the look began, `location` is where it really is. Without a
    `location` it is a folder that has nothing in it."""

    path: PurePosixPath
    location: FileInRun | None = None


def tree_files(files: FileTree, start: FileInRun) -> Iterator[TreeFile]:
    """`start` itself, or all that is below it, in order, with what symlinks lead to.

    `UnusableInput` where one leads out of the run and its data, and for what is no file, as a copy would lack it.
    """
    for number, one in enumerate(_TreeWalk(files=files).below(_real(files, start), PurePosixPath(), 0)):
        if number >= MOST_FILES:
            raise UnusableInput(f"more than {MOST_FILES} files")
        yield one


@dataclass(kw_only=True)
class _TreeWalk:
    files: FileTree
    linked_folders: int = 0

    def below(self, location: FileInRun, below: PurePosixPath, depth: int) -> Iterator[TreeFile]:
        files = self.files
        mode = files.status(location).st_mode
        if stat.S_ISREG(mode):
            yield TreeFile(path=below, location=location)
            return
        if not stat.S_ISDIR(mode) or depth > DEEPEST:
            raise UnusableInput(f"{files.root.seen_path(location)} is no file, or too deep")
        with files.opened(location) as fd:
            names = sorted(os.listdir(fd))  # noqa: PTH208 - of a descriptor
        if not names:
            yield TreeFile(path=below)
        for name in names:
            yield from self.below(self._entry(_child(location, name)), below / name, depth + 1)

    def _entry(self, named: FileInRun) -> FileInRun:
        """Two links in each of a few folders, to the one before, are millions of paths."""
        real = _real(self.files, named)
        if real != named and stat.S_ISDIR(self.files.status(real).st_mode):
            self.linked_folders += 1
            if self.linked_folders > MOST_LINKED_FOLDERS:
                raise UnusableInput(f"more than {MOST_LINKED_FOLDERS} links to folders")
        return real


def _real(files: FileTree, location: FileInRun) -> FileInRun:
    real = files.root.followed(location)
    if real is None:
        raise UnusableInput(f"{files.root.seen_path(location)} leads out of the run")
    return real


def _child(folder: FileInRun, name: str) -> FileInRun:
    if isinstance(folder, RunLocation):
        return RunLocation(path=folder.path / name)
    return DataLocation(path=folder.path / name)


@dataclass(frozen=True, kw_only=True)
class InputContents:
    """Of the inputs of one run's tasks. Methods block, and may be called from many threads at once."""

    files: FileTree
    digests: ContentDigests
    origins: FileOrigins | None = None
    """None where no TES has a storage."""
    _folders: dict[RunLocation, Json] = field(default_factory=dict)

    def at(self, location: FileInRun, wanted: Wanted) -> Json:
        """The same for the same contents, whichever run they are in. `UnusableInput` where they can't be told,
        `NotWanted`."""
        if isinstance(location, RunLocation) and location.is_in(self.files.root.folder.attachments):
            # Nobody writes to these: a folder of ten thousand is looked through once.
            known = self._folders.get(location)
            if known is None:
                known = self._folders[location] = self._tree(location, wanted)
            return known
        return self._tree(location, wanted)

    def _tree(self, location: FileInRun, wanted: Wanted) -> Json:
        return [[str(one.path), self._content(one, wanted)] for one in tree_files(self.files, location)]

    def _content(self, file: TreeFile, wanted: Wanted) -> Json:
        """Data that are read in place are the operator's, and may be terabytes: name, size and time stand for them."""
        if file.location is None:
            return None
        if isinstance(file.location, DataLocation):
            status = self.files.status(file.location)
            return ["data", str(file.location.path), status.st_size, status.st_mtime_ns]
        origin = self.origins.left_in_store(file.location) if self.origins else None
        if origin is not None:
            return ["stored", origin.content]
        with self.files.opened(file.location) as fd:
            return self.digests.of(fd, wanted)
