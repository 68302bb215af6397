"""Steps of a WDL workflow: names, places, resources and TES tasks, without miniwdl."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from engines.cwl.executor.progress import Progress, StepState
from engines.wdl.executor.call import Call, label_of, path_of_calls
from engines.wdl.executor.placement import INPUTS, identity, placed
from engines.wdl.executor.resources import disk_bytes, resources_of
from engines.wdl.executor.step import LONGEST_ARGUMENT, SCRIPT, WORKDIR, Step, Streams

ROOT = Path("/run")
GIB = 2**30


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
    calls = path_of_calls(ROOT, ROOT / folder, "wf")
    assert label_of(calls) == label
    assert [call.exact for call in calls] == exact


def write(path: Path, text: str = "x") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_files_of_different_names_lie_in_one_folder(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a" / "x.bam"), write(tmp_path / "b" / "x.bam.bai")
    assert placed([two, one], {}) == {one: f"{INPUTS}/0/x.bam", two: f"{INPUTS}/0/x.bam.bai"}


def test_files_of_the_same_folder_stay_together_where_names_collide(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder / name) for folder in "ab" for name in ("x.bam", "x.bai")]
    links = []
    for number, path in enumerate(paths):
        link = tmp_path / "out" / str(number) / Path(path).name
        link.parent.mkdir(parents=True)
        link.symlink_to(path)
        links.append(str(link))
    found = placed(links, {})
    folders = [found[link].rpartition("/")[0] for link in links]
    assert folders[0] == folders[1] != folders[2] == folders[3]
    assert len(set(found.values())) == 4


def test_one_file_under_two_links_of_its_name_is_placed_twice(tmp_path: Path) -> None:
    real = write(tmp_path / "real" / "x")
    links = []
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").symlink_to(real)
        links.append(str(tmp_path / name / "x"))
    assert len(set(placed(links, {}).values())) == 2


def test_what_is_known_keeps_its_place_and_new_ones_go_elsewhere(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a" / "x"), write(tmp_path / "b" / "x")
    first = placed([one], {})
    second = placed([one, two], first)
    assert second[one] == first[one]
    assert second[two] == f"{INPUTS}/1/x"


def test_thousands_of_files_of_one_name_are_placed_quickly(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{number}/x" for number in range(5000)]
    began = time.monotonic()
    found = placed(paths, {})
    assert time.monotonic() - began < 60
    assert len(set(found.values())) == 5000


def test_folders_and_urls_are_placed_like_files() -> None:
    found = placed(["/data/dir/", "https://example.org/x/ref.fa?a=1"], {})
    assert found["/data/dir/"] == f"{INPUTS}/0/dir/"
    assert found["https://example.org/x/ref.fa?a=1"] == f"{INPUTS}/0/ref.fa?a=1"


def test_made_files_have_names_that_depend_on_their_content_alone(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1" / "write_" / "tmpabc", "same"), write(tmp_path / "2" / "write_" / "tmpxyz", "same")
    assert list(placed([one], {}).values()) == list(placed([two], {}).values())
    assert identity(one) == identity(two)
    assert identity(write(tmp_path / "write_" / "t", "other")) != identity(one)


@pytest.mark.parametrize(
    ("disks", "size"),
    [
        (100, 100 * GIB),
        ("100", 100 * GIB),
        ("10 GiB", 10 * GIB),
        ("10GB", 10**10),
        ("local-disk 100 SSD", 100 * GIB),
        ("/mnt/data1 1.5 TB", 1_500_000_000_000),
        (["local-disk 1 HDD", "/mnt/x 1 GiB"], 2 * GIB),
        ("local-disk 1 SSD, /mnt/x 2 HDD", 3 * GIB),
        ("512 B", 512),
    ],
)
def test_sizes_of_disks(disks: object, size: int) -> None:
    assert disk_bytes(disks) == size


@pytest.mark.parametrize("disks", ["many", "local-disk SSD", "10 parsecs", [""], None])
def test_what_is_no_size_is_said(disks: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        disk_bytes(disks)


def test_only_what_is_asked_for_is_a_resource() -> None:
    assert resources_of({"docker": "x"}, 1) == {}
    asked = {"cpu": 2, "memory_reservation": 2 * 10**9, "disks": "1 GB", "zones": ["a"], "preemptible": 1}
    first = {"cpu_cores": 2, "ram_gb": 2.0, "disk_gb": 1.0, "zones": ["a"], "preemptible": True}
    assert resources_of(asked, 1) == first
    assert resources_of(asked, 2) == {**first, "preemptible": False}


def step(tmp_path: Path, **more: Any) -> Step:
    given: dict[str, Any] = {
        "calls": (Call(name="align", indices=(1,)),),
        "command": "echo hi",
        "script": tmp_path / "command",
        "image": "image",
    }
    return Step(**{**given, **more})


def task(made: Step, tmp_path: Path) -> dict[str, Any]:
    streams = Streams(stdout=tmp_path / "stdout.txt", stderr=tmp_path / "stderr.txt")
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
        step(tmp_path, calls=(Call(name="align"),)),
    ]
    assert len({each.key() for each in made}) == len(made)
    assert step(tmp_path).key() == step(tmp_path, script=tmp_path / "elsewhere").key()


def test_progress_counts_steps_by_their_last_state(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.json")
    progress.know("w", 3)
    for state in (StepState.RUNNING, StepState.FAILED, StepState.RUNNING, StepState.DONE):
        progress.step("a", state)
    progress.step("b", StepState.CACHED)
    found = json.loads((tmp_path / "progress.json").read_text())
    assert found == {"known": 3, "running": 0, "done": 2, "failed": 0, "cached": 1}
    progress.know("sub", 2)
    assert json.loads((tmp_path / "progress.json").read_text())["known"] == 5
