import asyncio
import io

import pytest
from starlette.types import Message

from wes_service.api.errors import RangeNotSatisfiable
from wes_service.api.responses import FILE_CHUNK_BYTES, OpenFileResponse, media_type, requested_range


@pytest.mark.parametrize(
    ("header", "size", "part"),
    [
        (None, 10, None),
        ("bytes=0-", 10, range(10)),
        ("bytes=3-5", 10, range(3, 6)),
        ("bytes=3-50", 10, range(3, 10)),
        ("bytes=-3", 10, range(7, 10)),
        ("bytes=-30", 10, range(10)),
        ("bytes=-3", 0, None),
        ("bytes=1-2,5-6", 10, None),
        ("items=1-2", 10, None),
    ],
)
def test_a_range_is_read_as_the_standard_says(header: str | None, size: int, part: range | None) -> None:
    assert requested_range(header, size) == part


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=11-12", 10), ("bytes=0-", 0)])
def test_a_range_after_the_end_can_not_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        requested_range(header, size)
    assert refused.value.size == size


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.json", "application/json"),
        ("a.txt.gz", "application/octet-stream"),
        ("a.bam", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_the_media_type_is_told_by_the_name(path: str, kind: str) -> None:
    assert media_type(path) == kind


class Recorder(io.BytesIO):
    """A file that tells how much of it was read at once."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.reads.append(len(data))
        return data


def test_a_long_file_goes_out_in_pieces_and_is_closed() -> None:
    file = Recorder(b"x" * (2 * FILE_CHUNK_BYTES + 5))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    response = OpenFileResponse(file, range(1, 2 * FILE_CHUNK_BYTES + 5), 206, {}, "text/plain")
    asyncio.run(response({"type": "http", "method": "GET"}, send, send))  # type: ignore[arg-type]
    assert file.reads == [FILE_CHUNK_BYTES, FILE_CHUNK_BYTES, 4]
    assert file.closed
    assert dict(sent[0]["headers"])[b"content-length"] == str(2 * FILE_CHUNK_BYTES + 4).encode()
    assert sent[-1].get("more_body", False) is False


def test_a_file_is_closed_where_the_client_is_gone() -> None:
    file = Recorder(b"x" * 10)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        asyncio.run(OpenFileResponse(file, range(10), 200, {}, "text/plain")({"method": "GET"}, send, send))  # type: ignore[arg-type]
    assert file.closed
