"""Files of a run on their way to its object store: read where foreign code put them, each content sent once."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

from common.errors import ObjectNotFound
from common.object_store import ObjectStores
from common.run_root import DataLocation, FileInRun, RunLocation, RunRoot
from gateway.run_objects import RunObjects
from gateway.translation import UnusableInput
from sandbox.foreign_files import folder_beneath

ASKED_FIRST = 1024**2
"""Bytes from which on the store is asked whether it has a content already, which an earlier worker may have sent."""
EMPTY = hashlib.sha256().hexdigest()
KEEP = ".keep"
"""The name of the file that makes an empty folder come into being, as others (Git, Arvados) have it."""
DEEPEST = 200
"""Folders in each other that are looked at."""
MOST_FILES = 100_000
"""In one folder that a task reads."""


@dataclass(frozen=True, kw_only=True)
class FileIdentity:
    """Tells one state of a file from all others on this machine."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, fd: int) -> "FileIdentity":
        """Of an open file."""
        status = os.fstat(fd)
        return cls(device=status.st_dev, inode=status.st_ino, size=status.st_size, modified=status.st_mtime_ns)


@dataclass(frozen=True, kw_only=True)
class FolderFile:
    """A file in a folder that a task reads; `path` is relative to the folder. Without a `location` it is empty, and
    stands for the folder that it is in: a store has none."""

    path: PurePosixPath
    location: FileInRun | None


@dataclass(kw_only=True)
class ContentUploads:
    """What is in the store of one run. Methods block, may be called from many threads at once, and raise
    `UnusableInput` or as `ObjectStores` does."""

    root: RunRoot
    stores: ObjectStores
    objects: RunObjects
    sent: int = 0
    """Bytes that were sent since this worker has the run."""
    _digests: dict[FileIdentity, str] = field(default_factory=dict)
    _urls: dict[str, "Future[str]"] = field(default_factory=dict)
    _copied_from: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url_of(self, location: FileInRun) -> str:
        """The URL of a file's content, which is in the store from now on."""
        with self._opened(location) as fd:
            if not S_ISREG(os.fstat(fd).st_mode):
                raise UnusableInput(f"{self.root.seen_path(location)} is no file")
            return self._stored(fd, location)

    def url_of_nothing(self) -> str:
        """The URL of an empty file."""
        url = self.objects.content(EMPTY)
        if EMPTY not in self._urls:
            self.stores.put(url, b"")
        return url

    def is_folder(self, location: FileInRun) -> bool:
        """Whether it is a folder; `UnusableInput` where nothing is there."""
        with self._opened(location) as fd:
            return S_ISDIR(os.fstat(fd).st_mode)

    def files_in(self, folder: FileInRun) -> list[FolderFile]:
        """All files below a folder, with what symlinks in it lead to; an empty file for each empty folder."""
        found: list[FolderFile] = []
        self._walk(folder, PurePosixPath(), found)
        return found

    def know(self, fd: int, digest: str, url: str, *, alone: bool) -> None:
        """Remembers what is in an open file and where in the store it came from; `alone` tells whether every server
        can read it there. If not, it is copied inside of the store once a task needs it."""
        known: Future[str] = Future()
        known.set_result(url)
        with self._lock:
            self._digests[FileIdentity.of(fd)] = digest
            if alone:
                self._urls.setdefault(digest, known)
            else:
                self._copied_from[digest] = url

    def _stored(self, fd: int, location: FileInRun) -> str:
        identity = FileIdentity.of(fd)
        digest = self._digests.get(identity) or _digest(fd)
        with self._lock:
            self._digests[identity] = digest
            upload = self._urls.get(digest)
            mine = upload is None
            if upload is None:
                upload = self._urls[digest] = Future()
        if mine:
            self._send(fd, identity, digest, location, upload)
        return upload.result()

    def _send(self, fd: int, identity: FileIdentity, digest: str, location: FileInRun, upload: "Future[str]") -> None:
        try:
            upload.set_result(self._sent(fd, identity, digest, location))
        except BaseException as error:
            # Whoever waits for it fails too; whoever comes next tries again.
            with self._lock:
                self._urls.pop(digest, None)
                self._digests.pop(identity, None)
            upload.set_exception(error)
            raise

    def _sent(self, fd: int, identity: FileIdentity, digest: str, location: FileInRun) -> str:
        url = self.objects.content(digest)
        if not self._is_there(url, identity.size):
            self._put(url, fd, digest, identity.size)
        if FileIdentity.of(fd) != identity:
            self.stores.delete(url)
            raise UnusableInput(f"{self.root.seen_path(location)} was changed while it was sent to the store")
        return url

    def _put(self, url: str, fd: int, digest: str, size: int) -> None:
        if digest in self._copied_from:
            self.stores.copy(self._copied_from[digest], url)
            return
        self.stores.put(url, Path(f"/proc/self/fd/{fd}"))
        with self._lock:
            self.sent += size

    def _is_there(self, url: str, size: int) -> bool:
        if size < ASKED_FIRST:
            return False
        try:
            return self.stores.head(url).size == size
        except ObjectNotFound:
            return False

    def _walk(self, folder: FileInRun, below: PurePosixPath, found: list[FolderFile]) -> None:
        if len(below.parts) > DEEPEST:
            raise UnusableInput(f"{self.root.seen_path(folder)} is too deep, or leads back to itself by a symlink")
        with self._opened(folder) as fd:
            names = sorted(os.listdir(fd)) if S_ISDIR(os.fstat(fd).st_mode) else []  # noqa: PTH208 - of a descriptor
        before = len(found)
        for name in names:
            self._visit(_child(folder, name), below / name, found)
        if len(found) == before:
            found.append(FolderFile(path=below / KEEP, location=None))

    def _visit(self, location: FileInRun, below: PurePosixPath, found: list[FolderFile]) -> None:
        real = self.root.followed(location)
        if real is None:
            return
        try:
            with self._opened(real) as fd:
                mode = os.fstat(fd).st_mode
        except UnusableInput:
            # A symlink that leads nowhere, a pipe: nothing that a task could be given.
            return
        if S_ISDIR(mode):
            self._walk(real, below, found)
        elif S_ISREG(mode):
            found.append(FolderFile(path=below, location=real))
            if len(found) > MOST_FILES:
                raise UnusableInput(f"a task reads a folder with more than {MOST_FILES} files")

    @contextmanager
    def _opened(self, location: FileInRun) -> Iterator[int]:
        """A descriptor, for reading, of what lies there, no symlink followed."""
        base, parts = self._way(location)
        try:
            with folder_beneath(base, parts[:-1]) as folder:
                fd = os.open(parts[-1] if parts else ".", _READ, dir_fd=folder)
        except OSError as error:
            raise UnusableInput(f"{self.root.seen_path(location)} can't be read: {error.strerror}") from None
        try:
            yield fd
        finally:
            os.close(fd)

    def _way(self, location: FileInRun) -> tuple[Path, tuple[str, ...]]:
        """The folder that nobody but the operator can exchange, and the names from there on."""
        if isinstance(location, RunLocation):
            folder = self.root.folder
            if not location.is_in(folder.attachments, folder.work):
                raise UnusableInput(f"{self.root.seen_path(location)} is not for tasks to read")
            return folder.root, location.path.parts
        data = next(folder for folder in self.root.data if location.path.is_relative_to(folder))
        return data, location.path.relative_to(data).parts


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _child(folder: FileInRun, name: str) -> FileInRun:
    if isinstance(folder, RunLocation):
        return RunLocation(path=folder.path / name)
    return DataLocation(path=folder.path / name)


def _digest(fd: int) -> str:
    """Reads from the beginning, whatever the position of the descriptor is."""
    with Path(f"/proc/self/fd/{fd}").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
