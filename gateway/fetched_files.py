"""Where inputs are kept that this service has fetched for a TES: in its store, or in the run's folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from typing_extensions import Buffer

from common.errors import ObjectNotFound
from common.object_store import ObjectStores
from common.run_root import RunLocation
from gateway.download_room import DownloadRoom
from gateway.remote_sources import RemoteStream
from gateway.run_files import FileTree
from gateway.run_objects import RunObjects
from gateway.translation import UnusableInput


class FetchedFiles(Protocol):
    """Of one run, by names that are digests. Methods block."""

    def kept(self, name: str) -> str | None:
        """The URL of one that is there, whole, as the gateway's translation takes it."""

    def keep(self, name: str, stream: RemoteStream) -> str:
        """Makes it, whole or not at all, and returns its URL. What the stream raises comes through; `UnusableOutput`
        where there is no room, or as `ObjectStores` does."""


@dataclass(frozen=True, kw_only=True)
class FetchedObjects:
    """In the store of a TES. Nothing of it is ever on a disk here, and only some parts are in memory."""

    stores: ObjectStores
    objects: RunObjects
    room: DownloadRoom

    def kept(self, name: str) -> str | None:
        url = self.objects.fetched(name)
        try:
            self.stores.head(url)
        except ObjectNotFound:
            return None
        return url

    def keep(self, name: str, stream: RemoteStream) -> str:
        url = self.objects.fetched(name)
        self.stores.put_stream(url, counted(stream, self.room, on_disk=False), stream.size)
        return url


@dataclass(frozen=True, kw_only=True)
class FetchedInFolder:
    """For a TES that sees the run's folder; no engine sees them."""

    files: FileTree
    room: DownloadRoom

    def kept(self, name: str) -> str | None:
        location = self._location(name)
        try:
            self.files.status(location)
        except UnusableInput:
            return None
        return self.files.root.seen_url(location)

    def keep(self, name: str, stream: RemoteStream) -> str:
        location = self._location(name)
        with self.files.replaced(location) as fd, open(fd, "wb", closefd=False) as file:
            file.writelines(memoryview(chunk) for chunk in counted(stream, self.room, on_disk=True))
            os.fsync(fd)
        return self.files.root.seen_url(location)

    def _location(self, name: str) -> RunLocation:
        return RunLocation(path=PurePosixPath(self.files.root.folder.fetched.name, name))


def counted(stream: RemoteStream, room: DownloadRoom, *, on_disk: bool) -> Iterator[Buffer]:
    """The chunks, as long as there is room for them; of a stream that fails none counts."""
    taken = 0
    try:
        for chunk in stream.chunks:
            size = memoryview(chunk).nbytes
            room.take(size, "what its tasks read from elsewhere", on_disk=on_disk)
            taken += size
            yield chunk
    except BaseException:
        room.give_back(taken)
        raise
