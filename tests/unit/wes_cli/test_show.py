import pytest

from wes_cli import display


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5_231, "5.2 kB"), (999_999, "1.0 MB"), (16 * 1000**4, "16.0 TB")],
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert display.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (65, "1 min 05 s"), (3725, "1 h 02 min"), (-3, "0 s")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert display.duration(seconds) == text


def test_columns_line_up_also_with_wide_letters() -> None:
    lines = display.table(("A", "B"), [("日本", "x"), ("a", "y")]).splitlines()
    assert lines == ["A     B", "日本  x", "a     y"]


def test_text_of_a_server_cannot_steer_the_terminal() -> None:
    assert display.clean("a\x1b[2Jb\nc") == "a [2Jb c"
