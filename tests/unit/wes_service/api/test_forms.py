import asyncio
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from anyio import to_thread
from starlette.requests import Request
from starlette.types import Message

from common.errors import TooLarge
from sandbox.identity import foreign_identity
from wes_service.api import forms
from wes_service.api.errors import BodyCutShort
from wes_service.api.forms import (
    CHUNK_BYTES,
    URLENCODED,
    BodyStream,
    FormBody,
    FormLimits,
    keep_boundary_whole,
    read_form,
)
from wes_service.storage.run_folders import RunFolders, StagingFolder

LIMITS = FormLimits(request=10**6, field=10**5, attachment=10**6, attachments=5)
MULTIPART = "multipart/form-data; boundary=B"


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[StagingFolder]:
    folders = RunFolders(tmp_path / "runs", foreign_identity(64321))
    folders.prepare()
    with folders.stage() as staging:
        yield staging


def body(content: bytes, kind: str, *, length: int | None = None, most: int = CHUNK_BYTES) -> FormBody:
    stream = io.BytesIO(content)
    return FormBody(content_type=kind, length=length, read=lambda: stream.read(most))


@pytest.mark.parametrize("kind", [URLENCODED, MULTIPART])
def test_a_body_that_is_shorter_than_announced_is_refused(staging: StagingFolder, kind: str) -> None:
    with pytest.raises(BodyCutShort, match="after 3 of 10 bytes"):
        read_form(body(b"a=1", kind, length=10), frozenset({"a"}), LIMITS, staging)


def test_a_length_over_the_limit_is_refused_before_anything_is_read(staging: StagingFolder) -> None:
    def never() -> bytes:
        raise AssertionError

    with pytest.raises(TooLarge):
        read_form(FormBody(content_type=URLENCODED, length=10**7, read=never), frozenset(), LIMITS, staging)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64, CHUNK_BYTES])
def test_a_form_is_read_alike_in_pieces_of_any_size(staging: StagingFolder, most: int) -> None:
    content = b"\r\n--Bx\r\n-B--\n\r--\r\n-" * 20
    form = (
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xc3\xa9\r\n'
        b'--B\r\nContent-Disposition: form-data; name="workflow_attachment"; filename="x/y"\r\n\r\n'
        + content
        + b"\r\n--B--\r\n"
    )
    fields = read_form(body(form, MULTIPART, most=most), frozenset({"a"}), LIMITS, staging)
    assert fields == {"a": "é"}
    assert (staging.root / "attachments/x/y").read_bytes() == content


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
def test_a_form_may_be_split_anywhere(staging: StagingFolder, line: bytes) -> None:
    lines = [b"--B", b'Content-Disposition: form-data; name="a"', b"", b"x\r-\n--B-", b"--B--", b""]
    form = line.join(lines)
    for cut in range(len(form)):
        pieces = iter([form[:cut], form[cut:], b""] if cut else [form, b""])
        whole = FormBody(content_type=MULTIPART, length=None, read=lambda pieces=pieces: next(pieces))  # type: ignore[misc]
        assert read_form(whole, frozenset({"a"}), LIMITS, staging) == {"a": "x\r-\n--B-"}


def test_held_bytes_are_never_lost() -> None:
    data = b"\r\n--B-\r\r\n--B\n--B--\r\n--"
    for size in range(1, len(data) + 1):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert b"".join(keep_boundary_whole(chunks, b"B")) == data


def test_names_and_values_of_a_urlencoded_form_are_decoded(staging: StagingFolder) -> None:
    fields = read_form(body(b"a=%C3%A9+b&c=", URLENCODED), frozenset({"a", "c"}), LIMITS, staging)
    assert fields == {"a": "é b", "c": ""}


def test_no_body_is_no_field(staging: StagingFolder) -> None:
    assert read_form(body(b"", ""), frozenset({"a"}), LIMITS, staging) == {}


def body_stream(*messages: Message, headers: Sequence[tuple[bytes, bytes]] = ()) -> BodyStream:
    """The body of a request that these messages come with; then nothing does."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    return BodyStream(Request({"type": "http", "headers": list(headers)}, receive))


def received(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def read_in_a_thread(body: BodyStream) -> bytes:
    return asyncio.run(to_thread.run_sync(lambda: b"".join(iter(body.form.read, b""))))


CHUNKED = [(b"transfer-encoding", b"chunked")]
MESSAGES = (received(b"ab", more=True), received(b"", more=True), received(b"cdef", more=False))


def test_a_large_body_in_many_messages_is_read_whole_by_a_thread() -> None:
    body = body_stream(*MESSAGES, headers=CHUNKED)
    assert body.is_large
    assert read_in_a_thread(body) == b"abcdef"


def test_a_small_body_is_received_before_a_thread_reads_it() -> None:
    body = body_stream(*MESSAGES, headers=[(b"content-length", b"6")])
    assert not body.is_large
    asyncio.run(body.receive_all())
    assert b"".join(iter(body.form.read, b"")) == b"abcdef"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", str(CHUNK_BYTES + 1).encode())],
        [(b"content-length", b"5"), (b"expect", b"100-continue")],
    ],
)
def test_nothing_of_a_body_is_received_before_a_thread_reads_it_where_it_is_large_or_the_client_asks_first(
    headers: list[tuple[bytes, bytes]],
) -> None:
    assert body_stream(headers=headers).is_large


def test_a_body_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "STALL_SECONDS", 0.05)
    with pytest.raises(BodyCutShort, match="stood still"):
        read_in_a_thread(body_stream(received(b"x", more=True), headers=CHUNKED))


def test_a_connection_that_ends_is_no_end_of_the_body() -> None:
    with pytest.raises(BodyCutShort, match="ended"):
        read_in_a_thread(body_stream(received(b"x", more=True), {"type": "http.disconnect"}, headers=CHUNKED))
