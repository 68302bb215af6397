"""Responses of operations: JSON documents, and files in whole or one range of them (RFC 9110, section 14)."""

import io
import json
import mimetypes
import os
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from werkzeug.http import parse_range_header, quote_etag
from werkzeug.sansio.http import is_resource_modified

from common.json_types import JsonObject
from wes_service.api.errors import RangeNotSatisfiable
from wes_service.services.runs import StoredContent

LOG_MEDIA_TYPE = "text/plain; charset=utf-8"
FILE_CHUNK_BYTES = 256 * 1024
INERT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Accept-Ranges": "bytes",
}
"""An output may be a page with scripts; it must not run as a page of this server."""


def json_response(document: JsonObject, status: int = 200) -> Response:
    """The document; never cached, as states change."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=dict) + "\n"
    headers = {"Cache-Control": "no-store"}
    return Response(body.encode(errors="replace"), status, headers=headers, media_type="application/json")


def log_response(request: Request, content: StoredContent) -> Response:
    """A log as far as it was written; empty where nothing was."""
    file = content.file or io.BytesIO(content.text.encode(errors="replace"))
    return _file_response(request, file, LOG_MEDIA_TYPE, None)


def output_response(request: Request, content: StoredContent, path: str) -> Response:
    """An output under the media type that its name tells."""
    assert content.file is not None  # noqa: S101 - an output is always a file
    return _file_response(request, content.file, media_type(path), content.sha256)


def media_type(path: str) -> str:
    """As the file's name tells; bytes where it tells nothing, or that they are compressed."""
    kind, encoding = mimetypes.guess_type(path)
    if kind is None or encoding:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def requested_range(header: str | None, size: int) -> range | None:
    """The bytes that a Range header asks for; None means all of them: no header, or one that may be ignored.

    `RangeNotSatisfiable` where it begins after the end. A tail of an empty file is the whole of it.
    """
    ranges = parse_range_header(header)
    if ranges is None or ranges.units != "bytes" or len(ranges.ranges) != 1:
        return None
    start, end = ranges.ranges[0]
    if start < 0:
        return range(max(0, size + start), size) if size else None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return range(start, size if end is None else min(end, size))


class OpenFileResponse(Response):
    """The bytes of an open file, read in a thread as fast as the client takes them; the file is closed at the end."""

    def __init__(self, file: BinaryIO, part: range, status: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(b"", status, {**headers, "Content-Length": str(len(part))}, media_type)
        self._file = file
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            position = self._part.stop if scope["method"] == "HEAD" else self._part.start
            while position < self._part.stop:
                data = await run_in_threadpool(self._read, position)
                position = position + len(data) if data else self._part.stop
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._file.close()

    def _read(self, position: int) -> bytes:
        self._file.seek(position)
        return self._file.read(min(FILE_CHUNK_BYTES, self._part.stop - position))


def _file_response(request: Request, file: BinaryIO, content_type: str, sha256: str | None) -> Response:
    headers = {**INERT_HEADERS, **({"ETag": quote_etag(sha256)} if sha256 else {})}
    try:
        size = file.seek(0, os.SEEK_END)
        if not _is_modified(request, sha256):
            file.close()
            response = Response(status_code=304, headers=headers)
            del response.headers["Content-Length"]
            return response
        part = requested_range(_range_header(request, sha256), size)
    except BaseException:
        file.close()
        raise
    if part is None:
        return OpenFileResponse(file, range(size), 200, headers, content_type)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return OpenFileResponse(file, part, 206, headers, content_type)


def _is_modified(request: Request, sha256: str | None) -> bool:
    """Whether the client lacks this very file (If-None-Match, which counts before a range)."""
    condition = request.headers.get("If-None-Match")
    return sha256 is None or is_resource_modified(http_if_none_match=condition, etag=quote_etag(sha256))


def _range_header(request: Request, sha256: str | None) -> str | None:
    header, condition = request.headers.get("Range"), request.headers.get("If-Range")
    if header is None or condition is None or (sha256 and condition == quote_etag(sha256)):
        return header
    return None
