"""Where inputs of tasks come from that a TES can't read there itself: opened by this service, under its own policy.

What is asked on the web is a public host, or one that WES_FETCH_ALLOW names; of stores only those whose table says
`inputs = true` or `anonymous = true`.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
from typing_extensions import Buffer

from common.errors import EngineError, InvalidLocation, ObjectNotFound, ObjectStoreFailure, ObjectStoreRefused
from common.location import DRS, STORES, WEB, RemoteLocation, parse_location
from common.masking import bare_url
from common.object_store import ObjectStores, StoredObject
from gateway.data_repository import Access
from sandbox.network import (
    RETRY_STATUSES,
    UNCHANGED,
    NetworkPolicy,
    Resolve,
    TransientFailure,
    followed,
    guarded_client,
    system_resolve,
    translated_errors,
    trusted_certificates,
)

IDLE_SECONDS = 60.0
PATIENT_SECONDS = 60.0
LOWEST_RATE = 20_000
"""Bytes a second that a server has to send, on average after `PATIENT_SECONDS`: others wait for the thread."""
PIECE = 1024**2


@dataclass(frozen=True, kw_only=True)
class RemoteStream:
    """The bytes of one file as they arrive; `size` is what its server says, 0 for nothing."""

    size: int
    chunks: Iterator[Buffer]


@dataclass(frozen=True, kw_only=True)
class WebPages:
    """Files and documents of the web, unchanged: what is compressed there stays so."""

    policy: NetworkPolicy
    ca_file: Path | None = None
    resolve: Resolve = system_resolve

    @contextmanager
    def opened(self, url: str, headers: Mapping[str, str]) -> Iterator[RemoteStream]:
        """Begins to read; `EngineError`, `TransientFailure`, from the stream, too."""
        with (
            translated_errors(url),
            guarded_client(self.policy, self.resolve, self._tls, IDLE_SECONDS) as client,
            followed(client, url, {**UNCHANGED, **headers}) as response,
        ):
            _check(url, response.status_code)
            length = response.headers.get("content-length", "")
            chunks = self._chunks(url, response)
            yield RemoteStream(size=int(length) if length.isdigit() else 0, chunks=chunks)

    def document(self, url: str, most: int) -> bytes:
        """As `GetDocument`."""
        content = bytearray()
        with self.opened(url, {"Accept": "application/json"}) as stream:
            for chunk in stream.chunks:
                content += memoryview(chunk)
                if len(content) > most:
                    raise EngineError(f"{bare_url(url)} answered with more than {most} bytes")
        return bytes(content)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return trusted_certificates(self.ca_file)

    def _chunks(self, url: str, response: httpx.Response) -> Iterator[bytes]:
        with translated_errors(url):
            yield from response.iter_raw(PIECE)


@dataclass(frozen=True, kw_only=True)
class RemoteSources:
    """All of them, for one gateway. Methods block, and raise `EngineError`, or `TransientFailure` where it makes sense
    to begin anew."""

    web: WebPages
    stores: ObjectStores
    clock: Callable[[], float] = time.monotonic

    def has(self, location: RemoteLocation) -> bool:
        """Whether this is a place that may be asked; whether it has the file is another question."""
        return location.scheme in WEB or (location.scheme in STORES and self.stores.is_for_inputs(location.url))

    def brings(self, url: str) -> bool:
        """Whether a task can be given what is at this URL where its TES does not read that kind."""
        try:
            location = parse_location(url)
        except InvalidLocation:
            return False
        return isinstance(location, RemoteLocation) and (location.scheme == DRS or self.has(location))

    def files(self, folder: str) -> Iterator[StoredObject]:
        """All below a folder of a store."""
        with _translated_store_errors(folder):
            yield from self.stores.list(folder)

    @contextmanager
    def opened(self, access: Access) -> Iterator[RemoteStream]:
        """Begins to read a file that `has` knows."""
        url = access.location.url
        if access.location.scheme not in STORES:
            with self.web.opened(url, access.headers) as stream:
                yield RemoteStream(size=stream.size, chunks=self._in_time(url, stream.chunks))
            return
        with _translated_store_errors(url):
            found = self.stores.open(url)
        # Outside of the translation, as whoever reads may have a store of its own that fails.
        yield RemoteStream(size=found.size, chunks=self._chunks(url, found.chunks))

    def _chunks(self, url: str, chunks: Iterator[Buffer]) -> Iterator[Buffer]:
        with _translated_store_errors(url):
            yield from chunks

    def _in_time(self, url: str, chunks: Iterator[Buffer]) -> Iterator[Buffer]:
        began, received = self.clock(), 0
        for chunk in chunks:
            received += memoryview(chunk).nbytes
            seconds = self.clock() - began
            if seconds > PATIENT_SECONDS and received < LOWEST_RATE * seconds:
                raise EngineError(f"{bare_url(url)}: its server sent less than {LOWEST_RATE // 1000} kB a second")
            yield chunk


@contextmanager
def _translated_store_errors(url: str) -> Iterator[None]:
    try:
        yield
    except ObjectNotFound:
        raise EngineError(f"there is no {url}") from None
    except ObjectStoreRefused as error:
        raise EngineError(f"{url} can't be read: {error}") from None
    except ObjectStoreFailure as error:
        raise TransientFailure(f"{url} can't be read: {error}") from None


def _check(url: str, code: int) -> None:
    if code == httpx.codes.OK:
        return
    message = f"{bare_url(url)}: its server answered {code}"
    if code in RETRY_STATUSES or code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise TransientFailure(message)
    raise EngineError(message)
