"""What can't be seen over HTTP: the values that a document becomes."""

import pytest

from common.errors import InvalidRequest
from tes_service.parse import parse_task, writable_folder
from tes_service.task import Executor, FileType, Input, Output, Resources

EXECUTOR = {"image": "x", "command": ["true"]}


def test_paths_are_normalised() -> None:
    executor = {**EXECUTOR, "workdir": "//work/./here/", "stdout": "/a//b"}
    request = parse_task({"executors": [executor], "volumes": ["/v/"], "inputs": [{"content": "", "path": "//in/./x"}]})
    assert request.executors == (Executor(image="x", command=("true",), workdir="/work/here", stdout="/a/b"),)
    assert request.volumes == ("/v",)
    assert request.inputs == (Input(path="/in/x", content=""),)


def test_the_same_input_twice_is_one() -> None:
    one = {"url": "http://x/y", "path": "/in/x"}
    assert len(parse_task({"executors": [EXECUTOR], "inputs": [one, one]}).inputs) == 1


def test_an_escaped_wildcard_is_a_name() -> None:
    outputs = [{"url": "/x", "path": "/out/a\\[1\\].txt"}]
    assert parse_task({"executors": [EXECUTOR], "outputs": outputs}).outputs == (
        Output(url="/x", path="/out/a[1].txt"),
    )


def test_zero_stands_for_not_asked() -> None:
    resources = {"cpu_cores": 0, "ram_gb": 0.0, "disk_gb": 1}
    assert parse_task({"executors": [EXECUTOR], "resources": resources}).resources == Resources(disk_gb=1)


@pytest.mark.parametrize(
    ("output", "folder"),
    [
        (Output(url="", path="/out/x"), "/out"),
        (Output(url="", path="/x"), "/"),
        (Output(url="", path="/out/d", type=FileType.DIRECTORY), "/out/d"),
        (Output(url="", path="/out/a/*.txt", pattern=True), "/out/a"),
        (Output(url="", path="/out/*/b/c?", pattern=True), "/out"),
        (Output(url="", path="/out/\\*/b[1]", pattern=True), "/out/\\*"),
    ],
)
def test_the_folder_that_an_output_needs(output: Output, folder: str) -> None:
    assert writable_folder(output) == folder


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_only_an_object_is_a_task(body: list[str] | str | int | None) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        parse_task(body)
