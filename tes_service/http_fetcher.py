"""Inputs over http and https: retried, and never larger or slower than allowed (acceptance: tes, 6).

Which hosts may be asked is the same policy as for workflows (`sandbox.network`). An input is written as the
server sends it: what is compressed there stays so.
"""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from common.errors import EngineError
from common.masking import bare_url
from sandbox.network import (
    MAX_REDIRECTS,
    RETRY_STATUSES,
    NetworkPolicy,
    Resolve,
    TransientFailure,
    guarded_client,
    redirect_target,
    system_resolve,
    translated_errors,
)
from tes_service.errors import TaskFault
from tes_service.processes import StopSignal

FETCH_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "wes-tes"}
IDLE_SECONDS = 60.0
LOOK_SECONDS = 0.2
RATE_SECONDS = 60.0
LOWEST_RATE = 1000
"""Bytes per second, on average over `RATE_SECONDS`: a server that sends less never comes to an end."""


class _TransferAbandoned(Exception):
    """Nobody waits for this transfer any more."""


@dataclass(frozen=True, kw_only=True)
class HttpFetcher:
    """`limit`: bytes of one input; `seconds`: for one input, with all that is tried again."""

    limit: int
    retries: int
    seconds: float
    policy: NetworkPolicy
    resolve: Resolve = system_resolve
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)
    sleep: Callable[[float], None] = time.sleep

    def fetch(self, url: str, target: int, stop: StopSignal) -> None:
        """As `InputFetcher.fetch`."""
        end = time.monotonic() + self.seconds
        problem = ""
        for attempt in range(self.retries + 1):
            stop.check()
            if attempt:
                self.sleep(min(2.0**attempt / 4, 10))
            os.ftruncate(target, 0)
            os.lseek(target, 0, os.SEEK_SET)
            try:
                return self._once(url, target, stop, end)
            except TransientFailure as error:
                problem = str(error)
            except EngineError as error:
                raise TaskFault(f"the input {bare_url(url)} can't be fetched: {error}") from None
        raise TaskFault(f"the input {bare_url(url)} can't be fetched: {problem}")

    def _once(self, url: str, target: int, stop: StopSignal, end: float) -> None:
        """In a thread of its own, which is left where the task is stopped: a name that is looked up, or a server that
        sends nothing, can't be interrupted."""
        transfer = _Transfer(self, url, target)
        try:
            transfer.start()
            _TransferWait(transfer, stop, end, self.seconds).wait()
        finally:
            transfer.abandon()


class _Transfer:
    """One try to bring a URL into an open file."""

    def __init__(self, fetcher: HttpFetcher, url: str, target: int) -> None:
        self._fetcher = fetcher
        self._url = url
        self._target = target
        self._lock = threading.Lock()
        self._abandoned = False
        self._problem: Exception | None = None
        self._ended = threading.Event()
        self.received = 0

    def start(self) -> None:
        threading.Thread(target=self._run, name="fetch", daemon=True).start()

    def ended(self, seconds: float) -> bool:
        """Whether it ends within so many seconds; raises what it failed with."""
        if self._ended.wait(seconds) and self._problem is not None:
            raise self._problem
        return self._ended.is_set()

    def abandon(self) -> None:
        """Nothing is written to the file after this."""
        with self._lock:
            self._abandoned = True

    def _run(self) -> None:
        try:
            with translated_errors(self._url), self._response() as response:
                self._receive(response)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._problem = error
        finally:
            self._ended.set()

    @contextmanager
    def _response(self) -> Iterator[httpx.Response]:
        """The answer that is no redirect; each host on the way was looked at before it was asked."""
        fetcher, here = self._fetcher, self._url
        with guarded_client(fetcher.policy, fetcher.resolve, fetcher.tls, IDLE_SECONDS) as client:
            for _ in range(MAX_REDIRECTS + 1):
                with client.stream("GET", here, headers=FETCH_HEADERS) as response:
                    location = response.headers.get("location")
                    if not response.is_redirect or not location:
                        yield response
                        return
                here = redirect_target(self._url, here, location)
        raise EngineError(f"it redirects more than {MAX_REDIRECTS} times")

    def _receive(self, response: httpx.Response) -> None:
        code = response.status_code
        if code in RETRY_STATUSES or code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise TransientFailure(f"the server answered {code}")
        if code != httpx.codes.OK:
            raise EngineError(f"the server answered {code}")
        for chunk in response.iter_raw():
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        with self._lock:
            if self._abandoned:
                raise _TransferAbandoned
            self.received += len(chunk)
            if self.received > self._fetcher.limit:
                raise EngineError(f"it is larger than the {self._fetcher.limit} bytes that this server fetches")
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._target, rest) :]


@dataclass(kw_only=True)
class _Rate:
    """Looks once in `RATE_SECONDS` at how much has come since."""

    since: float
    received: int = 0

    def check(self, now: float, received: int) -> None:
        if now - self.since < RATE_SECONDS:
            return
        if received - self.received < LOWEST_RATE * RATE_SECONDS:
            raise TransientFailure(f"the server sent less than {LOWEST_RATE} bytes per second")
        self.since, self.received = now, received


class _TransferWait:
    """Waits for a transfer as long as that makes sense."""

    def __init__(self, transfer: _Transfer, stop: StopSignal, end: float, seconds: float) -> None:
        self._transfer = transfer
        self._stop = stop
        self._end = end
        self._seconds = seconds
        self._rate = _Rate(since=time.monotonic())

    def wait(self) -> None:
        while not self._transfer.ended(LOOK_SECONDS):
            self._stop.check()
            now = time.monotonic()
            if now > self._end:
                raise EngineError(f"it takes longer than {self._seconds:g} seconds (TES_FETCH_SECONDS)")
            self._rate.check(now, self._transfer.received)
