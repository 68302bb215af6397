"""A request's body, as it arrives."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from common.errors import TooLarge
from wes_service.api.errors import BodyCutShort

CHUNK = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Body:
    """A request's body: its media type, its announced length or None, and how to read the next bytes of it."""

    content_type: str
    length: int | None
    read: Callable[[int], bytes]

    def chunks(self, limit: int) -> Iterator[bytes]:
        """All of it; `TooLarge` above `limit` bytes, `BodyCutShort` where less came than was announced."""
        if self.length is not None and self.length > limit:
            raise TooLarge(f"the request is larger than {limit} bytes (WES_MAX_REQUEST_BYTES)")
        total = 0
        while data := self.read(CHUNK):
            total += len(data)
            if total > limit:
                raise TooLarge(f"the request is larger than {limit} bytes (WES_MAX_REQUEST_BYTES)")
            yield data
        if self.length is not None and total < self.length:
            raise BodyCutShort(f"the body ended after {total} of {self.length} bytes")


def unbroken(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """The same bytes, with the last boundary of a multipart form never split between two chunks.

    Werkzeug (3.1.9) adds a CR to the content before that boundary where a chunk ends between its last two dashes.
    """
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = _begun(data, boundary)
        if len(data) > len(held):
            yield data[: len(data) - len(held)]
    if held:
        yield held


def _begun(data: bytes, boundary: bytes) -> bytes:
    """How far the end of `data` may be the beginning of the last boundary; empty where it is none."""
    # An LF alone is taken for a line's end too.
    for end in (b"\r\n--" + boundary + b"--", b"\n--" + boundary + b"--"):
        for length in range(len(end) - 1, 0, -1):
            if data.endswith(end[:length]):
                return end[:length]
    return b""
