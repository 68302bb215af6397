import pytest

from wes_cli import display
from wes_cli.display import step_names
from wes_cli.views import LogView


def test_steps_of_a_scatter_are_told_apart_by_what_their_commands_alone_have() -> None:
    steps = [
        LogView(id="1", name="count", cmd=("count", "-q", "20", "/wes/run/A.fastq")),
        LogView(id="2", name="count_2", cmd=("count", "-q", "20", "/wes/run/B.fastq")),
        LogView(id="3", name="count_3", cmd=("sh", "-c", "count -q 20 '/wes/run/C.fastq'")),
        LogView(id="4", name="report", cmd=("report", "all.tsv")),
        LogView(id="5", name="same"),
        LogView(id="6", name="same_2"),
        LogView(id="7"),
    ]
    assert step_names(steps) == {
        "1": "count (A.fastq)",
        "2": "count_2 (B.fastq)",
        "3": "count_3 (sh)",
        "4": "report",
        "5": "same",
        "6": "same_2",
        "7": "7",
    }


def test_attempts_at_one_step_are_no_scatter() -> None:
    steps = [LogView(id="1", name="align", cmd=("a", "x")), LogView(id="2", name="align", cmd=("a", "y"))]
    assert step_names(steps) == {"1": "align", "2": "align"}


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
