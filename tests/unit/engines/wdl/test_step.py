"""Steps of a WDL workflow: names, resources and TES tasks, without miniwdl."""

from pathlib import Path
from typing import Any

import pytest

from engines.kit.task_document import StepElement, step_name
from engines.wdl.executor.localization import INPUTS
from engines.wdl.executor.step import (
    LONGEST_ARGUMENT,
    SCRIPT,
    WORKDIR,
    Step,
    StreamFiles,
    step_path,
)
from tests.unit.engines.wdl.conftest import write

ROOT = Path("/run")


@pytest.mark.parametrize(
    ("folder", "label", "exact"),
    [
        ("call-align", "align", ["align"]),
        ("call-align-0", "align", ["align[0]"]),
        ("call-align-03", "align_4", ["align[3]"]),
        ("call-align-1-0", "align_2_1", ["align[1][0]"]),
        ("call-sub-2/call-sort_bam-0", "sub_3.sort_bam", ["sub[2]", "sort_bam[0]"]),
        (".", "wf", ["wf"]),
    ],
)
def test_a_call_is_known_by_its_folder(folder: str, label: str, exact: list[str]) -> None:
    path = step_path(ROOT, ROOT / folder, "wf")
    assert step_name(path) == label
    assert [element.exact for element in path] == exact


def step(tmp_path: Path, **more: Any) -> Step:
    given: dict[str, Any] = {
        "path": (StepElement(name="align", indices=(1,)),),
        "command": "echo hi",
        "script": tmp_path / "command",
        "image": "image",
    }
    return Step(**{**given, **more})


def task(made: Step, tmp_path: Path) -> dict[str, Any]:
    streams = StreamFiles(stdout=tmp_path / "stdout.txt", stderr=tmp_path / "stderr.txt")
    return made.task(tmp_path / "work", streams)


def test_a_step_is_a_task_with_its_name_command_streams_and_tags(tmp_path: Path) -> None:
    document = task(step(tmp_path), tmp_path)
    assert document["name"] == "align_2"
    executor = document["executors"][0]
    assert (executor["command"], executor["workdir"]) == (["/bin/bash", "-c", "echo hi"], WORKDIR)
    assert document["outputs"][0] == {"type": "DIRECTORY", "url": f"file://{tmp_path}/work", "path": WORKDIR}
    assert {output["path"] for output in document["outputs"][1:]} == {executor["stdout"], executor["stderr"]}
    assert (document["tags"]["wes.step"], document["tags"]["wes.attempt"]) == ("align_2", "1")
    assert document["tags"]["wes.step_key"].startswith("align[1]#1:")
    assert "resources" not in document
    assert "ignore_error" not in executor


def test_inputs_are_real_files_and_folders(tmp_path: Path) -> None:
    real = write(tmp_path / "real" / "a b.txt")
    link = tmp_path / "a b.txt"
    link.symlink_to(real)
    inputs = {str(link): f"{INPUTS}/0/a b.txt", str(tmp_path / "real") + "/": f"{INPUTS}/0/real/"}
    document = task(step(tmp_path, inputs=inputs), tmp_path)
    assert document["inputs"] == [
        {"type": "FILE", "url": f"file://{tmp_path}/real/a%20b.txt", "path": f"{INPUTS}/0/a b.txt"},
        {"type": "DIRECTORY", "url": f"file://{tmp_path}/real", "path": f"{INPUTS}/0/real"},
    ]


def test_mount_points_are_volumes_of_the_task_and_part_of_its_key(tmp_path: Path) -> None:
    made = step(tmp_path, volumes=("/mnt/data",))
    assert task(made, tmp_path)["volumes"] == ["/mnt/data"]
    assert "volumes" not in task(step(tmp_path), tmp_path)
    assert made.key() != step(tmp_path).key()


def test_a_long_command_is_a_file(tmp_path: Path) -> None:
    document = task(step(tmp_path, command="#" * (LONGEST_ARGUMENT + 1)), tmp_path)
    assert document["executors"][0]["command"] == ["/bin/bash", SCRIPT]
    assert document["inputs"] == [{"type": "FILE", "url": f"file://{tmp_path}/command", "path": SCRIPT}]


def test_the_key_changes_with_what_the_step_does_and_with_the_attempt(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt")
    made = [
        step(tmp_path),
        step(tmp_path, attempt=2),
        step(tmp_path, command="other"),
        step(tmp_path, image="other"),
        step(tmp_path, environment={"A": "1"}),
        step(tmp_path, inputs={file: f"{INPUTS}/0/a.txt"}),
        step(tmp_path, path=(StepElement(name="align"),)),
    ]
    assert len({each.key() for each in made}) == len(made)
    assert step(tmp_path).key() == step(tmp_path, script=tmp_path / "elsewhere").key()
