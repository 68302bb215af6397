"""Inputs from other servers, kept for the tasks after the first one that reads them.

A file is known by its URL and its version there (a strong ETag), and its server is asked each time whether it is still
that one, with the task's own URL or the store's credentials: so what a task may not read it does not get from here
either. Tasks never write to a kept file: it is the server's, and where a task could, it gets a copy.
"""

import base64
import hashlib
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sandbox.identity import Identity
from tes_service.copying import Copier
from tes_service.processes import StopSignal
from tes_service.remote_files import FileUnchanged, RemoteFile

SMALLEST = 1024**2
"""Bytes; to ask whether a smaller file has changed takes as long as to fetch it."""
LONGEST_VERSION = 120
WAIT_SECONDS = 0.2
FRESH = "new-"


class RemoteReader(Protocol):
    """Where files come from that are not here, or have changed."""

    def fetch(self, url: str, target: int, stop: StopSignal, unless: str = "") -> str:
        """Writes what is at the URL to the open file `target`; its version there, empty where that is not told.
        `FileUnchanged` where it is `unless`; `TaskFault`."""

    def files(self, url: str, stop: StopSignal) -> Sequence[RemoteFile]:
        """All beneath the URL."""


@dataclass(frozen=True, kw_only=True)
class KeptFile:
    """A file in the folder, whose name says what it is. `size` in bytes."""

    name: str
    version: str
    size: int


@dataclass(kw_only=True)
class _UrlLock:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class StageCache:
    """In `folder`, which no task can enter. `limit()`: how many bytes it may take, all in all, now."""

    def __init__(self, remote: RemoteReader, folder: Path, identity: Identity, limit: Callable[[], int]) -> None:
        self._remote = remote
        self._folder = folder
        self._identity = identity
        self._limit = limit
        self._lock = threading.Lock()
        self._urls: dict[str, _UrlLock] = {}
        self._kept: OrderedDict[str, KeptFile] = OrderedDict()
        folder.mkdir(mode=0o700, exist_ok=True)
        self._take_stock()

    def files(self, url: str, stop: StopSignal) -> Sequence[RemoteFile]:
        """As `RemoteReader.files`."""
        return self._remote.files(url, stop)

    def bring(self, url: str, folder: int, name: str, stop: StopSignal, *, read_only: bool) -> None:
        """What is at the URL as `name` in the open `folder`. `read_only`: no task can write to it there, so that it may
        be the kept file itself. `TaskFault`, or OSError."""
        key = hashlib.sha256(url.encode()).hexdigest()
        with self._alone(key, stop):
            new = self._folder / f"{FRESH}{uuid.uuid4().hex}"
            try:
                self._bring(url, key, new, _Destination(folder=folder, name=name, read_only=read_only), stop)
            finally:
                new.unlink(missing_ok=True)

    def _bring(self, url: str, key: str, new: Path, target: "_Destination", stop: StopSignal) -> None:
        known, held = self._held(key)
        try:
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
            try:
                os.fchmod(fd, 0o644)
                version = self._remote.fetch(url, fd, stop, known.version if known else "")
                size = os.fstat(fd).st_size
                if self._keep(KeptFile(name=f"{key}-{_encoded(version)}", version=version, size=size), key, new):
                    self._give(fd, target, stop)
                else:
                    self._move(fd, target, stop)
            except FileUnchanged:
                self._give(held, target, stop)
            finally:
                os.close(fd)
        finally:
            if known:
                os.close(held)

    def _held(self, key: str) -> tuple[KeptFile | None, int]:
        """The kept file, open, so that it can be used even where it is removed meanwhile."""
        with self._lock:
            known = self._kept.get(key)
            if known is None:
                return None, -1
            self._kept.move_to_end(key)
            with suppress(OSError):
                fd = os.open(self._folder / known.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                if os.fstat(fd).st_size == known.size:
                    return known, fd
                os.close(fd)
            self._remove(key)
            return None, -1

    def _give(self, fd: int, target: "_Destination", stop: StopSignal) -> None:
        copier = Copier(identity=self._identity, stop=stop.check)
        if not (target.read_only and copier.link(fd, target.folder, target.name)):
            copier.copy(fd, target.folder, target.name)

    def _move(self, fd: int, target: "_Destination", stop: StopSignal) -> None:
        """One that is not kept becomes the task's own."""
        if self._identity.drop:
            os.fchown(fd, self._identity.uid, self._identity.gid)
        Copier(identity=self._identity, stop=stop.check).link_or_copy(fd, target.folder, target.name)

    def _keep(self, file: KeptFile, key: str, new: Path) -> bool:
        with self._lock:
            limit = self._limit()
            self._remove(key)
            # There may be less room than when the others came.
            self._trim(limit)
            if not file.version or not SMALLEST <= file.size <= limit or len(file.version) > LONGEST_VERSION:
                return False
            new.rename(self._folder / file.name)
            self._kept[key] = file
            self._trim(limit)
            return True

    def _trim(self, limit: int) -> None:
        while sum(one.size for one in self._kept.values()) > limit:
            self._remove(next(iter(self._kept)))

    def _remove(self, key: str) -> None:
        known = self._kept.pop(key, None)
        if known is not None:
            (self._folder / known.name).unlink(missing_ok=True)

    def _take_stock(self) -> None:
        """What an earlier server has kept, that was used last at the end: each use makes a link, which the change time
        tells."""
        found = sorted((one.stat().st_ctime_ns, one) for one in self._folder.iterdir())
        for _, path in found:
            key, _, encoded = path.name.partition("-")
            version = _decoded(encoded)
            if path.name.startswith(FRESH) or not version:
                path.unlink()
            else:
                self._remove(key)
                self._kept[key] = KeptFile(name=path.name, version=version, size=path.stat().st_size)

    @contextmanager
    def _alone(self, key: str, stop: StopSignal) -> Iterator[None]:
        """One at a time for each URL: who comes later finds what the first one has fetched."""
        with self._lock:
            own = self._urls.setdefault(key, _UrlLock())
            own.users += 1
        try:
            while not own.lock.acquire(timeout=WAIT_SECONDS):
                stop.check()
            try:
                yield
            finally:
                own.lock.release()
        finally:
            with self._lock:
                own.users -= 1
                if not own.users:
                    del self._urls[key]


@dataclass(frozen=True, kw_only=True)
class _Destination:
    folder: int
    name: str
    read_only: bool


def _encoded(version: str) -> str:
    return base64.urlsafe_b64encode(version.encode(errors="surrogateescape")).decode()


def _decoded(name: str) -> str:
    try:
        return base64.urlsafe_b64decode(name).decode(errors="surrogateescape")
    except ValueError:
        return ""
