"""Which object of a store each file of a run came from, also where only its size is here yet (docs/decisions/0020).

A file whose bytes stay in the store is as large as they are, holds none of them, and nobody may read it (mode 0): who
opens it fails, or asks for it first. It is known by its inode, size and time, so an engine may move it as it likes.
"""

import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from common.errors import InvalidLocation, ObjectNotFound
from common.json_types import JsonObject
from common.object_store import ObjectStores, StoredObject, split_url
from common.run_root import FileInRun, RunLocation
from gateway.download_room import DownloadRoom
from gateway.run_files import FileIdentity, FileTree
from gateway.translation import UnusableInput, UnusableOutput
from sandbox.foreign_files import is_withheld

RECORD = "withheld"
"""In the folder of transfers: a line for each file whose bytes stayed in the store, for a worker that comes after."""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class FileOrigin:
    """An object below the URL `folder`, which is the run's. `alone` tells whether every server can read it by its own
    URL. `digest`: SHA-256 in hexadecimal, None as long as the bytes are not here. `content` is the same for copies of
    it in other runs; empty where it was not left in the store, or that does not tell one state of it from another."""

    stored: StoredObject
    folder: str
    alone: bool
    digest: str | None = None
    content: str = ""

    def document(self) -> JsonObject:
        """As it is written down; the reverse of `read_origin`."""
        return {"stored": asdict(self.stored), "folder": self.folder, "alone": self.alone, "content": self.content}


def read_origin(document: Mapping[str, Any], folders: Collection[str]) -> FileOrigin:
    """`ValueError`, `KeyError`, `TypeError` or `InvalidLocation` for what is none, or does not lie in `folders`."""
    stored = StoredObject(**document["stored"])
    # Without `..`, by which some server may leave the folder.
    split_url(stored.url)
    if document["folder"] not in folders or not stored.url.startswith(f"{document['folder']}/"):
        raise ValueError(stored.url)
    content = str(document.get("content") or "")
    return FileOrigin(stored=stored, folder=document["folder"], alone=bool(document["alone"]), content=content)


def is_same_state(one: StoredObject, other: StoredObject) -> bool:
    """Whether nobody has written another object to its place; a store that does not tell is taken at its size."""
    if one.e_tag and other.e_tag and _plain(one.e_tag) != _plain(other.e_tag):
        return False
    return one.size == other.size


def _content_of(stored: StoredObject) -> str:
    if not stored.e_tag:
        return ""
    return hashlib.sha256(json.dumps([stored.url, stored.size, _plain(stored.e_tag)]).encode()).hexdigest()


@dataclass(kw_only=True)
class FileOrigins:
    """Of one run, which has files below the URLs `folders`. Methods block, may be called from many threads at once,
    and raise `UnusableOutput` or as `ObjectStores` does."""

    files: FileTree
    stores: ObjectStores
    folders: frozenset[str]
    room: DownloadRoom
    _known: dict[FileIdentity, FileOrigin] = field(default_factory=dict)
    _by_digest: dict[tuple[str, str], FileOrigin] = field(default_factory=dict)
    _fetching: dict[RunLocation, "Future[None]"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_read: bool = False
    _withholds: bool = False

    def at(self, location: FileInRun) -> FileOrigin | None:
        """None for what came from no store; `UnusableInput` where nothing is there, or nobody knows where it is."""
        status = self.files.status(location)
        with self._lock:
            self._read_record()
            found = self._known.get(FileIdentity.of(status))
        if found is None and is_withheld(status):
            raise UnusableInput(f"{self.files.root.seen_path(location)} is in a store, but nobody knows where")
        return found

    def left_in_store(self, location: FileInRun) -> FileOrigin | None:
        """Where the bytes of a file were left, be they fetched since; None where they were not, or that does not tell
        one content from another. `UnusableInput` as in `at`."""
        found = self.at(location)
        return found if found is not None and found.content else None

    def with_digest(self, folder: str, digest: str) -> FileOrigin | None:
        """One of these bytes, below the URL `folder`."""
        return self._by_digest.get((folder, digest))

    def receive(self, origin: FileOrigin, target: RunLocation) -> None:
        """Writes the file whole or not at all; what is in its place, and is no folder, is replaced."""
        with self.files.replaced(target) as fd:
            digest = self._copied(origin.stored, str(self.files.root.seen_path(target)), fd)
            with self._lock:
                self._know(os.fstat(fd), origin, digest)

    def withhold(self, origin: FileOrigin, target: RunLocation) -> None:
        """Makes a file of its size; the bytes stay where they are."""
        origin = replace(origin, content=origin.content or _content_of(origin.stored))
        with self.files.replaced(target, mode=0) as fd:
            try:
                os.ftruncate(fd, origin.stored.size)
            except OSError as error:
                seen = self.files.root.seen_path(target)
                raise UnusableOutput(f"{seen} can't have {origin.stored.size} bytes: {error.strerror}") from None
            status = os.fstat(fd)
            # Before anybody sees the file.
            self._write_record(status, origin)
            with self._lock:
                self._know(status, origin, None)

    def fetch(self, location: FileInRun) -> None:
        """The file, or all files below the folder, are here from now on; `UnusableInput` where that can't be."""
        with self._lock:
            self._read_record()
            if not self._withholds or not isinstance(location, RunLocation):
                return
        if self.files.is_folder(location):
            for one in self.files.files_in(location, with_data=False):
                if one.location is not None:
                    self._fetch_file(one.location)
        else:
            self._fetch_file(location)

    def _fetch_file(self, location: FileInRun) -> None:
        origin = self.at(location)
        if origin is None or origin.digest is not None or not isinstance(location, RunLocation):
            return
        with self._lock:
            fetching = self._fetching.get(location)
            mine = fetching is None
            if fetching is None:
                fetching = self._fetching[location] = Future()
        if mine:
            self._fetch_once(location, fetching)
        fetching.result()

    def _fetch_once(self, location: RunLocation, fetching: "Future[None]") -> None:
        """For all that wait for it."""
        try:
            now = self.at(location)
            # Another thread may have ended it since this one looked.
            if now is not None and now.digest is None:
                self._fetch_now(now, location)
            fetching.set_result(None)
        except BaseException as error:
            fetching.set_exception(error)
            raise
        finally:
            with self._lock:
                self._fetching.pop(location, None)

    def _fetch_now(self, origin: FileOrigin, location: RunLocation) -> None:
        try:
            with self.room.taken(origin.stored.size):
                self.receive(origin, location)
        except UnusableOutput as error:
            raise UnusableInput(str(error)) from None

    def _know(self, status: os.stat_result, origin: FileOrigin, digest: str | None) -> None:
        known = replace(origin, digest=digest)
        self._known[FileIdentity.of(status)] = known
        self._withholds |= digest is None
        if digest is not None:
            self._by_digest.setdefault((origin.folder, digest), known)

    def _copied(self, stored: StoredObject, seen: str, fd: int) -> str:
        digest, size = hashlib.sha256(), 0
        with open(fd, "wb", closefd=False) as file:
            for chunk in self._chunks(stored, seen):
                size += chunk.nbytes
                digest.update(chunk)
                file.write(chunk)
        if size != stored.size:
            raise UnusableOutput(f"the store has {size} bytes of {seen} in place of the {stored.size} that it listed")
        return digest.hexdigest()

    def _chunks(self, stored: StoredObject, seen: str) -> Iterator[memoryview]:
        if stored.size == 0:
            return
        try:
            stream = self.stores.open(stored.url)
            if stored.e_tag and stream.e_tag and _plain(stored.e_tag) != _plain(stream.e_tag):
                raise UnusableOutput(f"the store has something else for {seen} than its task left there")
            for chunk in stream.chunks:
                yield memoryview(chunk)
        except ObjectNotFound:
            raise UnusableOutput(f"the store does not have {seen} any more") from None

    def _write_record(self, status: os.stat_result, origin: FileOrigin) -> None:
        line = {
            "inode": status.st_ino,
            "size": status.st_size,
            "modified": status.st_mtime_ns,
            **origin.document(),
        }
        with self.files.transfers() as folder:
            fd = os.open(RECORD, _APPEND, 0o600, dir_fd=folder)
            try:
                os.write(fd, json.dumps(line).encode() + b"\n")
            finally:
                os.close(fd)

    def _read_record(self) -> None:
        """Once. What an earlier worker could not write to its end, and what is not this run's, counts nothing."""
        if self._is_read:
            return
        self._is_read = True
        with self.files.transfers() as folder:
            device = os.fstat(folder).st_dev
            try:
                fd = os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except FileNotFoundError:
                return
            with os.fdopen(fd, "rb") as file:
                lines = file.read().splitlines()
        for line in lines:
            try:
                found = json.loads(line)
                identity = FileIdentity(
                    device=device, inode=found["inode"], size=found["size"], modified=found["modified"]
                )
                self._known.setdefault(identity, read_origin(found, self.folders))
                self._withholds = True
            except (ValueError, KeyError, TypeError, InvalidLocation):
                continue


def _plain(e_tag: str) -> str:
    """Azure quotes it in one answer and not in the other."""
    return e_tag.removeprefix("W/").strip('"')
