from pathlib import Path

import pytest

from gateway.live_log import AFTER_A_GAP, GAP, TAIL, LiveLog, unseen, write_new


def lines(first: int, last: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, last))


def excerpt(text: str) -> str:
    """Both ends of a long text, as a TES shows it."""
    return (
        text if len(text) <= 20_000 else f"{text[:10_000]}\n[... {len(text) - 20_000} left out ...]\n{text[-10_000:]}"
    )


def test_all_is_there_while_a_log_grows_beyond_what_a_tes_shows(tmp_path: Path) -> None:
    log = LiveLog(path=tmp_path / "stdout.live")
    for last in (0, 1, 1, 300, 900, 1500, 2200, 2200, 3000):
        log.add(excerpt(lines(0, last)))
    assert log.path.read_text() == lines(0, 3000)


def test_a_tes_that_shows_the_end_only_is_followed_too(tmp_path: Path) -> None:
    log = LiveLog(path=tmp_path / "stdout.live")
    for last in range(0, 4000, 400):
        log.add(lines(0, last)[-10_000:])
    assert log.path.read_text() == lines(0, 3600)


def test_a_step_that_prints_faster_leaves_a_gap_that_says_so() -> None:
    known = lines(0, 5000)
    new = unseen(excerpt(lines(0, 100_000)), len(known), known[-TAIL:])
    assert new.startswith(GAP)
    assert len(new) == len(GAP) + AFTER_A_GAP
    assert new.endswith(lines(99_999, 100_000))


def test_the_same_line_again_and_again_is_counted_while_the_log_is_short(tmp_path: Path) -> None:
    log = LiveLog(path=tmp_path / "stdout.live")
    for number in range(1, 4000, 100):
        log.add("tick\n" * number)
    assert log.path.read_text() == "tick\n" * 3901


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "stdout.live").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        LiveLog(path=tmp_path / "stdout.live").add("text")
    write_new(tmp_path / "stdout.live", "text")
    assert not target.exists()


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    write_new(path, "whole")
    write_new(path, "part")
    assert path.read_text() == "whole"
