"""What an engine may read from the network itself: documents, and files that an expression reads, through the proxy of
its sandbox, which decides what may be asked."""

import http.client
import os
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

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
    if not is_on_web(url):
        raise UnreadableUrl("the engine itself reads http and https only")
    if not has_network():
        raise UnreadableUrl("this server gives engines no network")
    try:
        response: IO[bytes] = urlopen(url, timeout=SECONDS)  # noqa: S310 - the scheme is checked
    except HTTPError as error:
        with error:
            raise UnreadableUrl(f"{url} can't be read: HTTP {error.code} {error.reason}") from None
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        raise UnreadableUrl(f"{url} can't be read: {getattr(error, 'reason', error)}") from None
    return response


def read_document(url: str) -> str:
    """A document of at most 16 MiB, as text; `UnreadableUrl`."""
    with open_url(url) as source:
        try:
            content = source.read(LARGEST_DOCUMENT + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UnreadableUrl(f"{url} can't be read: {error}") from None
    if len(content) > LARGEST_DOCUMENT:
        raise UnreadableUrl(f"{url} is larger than {LARGEST_DOCUMENT // 1024**2} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UnreadableUrl(f"{url} is no text") from None
