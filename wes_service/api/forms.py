"""Forms of POST /runs: the request's body, the names of its parts in every spelling, fields and attachments."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from anyio import from_thread
from starlette.requests import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from common.attachment import FIELD as ATTACHMENT_FIELD
from common.errors import InvalidField, InvalidRequest, TooLarge
from wes_service.api.errors import BodyCutShort, UnsupportedMediaType, unknown_name
from wes_service.storage.run_folders import AttachmentWriter, StagingFolder

CHUNK_BYTES = 64 * 1024
LARGEST_SMALL_BODY = 64 * 1024
"""A body of this many bytes or fewer is received before a thread takes its request."""
STALL_SECONDS = 60.0
"""How long a body may stand still before its request is given up, and its thread freed."""
UPLOADS = 40
"""Larger bodies that are received at once, beside all other requests: a slow one holds its thread."""
# A quote that is never closed goes to the end: else the end would be looked for from each one again.
_DISPOSITION_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*+(?:"|\\?$)|[^;]*)')
_QUOTED_PAIR = re.compile(r"\\([\"\\])")
_EXTENDED_VALUE = re.compile(r"(utf-8|iso-8859-1|us-ascii)'[^']*'(.*)", re.IGNORECASE)
MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
FIELD_NOUN = "form field"
MAX_PART_HEAD_BYTES = 256 * 1024
"""How much may be kept of a part before its content begins."""


@dataclass(frozen=True, kw_only=True)
class FormBody:
    """A request's body: media type, announced length or None, and how to read its next bytes, none at the end."""

    content_type: str
    length: int | None
    read: Callable[[], bytes]

    def chunks(self, limit: int) -> Iterator[bytes]:
        """All of it; `TooLarge` above `limit` bytes, `BodyCutShort` where less came than was announced."""
        if self.length is not None and self.length > limit:
            raise TooLarge(f"the request is larger than {limit} bytes (WES_MAX_REQUEST_BYTES)")
        total = 0
        while data := self.read():
            total += len(data)
            if total > limit:
                raise TooLarge(f"the request is larger than {limit} bytes (WES_MAX_REQUEST_BYTES)")
            yield data
        if self.length is not None and total < self.length:
            raise BodyCutShort(f"the body ended after {total} of {self.length} bytes")


class BodyStream:
    """The body of a request that the event loop receives, and a worker thread reads."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._data = memoryview(b"")
        self._more = True
        headers = request.headers
        length = headers.get("content-length", "0")
        # A client that waits for '100 Continue' is told so by the first read, not before.
        self.is_large = (
            "transfer-encoding" in headers
            or "expect" in headers
            or not length.isdigit()
            or int(length) > LARGEST_SMALL_BODY
        )
        self.form = FormBody(
            content_type=headers.get("content-type", ""),
            length=int(length) if "content-length" in headers and length.isdigit() else None,
            read=self._read,
        )

    async def receive_all(self) -> None:
        """In the event loop, so that the thread need not wait for any of it."""
        parts = []
        while self._more:
            await self._receive_next()
            parts.append(self._data)
        self._data = memoryview(b"".join(parts))

    def _read(self) -> bytes:
        while self._more and not self._data:
            from_thread.run(self._receive_next)
        data, self._data = self._data[:CHUNK_BYTES], self._data[CHUNK_BYTES:]
        return bytes(data)

    async def _receive_next(self) -> None:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise BodyCutShort(f"the body stood still for {STALL_SECONDS:.0f} s") from None
        if message["type"] == "http.disconnect":
            raise BodyCutShort("the connection ended before the body was complete")
        self._data = memoryview(message.get("body", b""))
        self._more = message.get("more_body", False)


def keep_boundary_whole(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """The same bytes, with the last boundary of a multipart form never split between two chunks.

    Werkzeug (3.1.9) adds a CR to the content before that boundary where a chunk ends between its last two dashes.
    """
    kept = b""
    for chunk in chunks:
        data = kept + chunk
        kept = _boundary_start(data, boundary)
        if len(data) > len(kept):
            yield data[: len(data) - len(kept)]
    if kept:
        yield kept


def _boundary_start(data: bytes, boundary: bytes) -> bytes:
    """How far the end of `data` may be the beginning of the last boundary; empty where it is none."""
    # An LF alone is taken for a line's end too.
    for end in (b"\r\n--" + boundary + b"--", b"\n--" + boundary + b"--"):
        for length in range(len(end) - 1, 0, -1):
            if data.endswith(end[:length]):
                return end[:length]
    return b""


def file_name(part: Field | File) -> str | None:
    """None where the part has none; `InvalidField` where it can't be decoded.

    Werkzeug alone would drop a backslash, and all after a slash in `filename*`, without a word; it reads the rest.
    """
    header = part.headers.get("content-disposition", "")
    given = {name.lower(): value.strip() for name, value in _DISPOSITION_PARAMETER.findall(header)}
    if "filename*" in given:
        return _decoded_extended(given["filename*"])
    if "filename" in given:
        return _decoded(given["filename"])
    return part.filename if isinstance(part, File) else None


def _decoded(value: str) -> str:
    # Browsers write a quote as %22 (HTML), curl and older libraries as a backslash and a quote (RFC 9110).
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    text = _QUOTED_PAIR.sub(r"\1", value[1:-1]) if quoted else value
    return text.replace("%22", '"')


def _decoded_extended(value: str) -> str:
    match = _EXTENDED_VALUE.fullmatch(value.strip('"'))
    try:
        return unquote(match[2], encoding=match[1], errors="strict") if match else _refuse_name(value)
    except UnicodeDecodeError:
        return _refuse_name(value)


def _refuse_name(text: str) -> str:
    raise InvalidField(ATTACHMENT_FIELD, f"the file name {text[:80]!r} can't be decoded; UTF-8 is best")


@dataclass(frozen=True, kw_only=True)
class FormLimits:
    """In bytes, `attachments` in number; `field` is for all fields together."""

    request: int
    field: int
    attachment: int
    attachments: int


def read_form(body: FormBody, known: frozenset[str], limits: FormLimits, staging: StagingFolder) -> dict[str, str]:
    """The fields of a form, which must be `known` ones; attachments are in `staging` then.

    `InvalidField` or `TooLarge` name what is wrong; no body at all is a form without fields.
    """
    kind, options = parse_options_header(body.content_type)
    if kind.lower() == MULTIPART:
        return _read_multipart(body, options.get("boundary", ""), _MultipartReader(known, limits, staging), limits)
    if kind.lower() == URLENCODED:
        return _read_urlencoded(body, known, limits)
    if not kind and not any(body.chunks(limits.request)):
        return {}
    raise UnsupportedMediaType(f"Content-Type: {kind or 'none'} is not taken here; send {MULTIPART} or {URLENCODED}")


def _read_urlencoded(body: FormBody, known: frozenset[str], limits: FormLimits) -> dict[str, str]:
    form = FormFields(limits.field)
    raw = bytearray()
    for data in body.chunks(limits.request):
        form.count(len(data), "the form")
        raw += data
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("the form is not percent-encoded UTF-8") from None
    for name, value in pairs:
        if name == ATTACHMENT_FIELD:
            raise InvalidField(ATTACHMENT_FIELD, f"files can only be sent as {MULTIPART}, each with a file name")
        if name not in known:
            raise unknown_name(FIELD_NOUN, name, known | {ATTACHMENT_FIELD})
        form.put(name, value)
    return form.values


def _read_multipart(body: FormBody, boundary: str, parts: "_MultipartReader", limits: FormLimits) -> dict[str, str]:
    if not boundary or not boundary.isascii():
        raise InvalidRequest("Content-Type: the boundary of the multipart form is missing")
    decoder = MultipartDecoder(boundary.encode(), max_form_memory_size=MAX_PART_HEAD_BYTES)
    try:
        for data in keep_boundary_whole(body.chunks(limits.request), boundary.encode()):
            decoder.receive_data(data)
            _drain(decoder, parts)
        decoder.receive_data(None)
        _drain(decoder, parts)
    except RequestEntityTooLarge:
        raise TooLarge(f"the head of a part of the form is larger than {MAX_PART_HEAD_BYTES} bytes") from None
    except ValueError:
        # Only the decoder raises it, and for a body that is no multipart form or has no end.
        raise InvalidRequest("the multipart form is malformed or ends too early") from None
    return parts.fields.values


def _drain(decoder: MultipartDecoder, parts: "_MultipartReader") -> None:
    while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
        if isinstance(event, Field | File):
            parts.begin(event)
        elif isinstance(event, Data):
            parts.add(event.data, last=not event.more_data)


class FormFields:
    """The plain fields of a form: each at most once, `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self.values: dict[str, str] = {}
        self._limit = limit
        self._total = 0

    def count(self, size: int, name: str) -> None:
        """Adds to the bytes of all fields; `TooLarge` over the limit, with the name of the field."""
        self._total += size
        if self._total > self._limit:
            raise TooLarge(f"{name}: the fields are larger than {self._limit} bytes (WES_MAX_FIELD_BYTES)")

    def put(self, name: str, value: str) -> None:
        """Stores a field; `InvalidField` where it is there already."""
        if name in self.values:
            raise InvalidField(name, "the field is there twice")
        self.values[name] = value


class FormPart(Protocol):
    """One part of a multipart form, while it is read."""

    def add(self, data: bytes) -> None:
        """Takes the next bytes of its content."""

    def end(self) -> None:
        """Called once, after its last bytes."""


class IgnoredPart:
    """A part of no meaning here."""

    def add(self, data: bytes) -> None: ...

    def end(self) -> None: ...


@dataclass(kw_only=True)
class FieldPart:
    """A field, with a file name or without: `curl -F workflow_params=@params.json` sends one."""

    name: str
    form: FormFields
    data: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.form.count(len(data), self.name)
        self.data += data

    def end(self) -> None:
        try:
            self.form.put(self.name, self.data.decode())
        except UnicodeDecodeError:
            raise InvalidField(self.name, "the field is not UTF-8 text") from None


@dataclass(kw_only=True)
class AttachmentPart:
    """An attachment, on its way to disk."""

    attachment: AttachmentWriter
    staging: StagingFolder
    limit: int
    size: int = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.limit:
            name = self.attachment.name
            raise TooLarge(f"{ATTACHMENT_FIELD}: {name!r} is larger than {self.limit} bytes (WES_MAX_ATTACHMENT_BYTES)")
        self.attachment.write(data)

    def end(self) -> None:
        self.staging.finish(self.attachment)


class _MultipartReader:
    """The parts of one form, one after the other."""

    def __init__(self, known: frozenset[str], limits: FormLimits, staging: StagingFolder) -> None:
        self.fields = FormFields(limits.field)
        self._known = known
        self._limits = limits
        self._staging = staging
        self._part: FormPart = IgnoredPart()
        self._attachments = 0

    def begin(self, event: Field | File) -> None:
        # The part's name may be missing, whatever the annotation says.
        name: str | None = event.name
        if name == ATTACHMENT_FIELD:
            self._part = self._attachment(file_name(event))
        elif name is None:
            self._part = IgnoredPart()
        elif name in self._known:
            self._part = FieldPart(name=name, form=self.fields)
        else:
            raise unknown_name(FIELD_NOUN, name, self._known | {ATTACHMENT_FIELD})

    def add(self, data: bytes, *, last: bool) -> None:
        if data:
            self._part.add(data)
        if last:
            self._part.end()

    def _attachment(self, file_name: str | None) -> AttachmentPart:
        if file_name is None:
            raise InvalidField(ATTACHMENT_FIELD, "each attachment needs a file name, its relative path")
        self._attachments += 1
        if self._attachments > self._limits.attachments:
            most = self._limits.attachments
            raise TooLarge(f"{ATTACHMENT_FIELD}: there are more than {most} attachments (WES_MAX_ATTACHMENTS)")
        attachment = self._staging.create(file_name)
        return AttachmentPart(attachment=attachment, staging=self._staging, limit=self._limits.attachment)
