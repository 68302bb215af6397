from pathlib import Path

import pytest

from common.errors import UnreadableDocument
from common.json_types import Json
from wes_service.languages.documents import parse_document, read_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E3", 1000.0),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("2.50", 2.5),
        (".5", 0.5),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("2024-01-02", "2024-01-02"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("'1'", "1"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_has_them(text: str, value: Json) -> None:
    assert parse_document(f"a: {text}", "x") == {"a": value}


def test_infinity_is_a_number() -> None:
    assert parse_document("[.inf, -.Inf]", "x") == [float("inf"), float("-inf")]


def test_json_is_read_too() -> None:
    assert parse_document('{"a": [1, {"b": null}]}', "x") == {"a": [1, {"b": None}]}


def test_a_merge_key_merges() -> None:
    assert parse_document("a: &x {k: 1}\nb: {<<: *x, l: 2}", "x") == {"a": {"k": 1}, "b": {"k": 1, "l": 2}}


def test_a_document_that_does_not_parse_names_its_line() -> None:
    with pytest.raises(UnreadableDocument, match=r"params\.yml is not valid YAML or JSON in line 2"):
        parse_document("a: 1\nb: [", "params.yml")


def test_a_document_cannot_make_python_objects() -> None:
    with pytest.raises(UnreadableDocument, match="not valid YAML"):
        parse_document("!!python/object/apply:os.getpid []", "x")


def test_a_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "reads.bam"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableDocument, match=r"reads\.bam is no text in UTF-8"):
        read_document(path)
