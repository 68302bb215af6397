"""One guarded HTTP client for documents and for git: redirects, limits and failures in words."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from common.errors import EngineError, SystemFailure
from sandbox.network import (
    BUSY,
    REDIRECTS,
    Passing,
    Resolve,
    failures_of,
    guarded_client,
    policy,
    redirect_target,
    system_resolve,
    told,
)
from wes_service.fetch.job import Budget

TRIES = 3
PAUSE_SECONDS = 0.5
CHUNK = 64 * 1024
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A good answer: the final URL, its headers, and its body, decompressed and counted."""

    url: str
    headers: Mapping[str, str]
    body: Iterator[bytes]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole document and the URL it came from in the end."""

    url: str
    content_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Web:
    """`tls`: the certificates that are trusted. Variables of the environment that name a proxy are not heeded."""

    budget: Budget
    resolve: Resolve = system_resolve
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)
    pause: Callable[[float], None] = field(default=time.sleep)

    def page(self, url: str) -> Page | None:
        """A whole document, tried again where that may help; None where there is none (404, 410)."""
        return self.tried(lambda: self._page(url))

    def tried(self, act: Callable[[], T]) -> T:
        """Up to three times, as long as it fails in a way that may pass."""
        for number in range(1, TRIES):
            try:
                return act()
            except Passing:
                self.pause(PAUSE_SECONDS * 4 ** (number - 1))
        try:
            return act()
        except Passing as error:
            raise SystemFailure(f"{error} ({TRIES} times): try again later") from None

    @contextmanager
    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None, missing: bool = False
    ) -> Iterator[Answer | None]:
        """GET, or POST where there is content; None for a 404 where `missing` says so.

        Raises as `WorkflowFetcher.fetch` does.
        """
        sent = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "wes-tes", **(headers or {})}
        with failures_of(url), self._client() as client:
            response = self._followed(client, url, sent, content)
            try:
                if missing and response.status_code in {404, 410}:
                    yield None
                    return
                _check_status(url, response)
                yield Answer(
                    url=str(response.url),
                    headers=response.headers,
                    body=self._counted(url, response),
                )
            finally:
                response.close()

    def _client(self) -> httpx.Client:
        limits = self.budget.limits
        return guarded_client(policy(limits.allow), self.resolve, self.tls, limits.idle_seconds)

    def _followed(
        self, client: httpx.Client, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        here = url
        for _ in range(REDIRECTS + 1):
            self.budget.check_time()
            request = client.build_request("GET" if content is None else "POST", here, headers=headers, content=content)
            response = client.send(request, stream=True)
            location = response.headers.get("location")
            if not response.is_redirect or not location:
                return response
            response.close()
            if content is not None and response.status_code not in {307, 308}:
                raise EngineError(f"{told(url)} redirects a request in a way that loses what was sent")
            here = redirect_target(url, here, location)
        raise EngineError(f"{told(url)} redirects more than {REDIRECTS} times")

    def _page(self, url: str) -> Page | None:
        most = self.budget.limits.document_bytes
        with self.open(url, missing=True) as answer:
            if answer is None:
                return None
            content = bytearray()
            for chunk in answer.body:
                content += chunk
                if len(content) > most:
                    raise EngineError(f"{told(url)} is larger than {most} bytes (WES_MAX_DOCUMENT_BYTES)")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Page(url=answer.url, content_type=kind, content=bytes(content))

    def _counted(self, url: str, response: httpx.Response) -> Iterator[bytes]:
        if "," in response.headers.get("content-encoding", ""):
            raise EngineError(f"{told(url)} is compressed more than once")
        with failures_of(url):
            for chunk in response.iter_bytes(CHUNK):
                self.budget.receive(len(chunk))
                yield chunk


def _check_status(url: str, response: httpx.Response) -> None:
    code = response.status_code
    if code == httpx.codes.OK:
        return
    said = f"{told(url)}: its server answered {code} {response.reason_phrase}".rstrip()
    if code >= httpx.codes.INTERNAL_SERVER_ERROR or code in BUSY:
        raise Passing(said)
    if code in {401, 403}:
        raise EngineError(f"{said}: it needs credentials, or does not exist; send the files as attachments")
    raise EngineError(said)
