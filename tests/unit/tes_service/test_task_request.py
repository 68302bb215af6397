"""What can't be seen over HTTP: the values that a document becomes."""

from pathlib import Path

import pytest

from common.errors import InvalidRequest
from common.json_types import Json
from tes.task import FileType, TesExecutor, TesInput, TesResources
from tes_service.task_request import OutputRequest, task_request, writable_folder, writes_where_it_reads

EXECUTOR = {"image": "x", "command": ["true"]}


def test_paths_are_normalised() -> None:
    executor = {**EXECUTOR, "workdir": "//work/./here/", "stdout": "/a//b"}
    inputs: Json = [{"content": "", "path": "//in/./x"}]
    request = task_request({"executors": [executor], "volumes": ["/v/"], "inputs": inputs})
    paths = TesExecutor(workdir="/work/here", stdin=None, stdout="/a/b", stderr=None)
    assert request.executors == (TesExecutor(image="x", command=["true"], **paths),)
    assert request.volumes == ("/v",)
    assert request.inputs == (TesInput(path="/in/x", type="FILE", content=""),)


def test_the_same_input_twice_is_one() -> None:
    one = {"url": "http://x/y", "path": "/in/x"}
    assert len(task_request({"executors": [EXECUTOR], "inputs": [one, one]}).inputs) == 1


def test_an_escaped_wildcard_is_a_name() -> None:
    outputs = [{"url": "/x", "path": "/out/a\\[1\\].txt"}]
    assert task_request({"executors": [EXECUTOR], "outputs": outputs}).outputs == (
        OutputRequest(url="/x", path="/out/a[1].txt"),
    )


def test_zero_stands_for_not_asked() -> None:
    resources = {"cpu_cores": 0, "ram_gb": 0.0, "disk_gb": 1}
    assert task_request({"executors": [EXECUTOR], "resources": resources}).resources == TesResources(disk_gb=1)


@pytest.mark.parametrize(
    ("output", "folder"),
    [
        (OutputRequest(url="", path="/out/x"), "/out"),
        (OutputRequest(url="", path="/x"), "/"),
        (OutputRequest(url="", path="/out/d", type=FileType.DIRECTORY), "/out/d"),
        (OutputRequest(url="", path="/out/a/*.txt", pattern=True), "/out/a"),
        (OutputRequest(url="", path="/out/*/b/c?", pattern=True), "/out"),
        (OutputRequest(url="", path="/out/\\*/b[1]", pattern=True), "/out/\\*"),
    ],
)
def test_the_folder_that_an_output_needs(output: OutputRequest, folder: str) -> None:
    assert writable_folder(output) == folder


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_only_an_object_is_a_task(body: list[str] | str | int | None) -> None:
    with pytest.raises(InvalidRequest, match="task: must be an object"):
        task_request(body)


@pytest.mark.parametrize(
    ("read", "written", "expected"),
    [
        ("/d/x", "/d/x", True),
        ("file:///d/x", "/d/x/", True),
        ("/d/x", "/d", True),
        ("/d", "/d/x", True),
        ("/d/x", "/d/xy", False),
        ("/d/x", "/e", False),
        ("s3://b/x", "s3://b/x", True),
        ("s3://b/x", "s3://b/y", False),
    ],
)
def test_an_output_that_may_change_an_input_is_known(read: str, written: str, expected: bool) -> None:
    inputs, outputs = [{"url": read, "path": "/in"}], [{"url": written, "path": "/out"}]
    request = task_request({"executors": [EXECUTOR], "inputs": inputs, "outputs": outputs})
    assert writes_where_it_reads(request) is expected


def test_an_output_that_may_change_an_input_is_known_by_way_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    inputs, outputs = [{"url": f"{tmp_path}/data/x", "path": "/in"}], [{"url": f"{tmp_path}/link", "path": "/out"}]
    assert writes_where_it_reads(task_request({"executors": [EXECUTOR], "inputs": inputs, "outputs": outputs}))
