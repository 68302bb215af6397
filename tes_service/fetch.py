"""Inputs over http and https: retried, and never larger than allowed (acceptance: tes, 6)."""

import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from tes_service.errors import TaskFault
from tes_service.stage import Stop

PERMANENT = 500
BUSY = 429
TIMEOUT = httpx.Timeout(60, connect=15)


class _Again(Exception):
    """Worth another try."""


@dataclass(frozen=True, kw_only=True)
class HttpFetcher:
    """`local` permits servers of this machine and link-local addresses, which a task could not reach by itself."""

    client: httpx.Client
    limit: int
    retries: int
    local: bool = False
    sleep: Callable[[float], None] = time.sleep

    def fetch(self, url: str, target: int, stop: Stop) -> None:
        problem = ""
        for attempt in range(self.retries + 1):
            stop.check()
            if attempt:
                self.sleep(min(2.0**attempt / 4, 10))
            try:
                os.ftruncate(target, 0)
                os.lseek(target, 0, os.SEEK_SET)
                return self._once(url, target, stop)
            except (_Again, httpx.TransportError) as error:
                problem = str(error) or type(error).__name__
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise TaskFault(f"the input {url} can't be fetched: {error}") from None
        raise TaskFault(f"the input {url} can't be fetched: {problem}")

    def _once(self, url: str, target: int, stop: Stop) -> None:
        with self.client.stream("GET", url, follow_redirects=True) as response:
            for one in (*response.history, response):
                self._check_peer(one, url)
            if response.status_code == BUSY or response.status_code >= PERMANENT:
                raise _Again(f"the server answered {response.status_code}")
            if not response.is_success:
                raise TaskFault(f"the input {url} can't be fetched: the server answered {response.status_code}")
            self._receive(response, url, target, stop)

    def _receive(self, response: httpx.Response, url: str, target: int, stop: Stop) -> None:
        size = 0
        for chunk in response.iter_bytes(1024 * 1024):
            stop.check()
            size += len(chunk)
            if size > self.limit:
                raise TaskFault(f"the input {url} is larger than the {self.limit} bytes that this server fetches")
            _write_all(target, chunk)

    def _check_peer(self, response: httpx.Response, url: str) -> None:
        """The address that was really connected to counts, whatever the name resolved to before."""
        stream = response.extensions.get("network_stream")
        address = None if self.local or stream is None else stream.get_extra_info("server_addr")
        if address is None:
            return
        peer = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if peer.is_loopback or peer.is_link_local or peer.is_unspecified:
            raise TaskFault(f"the input {url} can't be fetched: {peer} is this server's own machine (TES_FETCH_LOCAL)")


def _write_all(target: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(target, rest) :]
