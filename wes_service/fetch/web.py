"""One guarded HTTP client for documents and for git: what a fetch may use, redirects, and failures in words."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from common.errors import EngineError, SystemFailure
from common.masking import bare_url
from sandbox.network import (
    MAX_REDIRECTS,
    RETRY_STATUSES,
    Resolve,
    TransientFailure,
    guarded_client,
    network_policy,
    redirect_target,
    system_resolve,
    translated_errors,
)

FETCH_ATTEMPTS = 3
PAUSE_SECONDS = 0.5
CHUNK = 64 * 1024
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """`allow`: names of hosts, and networks (CIDR), that may be private. `seconds`: for the whole fetch;
    `idle_seconds`: without any answer. `document_bytes`: one document of the web. `workflow_bytes`, `workflow_files`:
    all that belongs to one workflow."""

    allow: tuple[str, ...] = ()
    seconds: float = 300.0
    idle_seconds: float = 30.0
    document_bytes: int = 16 * 1024**2
    workflow_bytes: int = 1024**3
    workflow_files: int = 20_000

    @property
    def too_slow(self) -> str:
        """The sentence for a fetch that took longer than `seconds`."""
        return f"the workflow could not be fetched within {self.seconds:g} s (WES_FETCH_SECONDS): try again later"


@dataclass(kw_only=True)
class FetchBudget:
    """What one fetch has left; each method raises once it is used up."""

    limits: FetchLimits
    clock: Callable[[], float] = time.monotonic
    received: int = 0
    written: int = 0
    files: int = 0
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def seconds_left(self) -> float:
        """Until the whole fetch is too slow; negative after that."""
        return self._started + self.limits.seconds - self.clock()

    def check_time(self) -> None:
        """`SystemFailure` once the time is over."""
        if self.seconds_left <= 0:
            raise SystemFailure(self.limits.too_slow)

    def receive(self, count: int) -> None:
        """Bytes that came from the network, decompressed."""
        self.check_time()
        self.received += count
        self._check_bytes(self.received)

    def write(self, count: int) -> None:
        """One more file of this size."""
        self.check_time()
        self.files += 1
        self.written += count
        if self.files > self.limits.workflow_files:
            raise EngineError(f"the workflow has more than {self.limits.workflow_files} files (WES_MAX_WORKFLOW_FILES)")
        self._check_bytes(self.written)

    def _check_bytes(self, count: int) -> None:
        if count > self.limits.workflow_bytes:
            raise EngineError(
                f"the workflow, with all that belongs to it, is larger than {self.limits.workflow_bytes} bytes "
                "(WES_MAX_WORKFLOW_BYTES)"
            )


@dataclass(frozen=True, kw_only=True)
class FetchedResponse:
    """A good answer: the final URL, its headers, and its body, decompressed and counted."""

    url: str
    headers: Mapping[str, str]
    body: Iterator[bytes]


@dataclass(frozen=True, kw_only=True)
class WebPage:
    """A whole document and the URL it came from in the end."""

    url: str
    content_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class WebClient:
    """`tls`: the certificates that are trusted. Variables of the environment that name a proxy are not heeded."""

    budget: FetchBudget
    resolve: Resolve = system_resolve
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)
    pause: Callable[[float], None] = field(default=time.sleep)

    def page(self, url: str) -> WebPage | None:
        """A whole document, tried again where that may help; None where there is none (404, 410)."""
        return self.tried(lambda: self._page(url))

    def tried(self, act: Callable[[], T]) -> T:
        """Up to three times, as long as it fails in a way that may pass."""
        for number in range(1, FETCH_ATTEMPTS):
            try:
                return act()
            except TransientFailure:
                self.pause(PAUSE_SECONDS * 4 ** (number - 1))
        try:
            return act()
        except TransientFailure as error:
            raise SystemFailure(f"{error} ({FETCH_ATTEMPTS} times): try again later") from None

    @contextmanager
    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None, missing: bool = False
    ) -> Iterator[FetchedResponse | None]:
        """GET, or POST where there is content; None for a 404 where `missing` says so.

        Raises as `WorkflowFetcher.fetch` does.
        """
        sent = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "wes-tes", **(headers or {})}
        with translated_errors(url), self._client() as client:
            response = self._followed(client, url, sent, content)
            try:
                if missing and response.status_code in {404, 410}:
                    yield None
                    return
                _check_status(url, response)
                yield FetchedResponse(
                    url=str(response.url),
                    headers=response.headers,
                    body=self._counted(url, response),
                )
            finally:
                response.close()

    def _client(self) -> httpx.Client:
        limits = self.budget.limits
        return guarded_client(network_policy(limits.allow), self.resolve, self.tls, limits.idle_seconds)

    def _followed(
        self, client: httpx.Client, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        here = url
        for _ in range(MAX_REDIRECTS + 1):
            self.budget.check_time()
            request = client.build_request("GET" if content is None else "POST", here, headers=headers, content=content)
            response = client.send(request, stream=True)
            location = response.headers.get("location")
            if not response.is_redirect or not location:
                return response
            response.close()
            if content is not None and response.status_code not in {307, 308}:
                raise EngineError(f"{bare_url(url)} redirects a request in a way that loses what was sent")
            here = redirect_target(url, here, location)
        raise EngineError(f"{bare_url(url)} redirects more than {MAX_REDIRECTS} times")

    def _page(self, url: str) -> WebPage | None:
        most = self.budget.limits.document_bytes
        with self.open(url, missing=True) as answer:
            if answer is None:
                return None
            content = bytearray()
            for chunk in answer.body:
                content += chunk
                if len(content) > most:
                    raise EngineError(f"{bare_url(url)} is larger than {most} bytes (WES_MAX_DOCUMENT_BYTES)")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            return WebPage(url=answer.url, content_type=kind, content=bytes(content))

    def _counted(self, url: str, response: httpx.Response) -> Iterator[bytes]:
        if "," in response.headers.get("content-encoding", ""):
            raise EngineError(f"{bare_url(url)} is compressed more than once")
        with translated_errors(url):
            for chunk in response.iter_bytes(CHUNK):
                self.budget.receive(len(chunk))
                yield chunk


def _check_status(url: str, response: httpx.Response) -> None:
    code = response.status_code
    if code == httpx.codes.OK:
        return
    message = f"{bare_url(url)}: its server answered {code} {response.reason_phrase}".rstrip()
    if code >= httpx.codes.INTERNAL_SERVER_ERROR or code in RETRY_STATUSES:
        raise TransientFailure(message)
    if code in {401, 403}:
        raise EngineError(f"{message}: it needs credentials, or does not exist; send the files as attachments")
    raise EngineError(message)
