import os
from pathlib import Path

from tes_service.task_log import EXCERPT_BYTES, excerpt


def _shown(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return excerpt(fd)
    finally:
        os.close(fd)


def test_short_output_is_shown_whole(tmp_path: Path) -> None:
    assert _shown(tmp_path / "x", b"") == ""
    assert _shown(tmp_path / "x", b"x" * 2 * EXCERPT_BYTES) == "x" * 2 * EXCERPT_BYTES


def test_of_long_output_both_ends_are_shown(tmp_path: Path) -> None:
    shown = _shown(tmp_path / "x", b"a" * EXCERPT_BYTES + b"middle" + b"b" * EXCERPT_BYTES)
    assert shown == "a" * EXCERPT_BYTES + "\n[... 6 bytes left out ...]\n" + "b" * EXCERPT_BYTES


def test_letters_are_not_cut_in_two(tmp_path: Path) -> None:
    shown = _shown(tmp_path / "x", b"a" * (EXCERPT_BYTES - 1) + "ä".encode() * 9 + b"b" * (EXCERPT_BYTES - 1))
    assert "\ufffd" not in shown
    assert shown.startswith("a" * (EXCERPT_BYTES - 1) + "\n[")


def test_what_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    assert _shown(tmp_path / "x", b"\xff\x00") == "\ufffd\x00"
