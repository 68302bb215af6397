"""Sends files, or the one range of bytes that was asked for (RFC 9110, section 14)."""

import io
import mimetypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import flask
from werkzeug.http import parse_range_header, quote_etag, unquote_etag

from wes_service.api.errors import RangeNotSatisfiable
from wes_service.services.runs import Found

TEXT = "text/plain; charset=utf-8"
CHUNK = 256 * 1024
# An output may be a page with scripts; it must not run as a page of this server.
INERT = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Accept-Ranges": "bytes",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int


def wanted_part(header: str | None, size: int) -> Part | None:
    """The part that a Range header asks for; None means all of it: no header, or one that may be ignored.

    `RangeNotSatisfiable` where it begins after the end. A tail of an empty file is the whole of it.
    """
    ranges = parse_range_header(header)
    if ranges is None or ranges.units != "bytes" or len(ranges.ranges) != 1:
        return None
    start, end = ranges.ranges[0]
    if start < 0:
        return Part(start=max(0, size + start), end=size) if size else None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return Part(start=start, end=size if end is None else min(end, size))


def text_response(found: Found) -> flask.Response:
    """A log as far as it was written; empty where nothing was."""
    return _response(found.file or io.BytesIO(found.text.encode(errors="replace")), TEXT, None)


def output_response(found: Found, path: str) -> flask.Response:
    """An output under the media type that its name tells."""
    assert found.file is not None  # noqa: S101 - a reader answers an output with its file
    return _response(found.file, media_type(path), found.sha256)


def media_type(path: str) -> str:
    """As the file's name tells; bytes where it tells nothing, or that they are packed."""
    kind, packed = mimetypes.guess_type(path)
    if kind is None or packed:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _response(file: BinaryIO, content_type: str, sha256: str | None) -> flask.Response:
    try:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        part = wanted_part(_range_header(sha256), size) if not _is_known(sha256) else None
    except BaseException:
        file.close()
        raise
    headers = {**INERT, **({"ETag": quote_etag(sha256)} if sha256 else {})}
    if _is_known(sha256):
        file.close()
        return flask.Response(status=304, headers=headers)
    whole = part or Part(start=0, end=size)
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    headers["Content-Length"] = str(whole.end - whole.start)
    if flask.request.method == "HEAD":
        file.close()
        return flask.Response(status=206 if part else 200, headers=headers, content_type=content_type)
    body = _chunks(file, whole)
    return flask.Response(body, 206 if part else 200, headers, content_type=content_type, direct_passthrough=True)


def _is_known(sha256: str | None) -> bool:
    """Whether the client has this very file already (If-None-Match, which counts before a range)."""
    return sha256 is not None and flask.request.if_none_match.contains_weak(sha256)


def _range_header(sha256: str | None) -> str | None:
    condition = flask.request.headers.get("If-Range")
    if condition is not None and unquote_etag(condition) != (sha256, False):
        return None
    return flask.request.headers.get("Range")


def _chunks(file: BinaryIO, part: Part) -> Iterator[bytes]:
    with file:
        file.seek(part.start)
        left = part.end - part.start
        while left > 0 and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            yield data
