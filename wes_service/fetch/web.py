"""One guarded HTTP client for documents and for git: redirects, limits and failures in words."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from wes_service.core.errors import EngineError, InvalidField, SystemFailure
from wes_service.core.masking import bare_url
from wes_service.core.remote_workflow import remote_workflow
from wes_service.fetch.addresses import Policy, policy
from wes_service.fetch.limits import Budget
from wes_service.fetch.transport import GuardedTransport, Passing, Resolve, system_resolve

REDIRECTS = 10
TRIES = 3
PAUSE_SECONDS = 0.5
CHUNK = 64 * 1024
BUSY = frozenset({408, 425, 429})
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


def guarded_client(allowed: Policy, resolve: Resolve, tls: ssl.SSLContext, idle_seconds: float) -> httpx.Client:
    """It follows no redirect by itself, and asks no proxy that the environment names."""
    # No connection is kept: one that was made for a host must not serve another at the same address.
    pool = httpx.HTTPTransport(
        verify=tls, trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
    )
    timeout = httpx.Timeout(idle_seconds, connect=min(10.0, idle_seconds))
    transport = GuardedTransport(pool, allowed, resolve)
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)


def told(url: str) -> str:
    """A URL as a message names it: without what may be secret."""
    return bare_url(url)


def redirect_target(asked: str, here: str, location: str) -> str:
    """Where a redirect leads; `EngineError` where it must not be followed."""
    there = urljoin(here, location).partition("#")[0]
    try:
        remote_workflow(there)
        web = urlsplit(there).scheme.lower() in {"http", "https"}
    except (InvalidField, ValueError):
        web = False
    if not web:
        raise EngineError(f"{told(asked)} redirects to what is no plain http(s) URL")
    if urlsplit(here).scheme.lower() == "https" and urlsplit(there).scheme.lower() == "http":
        raise EngineError(f"{told(asked)} redirects from https to {told(there)}, which is not encrypted")
    return there


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


@contextmanager
def failures_of(url: str) -> Iterator[None]:
    """httpx's failures in words; those that may pass are `Passing`."""
    try:
        yield
    except httpx.TimeoutException:
        raise Passing(f"{told(url)}: its server did not answer in time") from None
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise EngineError(f"{told(url)}: the certificate of its server is not valid ({error})") from None
        raise Passing(f"{told(url)}: its server can't be reached ({error})") from None
    except httpx.DecodingError:
        raise EngineError(f"{told(url)}: its content is not compressed as the server says") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        raise EngineError(f"{told(url)} is not a URL that can be fetched") from None
    except httpx.HTTPError as error:
        raise Passing(f"{told(url)}: the connection to its server failed ({error})") from None
