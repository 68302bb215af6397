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
