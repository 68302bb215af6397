import dataclasses
import shlex
import subprocess
from pathlib import Path

import pytest

from engines.cwl.executor.step import ExitCodes, InputEntry, Step, ToolResources, stage, wrap
from engines.kit.task_document import LONGEST_CONTENT, StepElement

WORKDIR = "/var/spool/cwl"
OUT, EMPTY = Path("/run/work/steps/align/out"), Path("/run/work/.wes/empty")
STEP = Step(
    path=(StepElement(name="align", indices=(1,)),),
    command=["bwa", "mem"],
    image="bwa:1",
    outdir="/var/spool/cwl",
    environment={"HOME": "/var/spool/cwl"},
    entries=(InputEntry(target="/var/lib/cwl/1/a", source="/data/a", identity="sha1$1"),),
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ([("align", None)], "align"),
        ([("align", 0)], "align"),
        ([("align", 1)], "align_2"),
        ([("sub", None), ("align", None)], "sub.align"),
        ([("sub", 2), ("align", 1)], "sub_3.align_2"),
    ],
)
def test_a_task_is_named_after_its_step(path: list[tuple[str, int | None]], name: str) -> None:
    elements = tuple(StepElement(name=each, indices=() if index is None else (index,)) for each, index in path)
    assert dataclasses.replace(STEP, path=elements).name == name


def test_the_task_brings_back_the_working_directory() -> None:
    task = STEP.task(OUT, EMPTY, 1)
    assert task["outputs"] == [{"type": "DIRECTORY", "url": f"file://{OUT}", "path": "/var/spool/cwl"}]
    assert task["executors"] == [
        {"image": "bwa:1", "command": ["bwa", "mem"], "workdir": "/var/spool/cwl", "env": {"HOME": "/var/spool/cwl"}}
    ]
    assert task["tags"]["wes.step"] == "align_2"
    assert task["tags"]["wes.attempt"] == "1"
    assert "resources" not in task


def test_streams_go_to_files_and_stdin_never_to_the_executor() -> None:
    step = dataclasses.replace(STEP, stdin="/var/lib/cwl/1/a", stdout="o/out.txt", stderr="err.txt")
    executor = step.task(OUT, EMPTY, 1)["executors"][0]
    assert executor["stdout"] == "/var/spool/cwl/o/out.txt"
    assert executor["stderr"] == "/var/spool/cwl/err.txt"
    assert "stdin" not in executor
    assert executor["command"][0] == "/bin/sh"


def test_a_success_code_other_than_zero_is_told_to_the_tes() -> None:
    assert dataclasses.replace(STEP, ignore_error=True).task(OUT, EMPTY, 1)["executors"][0]["ignore_error"] is True


def test_resources_are_in_the_units_of_tes() -> None:
    task = dataclasses.replace(STEP, resources=ToolResources(cores=1.5, ram=1024, disk=2048)).task(OUT, EMPTY, 1)
    assert task["resources"] == {"cpu_cores": 2, "ram_gb": 1.073742, "disk_gb": 2.147484}


def test_graphics_cards_and_the_wish_for_a_network_are_backend_parameters() -> None:
    assert ToolResources(gpus=2, network=False).as_tes() == {"backend_parameters": {"gpu": "2", "network": "false"}}
    assert ToolResources(network=True).as_tes() == {"backend_parameters": {"network": "true"}}
    assert ToolResources().as_tes() == {}


def test_a_file_that_is_read_once_is_said_to_be() -> None:
    entry = InputEntry(target="/x/1/a", source="https://example.org/a", streamable=True)
    assert stage([entry], WORKDIR, EMPTY).inputs[0]["streamable"] is True
    assert "streamable" not in stage([dataclasses.replace(entry, streamable=False)], WORKDIR, EMPTY).inputs[0]


def test_the_key_is_stable() -> None:
    assert STEP.key(1) == dataclasses.replace(STEP).key(1)
    assert STEP.key(1).startswith("align[1]#1:")


def test_the_names_of_streams_and_the_output_folder_are_not_in_the_key() -> None:
    assert dataclasses.replace(STEP, stdout="random-name").key(1) == STEP.key(1)
    assert STEP.task(OUT, EMPTY, 1)["tags"] == STEP.task(Path("/elsewhere"), EMPTY, 1)["tags"]


def test_where_an_input_lies_does_not_matter_if_its_content_is_known() -> None:
    moved = InputEntry(target="/var/lib/cwl/1/a", source="/other/place", identity="sha1$1")
    assert dataclasses.replace(STEP, entries=(moved,)).key(1) == STEP.key(1)


@pytest.mark.parametrize(
    "change",
    [
        {"command": ["bwa", "index"]},
        {"image": "bwa:2"},
        {"environment": {}},
        {"stdin": "/var/lib/cwl/1/a"},
        {"path": (StepElement(name="align", indices=(2,)),)},
        {"entries": (InputEntry(target="/var/lib/cwl/1/a", source="/data/a", identity="sha1$2"),)},
        {"entries": ()},
    ],
)
def test_the_key_tells_different_work_apart(change: dict[str, object]) -> None:
    assert dataclasses.replace(STEP, **change).key(1) != STEP.key(1)  # type: ignore[arg-type]


def test_each_attempt_has_a_key_of_its_own() -> None:
    assert STEP.key(1) != STEP.key(2)


@pytest.mark.parametrize(
    ("codes", "code", "status"),
    [
        (ExitCodes(), 0, "success"),
        (ExitCodes(), 1, "permanentFail"),
        (ExitCodes(success=frozenset({1})), 1, "success"),
        (ExitCodes(temporary=frozenset({75})), 75, "temporaryFail"),
        (ExitCodes(permanent=frozenset({0})), 0, "permanentFail"),
        (ExitCodes(success=frozenset({5}), permanent=frozenset({5})), 5, "success"),
    ],
)
def test_exit_codes_mean_what_the_tool_says(codes: ExitCodes, code: int, status: str) -> None:
    assert codes.status(code) == status


def test_a_file_is_an_input_at_its_place() -> None:
    staging = stage([InputEntry(target="/var/lib/cwl/1/a b#.txt", source="/data/a b#.txt")], WORKDIR, EMPTY)
    assert staging.inputs == ({"type": "FILE", "url": "file:///data/a%20b%23.txt", "path": "/var/lib/cwl/1/a b#.txt"},)
    assert staging.commands == ()


def test_a_directory_is_an_input_of_its_type() -> None:
    staging = stage([InputEntry(target="/var/lib/cwl/1/d", source="/data/d", directory=True)], WORKDIR, EMPTY)
    assert staging.inputs[0]["type"] == "DIRECTORY"


def test_a_url_is_left_to_the_tes() -> None:
    staging = stage([InputEntry(target="/x/1/a", source="https://example.org/a%20b")], WORKDIR, EMPTY)
    assert staging.inputs[0]["url"] == "https://example.org/a%20b"


def test_a_short_literal_is_sent_as_content() -> None:
    staging = stage([InputEntry(target="/x/1/a", source="/run/lit", text="")], WORKDIR, EMPTY)
    assert staging.inputs == ({"type": "FILE", "content": "", "path": "/x/1/a"},)


def test_a_long_literal_is_sent_as_a_file() -> None:
    text = "é" * (LONGEST_CONTENT // 2 + 1)
    staging = stage([InputEntry(target="/x/1/a", source="/run/lit", text=text)], WORKDIR, EMPTY)
    assert staging.inputs == ({"type": "FILE", "url": "file:///run/lit", "path": "/x/1/a"},)


def test_a_writable_file_is_copied_by_the_shell() -> None:
    staging = stage([InputEntry(target=f"{WORKDIR}/sub/it's.txt", source="/data/a", writable=True)], WORKDIR, EMPTY)
    beside = staging.inputs[0]["path"]
    assert not beside.startswith(WORKDIR)
    source, target = shlex.quote(beside), shlex.quote(f"{WORKDIR}/sub/it's.txt")
    copied = f"mkdir -p {WORKDIR}/sub && cp -R {source} {target} && chmod -R u+w {target}"
    assert staging.commands == (copied,)


def test_a_made_directory_in_the_working_directory_is_made_by_the_shell() -> None:
    made = InputEntry(target=f"{WORKDIR}/d", source="_:1", directory=True)
    inside = InputEntry(target=f"{WORKDIR}/d/a", source="/data/a")
    staging = stage([made, inside], WORKDIR, EMPTY)
    assert staging.commands == (f"mkdir -p {WORKDIR}/d",)
    assert [each["path"] for each in staging.inputs] == [f"{WORKDIR}/d/a"]


def test_an_empty_directory_elsewhere_is_an_input() -> None:
    staging = stage([InputEntry(target="/var/lib/cwl/1/d", source="_:1", directory=True)], WORKDIR, EMPTY)
    assert staging.inputs == ({"type": "DIRECTORY", "url": f"file://{EMPTY}", "path": "/var/lib/cwl/1/d"},)
    assert staging.commands == ()


def test_a_directory_elsewhere_that_has_files_comes_with_them() -> None:
    made = InputEntry(target="/var/lib/cwl/1/d", source="_:1", directory=True)
    inside = InputEntry(target="/var/lib/cwl/1/d/a", source="/data/a")
    assert [each["path"] for each in stage([made, inside], WORKDIR, EMPTY).inputs] == ["/var/lib/cwl/1/d/a"]


def test_a_plain_command_stays_as_it_is() -> None:
    assert wrap(["echo", "$x; y"], (), None) == ["echo", "$x; y"]


def test_a_wrapped_command_reads_its_stdin_and_keeps_its_arguments(tmp_path: Path) -> None:
    source = tmp_path / "it's in.txt"
    source.write_text("text")
    command = wrap(["sh", "-c", 'cat; echo "|$1"', "x", "$HOME 'q' \"d\""], [f"touch {tmp_path}/made"], str(source))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "text|$HOME 'q' \"d\"\n"
    assert (tmp_path / "made").exists()


def test_a_failed_preparation_ends_the_task() -> None:
    assert subprocess.run(wrap(["true"], ["false"], None), check=False).returncode == 1
