"""Files of a run on their way to its object store: read where foreign code put them, each content sent once."""

import hashlib
import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from common.errors import ObjectNotFound
from common.object_store import ObjectStores
from common.run_root import FileInRun
from gateway.file_origins import FileOrigin, FileOrigins
from gateway.run_files import FileIdentity
from gateway.run_objects import RunObjects
from gateway.translation import UnusableInput

ASKED_FIRST = 1024**2
"""Bytes from which on the store is asked whether it has a content already, which an earlier worker may have sent."""
EMPTY = hashlib.sha256().hexdigest()


@dataclass(kw_only=True)
class ContentUploads:
    """What is in one store of a run. Methods block, may be called from many threads at once, and raise `UnusableInput`
    or as `ObjectStores` does."""

    stores: ObjectStores
    objects: RunObjects
    origins: FileOrigins
    sent: int = 0
    """Bytes that were sent since this worker has the run."""
    _digests: dict[FileIdentity, str] = field(default_factory=dict)
    _urls: dict[str, "Future[str]"] = field(default_factory=dict)
    _copies: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url_of(self, location: FileInRun) -> str:
        """The URL of a file's content, which is in the store from now on."""
        origin = self.origins.at(location)
        if origin is not None and origin.folder == self.objects.folder:
            return self._url_of_origin(origin)
        if origin is not None:
            # It is in another store.
            self.origins.fetch(location)
        with self.origins.files.opened(location) as fd:
            if not S_ISREG(os.fstat(fd).st_mode):
                raise UnusableInput(f"{self._seen(location)} is no file")
            return self._stored(fd, location)

    def url_of_nothing(self) -> str:
        """The URL of an empty file."""
        url = self.objects.content(EMPTY)
        if EMPTY not in self._urls:
            self.stores.put(url, b"")
        return url

    def _url_of_origin(self, origin: FileOrigin) -> str:
        """One that not every server can read where it is gets a copy, inside of the store."""
        if origin.alone:
            return origin.stored.url
        url = self.objects.copy(origin.stored.url)
        if url not in self._copies:
            self.stores.copy(origin.stored.url, url)
            self._copies.add(url)
        return url

    def _stored(self, fd: int, location: FileInRun) -> str:
        identity = FileIdentity.of(os.fstat(fd))
        digest = self._digests.get(identity) or _digest(fd)
        with self._lock:
            self._digests[identity] = digest
        origin = self.origins.with_digest(self.objects.folder, digest)
        if origin is not None:
            return self._url_of_origin(origin)
        with self._lock:
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
            self.stores.put(url, Path(f"/proc/self/fd/{fd}"))
            with self._lock:
                self.sent += identity.size
        if FileIdentity.of(os.fstat(fd)) != identity:
            self.stores.delete(url)
            raise UnusableInput(f"{self._seen(location)} was changed while it was sent to the store")
        return url

    def _is_there(self, url: str, size: int) -> bool:
        if size < ASKED_FIRST:
            return False
        try:
            return self.stores.head(url).size == size
        except ObjectNotFound:
            return False

    def _seen(self, location: FileInRun) -> Path:
        return self.origins.files.root.seen_path(location)


def _digest(fd: int) -> str:
    """Reads from the beginning, whatever the position of the descriptor is."""
    with Path(f"/proc/self/fd/{fd}").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
