import dataclasses
from pathlib import Path

import pytest

from engines.cwl.executor import step as module
from engines.cwl.executor.staging import Entry
from engines.cwl.executor.step import PathElement, Resources, Step
from tes import task as core

OUT, EMPTY = Path("/run/work/steps/align/out"), Path("/run/work/.wes/empty")
STEP = Step(
    path=(PathElement(name="align", index=1),),
    command=["bwa", "mem"],
    image="bwa:1",
    outdir="/var/spool/cwl",
    environment={"HOME": "/var/spool/cwl"},
    entries=(Entry(target="/var/lib/cwl/1/a", source="/data/a", identity="sha1$1"),),
)


def test_the_tags_are_those_that_the_gateway_knows() -> None:
    assert (module.TAG_STEP, module.TAG_KEY, module.TAG_ATTEMPT) == (core.TAG_STEP, core.TAG_KEY, core.TAG_ATTEMPT)


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
    elements = tuple(PathElement(name=each, index=index) for each, index in path)
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
    task = dataclasses.replace(STEP, resources=Resources(cores=1.5, ram=1024, disk=2048)).task(OUT, EMPTY, 1)
    assert task["resources"] == {"cpu_cores": 2, "ram_gb": 1.073742, "disk_gb": 2.147484}


def test_the_key_is_stable() -> None:
    assert STEP.key(1) == dataclasses.replace(STEP).key(1)
    assert STEP.key(1).startswith("align[1]#1:")


def test_the_names_of_streams_and_the_output_folder_are_not_in_the_key() -> None:
    assert dataclasses.replace(STEP, stdout="random-name").key(1) == STEP.key(1)
    assert STEP.task(OUT, EMPTY, 1)["tags"] == STEP.task(Path("/elsewhere"), EMPTY, 1)["tags"]


def test_where_an_input_lies_does_not_matter_if_its_content_is_known() -> None:
    moved = Entry(target="/var/lib/cwl/1/a", source="/other/place", identity="sha1$1")
    assert dataclasses.replace(STEP, entries=(moved,)).key(1) == STEP.key(1)


@pytest.mark.parametrize(
    "change",
    [
        {"command": ["bwa", "index"]},
        {"image": "bwa:2"},
        {"environment": {}},
        {"stdin": "/var/lib/cwl/1/a"},
        {"path": (PathElement(name="align", index=2),)},
        {"entries": (Entry(target="/var/lib/cwl/1/a", source="/data/a", identity="sha1$2"),)},
        {"entries": ()},
    ],
)
def test_the_key_tells_different_work_apart(change: dict[str, object]) -> None:
    assert dataclasses.replace(STEP, **change).key(1) != STEP.key(1)  # type: ignore[arg-type]


def test_each_attempt_has_a_key_of_its_own() -> None:
    assert STEP.key(1) != STEP.key(2)
