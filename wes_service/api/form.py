"""Reads the form of POST /runs as it arrives: attachments go to disk, the few fields stay in memory."""

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from common.attachment import FIELD as ATTACHMENT
from common.errors import InvalidField, InvalidRequest, TooLarge
from wes_service.api.body import Body, unbroken
from wes_service.api.errors import UnsupportedMediaType
from wes_service.api.file_names import file_name
from wes_service.core.known_names import not_known
from wes_service.storage.staging import Attachment, Staging

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
FORM_FIELD = "form field"
LONGEST_HEAD = 256 * 1024
"""How much may be held of a part before its content begins."""


@dataclass(frozen=True, kw_only=True)
class FormLimits:
    """In bytes, `attachments` in number; `field` is for all fields together."""

    request: int
    field: int
    attachment: int
    attachments: int


def read_form(body: Body, wanted: frozenset[str], limits: FormLimits, staging: Staging) -> dict[str, str]:
    """The `wanted` fields; attachments are in `staging` then.

    `InvalidField` or `TooLarge` name what is wrong; no body at all is a form without fields.
    """
    kind, options = parse_options_header(body.content_type)
    if kind.lower() == MULTIPART:
        return _read_multipart(body, options.get("boundary", ""), _Parts(wanted, limits, staging), limits)
    if kind.lower() == URLENCODED:
        return _read_urlencoded(body, wanted, limits)
    if not kind and not any(body.chunks(limits.request)):
        return {}
    raise UnsupportedMediaType(f"Content-Type: {kind or 'none'} is not taken here; send {MULTIPART} or {URLENCODED}")


def _read_urlencoded(body: Body, wanted: frozenset[str], limits: FormLimits) -> dict[str, str]:
    form = Fields(limits.field)
    raw = bytearray()
    for data in body.chunks(limits.request):
        form.count(len(data), "the form")
        raw += data
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("the form is not percent-encoded UTF-8") from None
    for name, value in pairs:
        if name == ATTACHMENT:
            raise InvalidField(ATTACHMENT, f"files can only be sent as {MULTIPART}, each with a file name")
        if name not in wanted:
            raise not_known(FORM_FIELD, name, wanted | {ATTACHMENT})
        form.put(name, value)
    return form.values


def _read_multipart(body: Body, boundary: str, parts: "_Parts", limits: FormLimits) -> dict[str, str]:
    if not boundary or not boundary.isascii():
        raise InvalidRequest("Content-Type: the boundary of the multipart form is missing")
    decoder = MultipartDecoder(boundary.encode(), max_form_memory_size=LONGEST_HEAD)
    try:
        for data in unbroken(body.chunks(limits.request), boundary.encode()):
            decoder.receive_data(data)
            _drain(decoder, parts)
        decoder.receive_data(None)
        _drain(decoder, parts)
    except RequestEntityTooLarge:
        raise TooLarge(f"the head of a part of the form is larger than {LONGEST_HEAD} bytes") from None
    except ValueError:
        # Only the decoder raises it, and for a body that is no multipart form or has no end.
        raise InvalidRequest("the multipart form is malformed or ends too early") from None
    return parts.fields.values


def _drain(decoder: MultipartDecoder, parts: "_Parts") -> None:
    while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
        if isinstance(event, Field | File):
            parts.begin(event)
        elif isinstance(event, Data):
            parts.add(event.data, last=not event.more_data)


class Fields:
    """The plain fields of a form: each at most once, `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self.values: dict[str, str] = {}
        self._limit = limit
        self._total = 0

    def count(self, size: int, name: str) -> None:
        self._total += size
        if self._total > self._limit:
            raise TooLarge(f"{name}: the fields are larger than {self._limit} bytes (WES_MAX_FIELD_BYTES)")

    def put(self, name: str, value: str) -> None:
        if name in self.values:
            raise InvalidField(name, "the field is there twice")
        self.values[name] = value


class Part(Protocol):
    """One part of a multipart form, while it is read."""

    def add(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class PassedOver:
    """A part of no meaning here."""

    def add(self, data: bytes) -> None: ...

    def end(self) -> None: ...


@dataclass(kw_only=True)
class FieldPart:
    """A field, with a file name or without: `curl -F workflow_params=@params.json` sends one."""

    name: str
    form: Fields
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

    attachment: Attachment
    staging: Staging
    limit: int
    size: int = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.limit:
            name = self.attachment.name
            raise TooLarge(f"{ATTACHMENT}: {name!r} is larger than {self.limit} bytes (WES_MAX_ATTACHMENT_BYTES)")
        self.attachment.write(data)

    def end(self) -> None:
        self.staging.finish(self.attachment)


class _Parts:
    """The parts of one form, one after the other."""

    def __init__(self, wanted: frozenset[str], limits: FormLimits, staging: Staging) -> None:
        self.fields = Fields(limits.field)
        self._wanted = wanted
        self._limits = limits
        self._staging = staging
        self._part: Part = PassedOver()
        self._attachments = 0

    def begin(self, event: Field | File) -> None:
        # The part's name may be missing, whatever the annotation says.
        name: str | None = event.name
        if name == ATTACHMENT:
            self._part = self._attachment(file_name(event))
        elif name is None:
            self._part = PassedOver()
        elif name in self._wanted:
            self._part = FieldPart(name=name, form=self.fields)
        else:
            raise not_known(FORM_FIELD, name, self._wanted | {ATTACHMENT})

    def add(self, data: bytes, *, last: bool) -> None:
        if data:
            self._part.add(data)
        if last:
            self._part.end()

    def _attachment(self, file_name: str | None) -> AttachmentPart:
        if file_name is None:
            raise InvalidField(ATTACHMENT, "each attachment needs a file name, its relative path")
        self._attachments += 1
        if self._attachments > self._limits.attachments:
            most = self._limits.attachments
            raise TooLarge(f"{ATTACHMENT}: there are more than {most} attachments (WES_MAX_ATTACHMENTS)")
        attachment = self._staging.create(file_name)
        return AttachmentPart(attachment=attachment, staging=self._staging, limit=self._limits.attachment)
