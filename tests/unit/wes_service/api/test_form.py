import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import TooLarge
from sandbox.identity import foreign_identity
from wes_service.api.errors import BodyCutShort
from wes_service.api.forms import CHUNK, URLENCODED, Body, FormLimits, read_form, unbroken
from wes_service.storage.run_folders import RunFolders, StagingFolder

LIMITS = FormLimits(request=10**6, field=10**5, attachment=10**6, attachments=5)
MULTIPART = "multipart/form-data; boundary=B"


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[StagingFolder]:
    folders = RunFolders(tmp_path / "runs", foreign_identity(64321))
    folders.prepare()
    with folders.stage() as staging:
        yield staging


def body(content: bytes, kind: str, *, length: int | None = None, most: int = CHUNK) -> Body:
    stream = io.BytesIO(content)
    return Body(content_type=kind, length=length, read=lambda size: stream.read(min(size, most)))


@pytest.mark.parametrize("kind", [URLENCODED, MULTIPART])
def test_a_body_that_is_shorter_than_announced_is_refused(staging: StagingFolder, kind: str) -> None:
    with pytest.raises(BodyCutShort, match="after 3 of 10 bytes"):
        read_form(body(b"a=1", kind, length=10), frozenset({"a"}), LIMITS, staging)


def test_a_length_over_the_limit_is_refused_before_anything_is_read(staging: StagingFolder) -> None:
    def never(size: int) -> bytes:
        raise AssertionError(size)

    with pytest.raises(TooLarge):
        read_form(Body(content_type=URLENCODED, length=10**7, read=never), frozenset(), LIMITS, staging)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64, CHUNK])
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
        whole = Body(content_type=MULTIPART, length=None, read=lambda _, pieces=pieces: next(pieces))  # type: ignore[misc]
        assert read_form(whole, frozenset({"a"}), LIMITS, staging) == {"a": "x\r-\n--B-"}


def test_held_bytes_are_never_lost() -> None:
    data = b"\r\n--B-\r\r\n--B\n--B--\r\n--"
    for size in range(1, len(data) + 1):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert b"".join(unbroken(chunks, b"B")) == data


def test_names_and_values_of_a_urlencoded_form_are_decoded(staging: StagingFolder) -> None:
    fields = read_form(body(b"a=%C3%A9+b&c=", URLENCODED), frozenset({"a", "c"}), LIMITS, staging)
    assert fields == {"a": "é b", "c": ""}


def test_no_body_is_no_field(staging: StagingFolder) -> None:
    assert read_form(body(b"", ""), frozenset({"a"}), LIMITS, staging) == {}
