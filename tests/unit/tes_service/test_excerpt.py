import os
from pathlib import Path

from tes_service.log import EDGE, excerpt


def _shown(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return excerpt(fd)
    finally:
        os.close(fd)


def test_short_output_is_shown_whole(tmp_path: Path) -> None:
    assert _shown(tmp_path / "x", b"") == ""
    assert _shown(tmp_path / "x", b"x" * 2 * EDGE) == "x" * 2 * EDGE


def test_of_long_output_both_ends_are_shown(tmp_path: Path) -> None:
    shown = _shown(tmp_path / "x", b"a" * EDGE + b"middle" + b"b" * EDGE)
    assert shown == "a" * EDGE + "\n[... 6 bytes left out ...]\n" + "b" * EDGE


def test_letters_are_not_cut_in_two(tmp_path: Path) -> None:
    shown = _shown(tmp_path / "x", b"a" * (EDGE - 1) + "ä".encode() * 9 + b"b" * (EDGE - 1))
    assert "\ufffd" not in shown
    assert shown.startswith("a" * (EDGE - 1) + "\n[")


def test_what_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    assert _shown(tmp_path / "x", b"\xff\x00") == "\ufffd\x00"
