"""What an engine may read from the network itself: documents, and files that an expression reads, through the proxy of
its sandbox, which decides what may be asked."""

import http.client
import os
from collections.abc import Mapping
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

NO_HEADERS: Mapping[str, str] = {}
WEB_SCHEMES = ("http://", "https://")
SECONDS = 60.0
LARGEST_DOCUMENT = 16 * 1024**2
"""Bytes."""


class UnreadableUrl(Exception):
    """The message says why, for a person."""


def has_network() -> bool:
    """Whether there is a way out of the sandbox."""
    return "https_proxy" in os.environ


def is_on_web(location: str) -> bool:
    """Whether it is an http or https URL."""
    return location.lower().startswith(WEB_SCHEMES)


def open_url(url: str) -> IO[bytes]:
    """The content of a URL as a stream; `UnreadableUrl`, also for one that is neither http nor https."""
    _check_scheme(url)
    response: IO[bytes] = _opened(url)
    return response


def size_of_url(url: str) -> int:
    """Bytes of what is at a URL, as its server tells them without sending it; `UnreadableUrl`."""
    _check_scheme(url)
    try:
        size = _told_size(url, "HEAD")
    except UnreadableUrl:
        # A URL may be signed for GET alone.
        size = None
    if size is None:
        size = _told_size(url, "GET", {"Range": "bytes=0-0"})
    if size is None:
        raise UnreadableUrl(f"the server of {shown_url(url)} does not tell its size")
    return size


def _told_size(url: str, method: str, headers: Mapping[str, str] = NO_HEADERS) -> int | None:
    with _opened(url, method, headers) as response:
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
        told = whole or response.headers.get("Content-Length", "")
    return int(told) if told.isascii() and told.isdigit() else None


def shown_url(url: str) -> str:
    """As it may stand in messages: without what may be a password or a signature in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _check_scheme(url: str) -> None:
    if not is_on_web(url):
        raise UnreadableUrl("the engine itself reads http and https only")


def _opened(url: str, method: str = "GET", headers: Mapping[str, str] = NO_HEADERS) -> Any:
    shown = shown_url(url)
    if not has_network():
        raise UnreadableUrl("this server gives engines no network")
    try:
        request = Request(url, headers=dict(headers), method=method)  # noqa: S310 - the scheme is checked
        return urlopen(request, timeout=SECONDS)  # noqa: S310
    except HTTPError as error:
        with error:
            raise UnreadableUrl(f"{shown} can't be read: HTTP {error.code} {error.reason}") from None
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        raise UnreadableUrl(f"{shown} can't be read: {getattr(error, 'reason', error)}") from None


def read_document(url: str) -> str:
    """A document of at most 16 MiB, as text; `UnreadableUrl`."""
    shown = shown_url(url)
    with open_url(url) as source:
        try:
            content = source.read(LARGEST_DOCUMENT + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UnreadableUrl(f"{shown} can't be read: {error}") from None
    if len(content) > LARGEST_DOCUMENT:
        raise UnreadableUrl(f"{shown} is larger than {LARGEST_DOCUMENT // 1024**2} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UnreadableUrl(f"{shown} is no text") from None
