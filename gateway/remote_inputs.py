"""Inputs that a TES can't read by their own URLs: signed, or fetched once and kept where it can.

A URL that carries a signature is a credential. It is in what the TES is sent, and nowhere else: the recorded task has
what the engine named, and what a TES tells of a task is masked.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from typing_extensions import Buffer

from common.configuration import TesServer
from common.errors import EngineError, WesError
from common.location import DRS, STORES, WEB, RemoteLocation, parse_location
from common.object_store import ObjectStores
from gateway.data_repository import Access, DataRepositories
from gateway.fetched_files import FetchedFiles
from gateway.policy import overlaps
from gateway.remote_sources import RemoteSources, RemoteStream
from gateway.run_files import MOST_FILES
from gateway.run_objects import is_safe
from gateway.transfer_threads import TransferThreads
from gateway.translation import UnusableInput, UnusableOutput
from sandbox.network import TransientFailure
from tes.task import FileType, TesInput

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
SIGNED_SECONDS = 48 * 3600.0
"""How long a signed URL is good for: a task may wait in a queue before it reads."""
ATTEMPTS = 3
PAUSE_SECONDS = 1.0


class NobodyWaits(WesError):
    """Whoever wanted the file has gone."""


@dataclass(frozen=True, kw_only=True)
class RemoteInputs:
    """Of the tasks of one run on one TES. `storages`: where the files of all runs are, which no task may name, nor what
    it names lead to."""

    server: TesServer
    sources: RemoteSources
    repositories: DataRepositories
    storages: frozenset[str]
    fetches: "FetchesOfRun"
    threads: TransferThreads

    async def readable(self, inputs: Sequence[TesInput]) -> list[TesInput]:
        """Inputs that the TES can read; those by URLs of other kinds as `UnusableInput` says, or `ObjectStoreFailure`
        where its own store may have room for them later."""
        unread = [number for number, item in enumerate(inputs) if not self._is_readable(item)]
        gone = threading.Event()
        try:
            found = await self.threads.run_all(lambda number: self._brought(inputs[number], gone), unread)
        finally:
            gone.set()
        brought = dict(zip(unread, found, strict=True))
        return [each for number, item in enumerate(inputs) for each in brought.get(number, [item])]

    def _is_readable(self, item: TesInput) -> bool:
        kind = (item.get("url") or "").partition("://")[0]
        return kind not in WEB | STORES | {DRS} or self.server.can_read(kind)

    def _brought(self, item: TesInput, gone: threading.Event) -> list[TesInput]:
        location = _remote(item)
        try:
            if item.get("type") == FileType.DIRECTORY.value:
                return [self._file(each, gone) for each in self._files_below(item, location)]
            return [self._file(item, gone)]
        except (EngineError, TransientFailure, UnusableOutput) as error:
            raise UnusableInput(f"an input can't be brought to {self.server.name}: {error}") from None

    def _file(self, item: TesInput, gone: threading.Event) -> TesInput:
        location = _remote(item)
        access = self._access(location) if location.scheme == DRS else Access(location=location)
        return {**item, "url": self._url(location.url, access, gone)}

    def _access(self, location: RemoteLocation) -> Access:
        access = tried(lambda: self.repositories.access(location.url, self._rank))
        if any(overlaps(access.location.url, one) for one in self.storages):
            raise EngineError(f"{location.url} leads to where this service keeps the files of runs")
        return access

    def _rank(self, kind: str) -> int | None:
        """What the TES reads itself comes first."""
        if self.server.can_read(kind):
            return 0
        return 1 if kind in WEB else 2 if kind in STORES else None

    def _url(self, named: str, access: Access, gone: threading.Event) -> str:
        location = access.location
        if self.server.can_read(location.scheme) and not access.headers:
            return location.url
        if not self.sources.has(location):
            table = (
                f"[stores.{location.scheme}] of wes.toml says inputs = true" if location.scheme in STORES else "it can"
            )
            raise EngineError(f"{named} can't be read by way of this service unless {table}")
        return self._signed(location) or self.fetches.url_of(named, access, gone)

    def _signed(self, location: RemoteLocation) -> str | None:
        """A URL of a kind that the TES reads, which needs no credentials; None where there is none."""
        stores: ObjectStores = self.sources.stores
        if location.scheme not in STORES or not stores.can_sign(location.url):
            return None
        if not self.server.can_read("https") and not self.server.can_read("http"):
            return None
        url = stores.sign(location.url, SIGNED_SECONDS)
        return url if self.server.can_read(url.partition("://")[0]) else None

    def _files_below(self, item: TesInput, location: RemoteLocation) -> Iterator[TesInput]:
        if location.scheme not in STORES or not self.sources.has(location):
            raise EngineError(f"the files of a folder at a {location.scheme}: URL can't be listed")
        number, folder = 0, location.url.rstrip("/")
        for number, one in enumerate(self.sources.files(folder), 1):
            path = one.url.removeprefix(f"{folder}/")
            if not is_safe(path) or number > MOST_FILES:
                raise EngineError(f"{folder} has more than {MOST_FILES} files, or one whose name can't be used")
            yield {"path": f"{item['path'].rstrip('/')}/{path}", "type": FileType.FILE.value, "url": one.url}
        if not number:
            raise EngineError(f"there is nothing below {folder}")


@dataclass(kw_only=True)
class FetchesOfRun:
    """Each URL is fetched once for all tasks of a run that share a storage, and by all workers that ever have it."""

    run_id: str
    sources: RemoteSources
    files: FetchedFiles
    _urls: dict[str, "Future[str]"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url_of(self, named: str, access: Access, gone: threading.Event) -> str:
        """Where the bytes are from now on; `EngineError`, `TransientFailure`, or as `FetchedFiles.keep`. It ends
        once `gone` is set, but where others wait for the same file, who then go on."""
        name = hashlib.sha256(named.encode()).hexdigest()
        while True:
            with self._lock:
                fetching = self._urls.get(name)
                mine = fetching is None
                if fetching is None:
                    fetching = self._urls[name] = Future()
            try:
                if mine:
                    self._fetch_once(name, access, gone)
                return fetching.result()
            except NobodyWaits:
                if gone.is_set():
                    raise

    def _fetch_once(self, name: str, access: Access, gone: threading.Event) -> None:
        """For all that wait for it; whoever comes after a failure tries again."""
        fetching = self._urls[name]
        try:
            fetching.set_result(self.files.kept(name) or tried(lambda: self._fetch(name, access, gone)))
        except BaseException as error:
            with self._lock:
                self._urls.pop(name)
            fetching.set_exception(error)
            raise

    def _fetch(self, name: str, access: Access, gone: threading.Event) -> str:
        began = time.monotonic()
        with self.sources.opened(access) as stream:
            url = self.files.keep(name, RemoteStream(size=stream.size, chunks=_while_wanted(stream, gone)))
        seconds = time.monotonic() - began
        log.info("an input fetched for a TES", action="fetch_input", run_id=self.run_id, seconds=round(seconds, 3))
        return url


def _while_wanted(stream: RemoteStream, gone: threading.Event) -> Iterator[Buffer]:
    for chunk in stream.chunks:
        if gone.is_set():
            raise NobodyWaits
        yield chunk


def tried(act: Callable[[], Result]) -> Result:
    """Up to three times, as long as it fails in a way that may pass."""
    for number in range(1, ATTEMPTS):
        try:
            return act()
        except TransientFailure:
            time.sleep(PAUSE_SECONDS * 4 ** (number - 1))
    return act()


def _remote(item: TesInput) -> RemoteLocation:
    location = parse_location(item.get("url") or "")
    assert isinstance(location, RemoteLocation)  # noqa: S101 - as its task was checked
    return location
