"""The places that a task or an output may name: a file of a shared disk or a URL, and nothing else.

One parser for the gateway, the embedded TES and what engines report. What it does not understand is an error, so that
nobody who checks a location and nobody who opens it can read it in two ways: the first sends on `url`, the one
spelling that it has checked.
"""

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from common.errors import InvalidLocation

REMOTE = frozenset({"http", "https", "ftp", "s3", "gs", "az", "drs"})
STORES = frozenset({"s3", "gs", "az"})
"""Schemes of object stores, which tasks may also write to."""
WEB = frozenset({"http", "https"})
DRS = "drs"
"""Of GA4GH's Data Repository Service, which tells where the bytes are."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class FileLocation:
    """`path` is absolute and normal: no `.`, `..`, doubled or trailing slash."""

    path: Path

    @property
    def url(self) -> str:
        """The `file://` URL of the path, percent-encoded."""
        return file_url(self.path)


@dataclass(frozen=True, kw_only=True)
class RemoteLocation:
    """`scheme` is one of `REMOTE`; `url` is as it was given, but for the case of the scheme."""

    scheme: str
    url: str


Location = FileLocation | RemoteLocation


def file_url(path: Path) -> str:
    """The percent-encoded `file://` URL of an absolute path, whatever bytes are in it."""
    return "file://" + quote(os.fsencode(path))


def parse_location(text: str) -> Location:
    """A plain absolute path (taken literally), a `file:` URL of this machine (RFC 8089), or a URL of a known scheme.

    A `#` or `?` that is not percent-encoded is part of a file's name, as no file has a query or a fragment.
    `InvalidLocation` says what is wrong, in words that go behind the name of a field.
    """
    if text.startswith("/"):
        return FileLocation(path=_plain(_encoded(text)))
    found = _SCHEME.match(text)
    if found is None:
        raise InvalidLocation(f"{_short(text)} is neither an absolute path nor a URL")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme == "file":
        return FileLocation(path=_file(rest))
    if scheme not in REMOTE:
        known = ", ".join(sorted(REMOTE))
        raise InvalidLocation(f"{_short(text)} is of a kind that tasks can't use: it must be a file or one of {known}")
    return _remote(scheme, rest)


def file_path_of(text: str) -> Path | None:
    """The path of a file, None for a URL and for what is no location: to tell and to compare, never to permit."""
    try:
        location = parse_location(text)
    except InvalidLocation:
        return None
    return location.path if isinstance(location, FileLocation) else None


def _file(rest: str) -> Path:
    """What follows `file:`."""
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host.lower() not in {"", "localhost"}:
            raise InvalidLocation(f"names the other machine {_short(host)}")
        rest = slash + rest
    # An encoded slash is no separator (RFC 3986, 2.2), and no file has one in its name.
    if "%2f" in rest.lower():
        raise InvalidLocation("must not contain an encoded slash (%2F)")
    return _plain(unquote_to_bytes(_encoded(rest)))


def _plain(path: bytes) -> Path:
    if not path.startswith(b"/"):
        raise InvalidLocation("must hold an absolute path")
    if b"\0" in path:
        raise InvalidLocation("must not contain NUL")
    if b".." in path.split(b"/"):
        raise InvalidLocation("must not contain '..'")
    # POSIX lets a path that begins with two slashes mean something else; nobody does.
    return Path(os.fsdecode(b"/" + posixpath.normpath(path).lstrip(b"/")))


def _remote(scheme: str, rest: str) -> RemoteLocation:
    authority = re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
    if not rest.startswith("//") or not authority:
        raise InvalidLocation(f"{scheme}: needs '://' and the name of a server or a bucket")
    if "\\" in authority or " " in authority or _CONTROL.search(rest):
        raise InvalidLocation(f"{_short(f'{scheme}:{rest}')} is no valid URL")
    _encoded(rest)
    return RemoteLocation(scheme=scheme, url=f"{scheme}:{rest}")


def _encoded(text: str) -> bytes:
    """JSON can hold lone surrogates, which are no text; those of `os.fsdecode` stand for bytes of a file's name."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        raise InvalidLocation("must be valid Unicode") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


def split_url(url: str) -> SplitResult:
    """The parts; `ValueError` in words where it is none."""
    if any(ord(character) <= 32 or character == "\\" for character in url):
        raise ValueError("a URL holds no space, control character or backslash; percent-encode them")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("this is not a URL") from None


def check_authority(parts: SplitResult) -> None:
    """`ValueError` in words unless it names a host, with a port that there can be and without a user or password."""
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "it holds a user name or password, which would be stored and shown; send the files as attachments"
        )
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port is not a number from 1 to 65535")
    host = parts.hostname or ""
    try:
        known = bool(host) and bool(host.encode("idna")) and "%" not in host
    except UnicodeError:
        known = False
    if not known:
        raise ValueError("it names no host")
