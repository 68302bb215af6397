from pathlib import Path

from common.json_types import Json
from sandbox.bubblewrap import Mount
from tes_service.layout import Layout, declared_folders, outermost, placed_inputs, root_files
from tes_service.task_request import TaskRequest, task_request


def _request(**task: Json) -> TaskRequest:
    return task_request({"executors": [{"image": "x", "command": ["true"]}], **task})


def test_every_place_that_is_written_to_is_a_folder() -> None:
    request = _request(
        volumes=["/vol"],
        outputs=[{"url": "/x", "path": "/out/x"}, {"url": "/y", "path": "/res/d", "type": "DIRECTORY"}],
        executors=[{"image": "x", "command": ["true"], "workdir": "/work", "stdout": "/wes/logs/stdout"}],
    )
    assert declared_folders(request) == {"/vol", "/out", "/res/d", "/work", "/wes/logs"}


def test_files_in_the_root_are_told_apart() -> None:
    request = _request(outputs=[{"url": "/x", "path": "/x"}, {"url": "/y", "path": "/out/y"}])
    assert root_files(request) == ("/x",)
    assert "/" not in declared_folders(request)


def test_only_outermost_folders_are_mounted() -> None:
    assert outermost(["/a/b", "/a", "/ab", "/c/d/e", "/c/d"]) == ("/a", "/ab", "/c/d")


def test_inputs_that_are_alone_are_mounted_in_place() -> None:
    inputs: list[Json] = [{"url": f"/data/{name}", "path": path} for name, path in (("a", "/in/a"), ("b", "/inb"))]
    assert placed_inputs(_request(inputs=inputs, volumes=["/out"])) == frozenset()


def test_inputs_in_writable_folders_or_in_each_other_are_placed() -> None:
    inputs: list[Json] = [
        {"url": "/data/a", "path": "/work/a"},
        {"url": "/data/d", "path": "/in/d", "type": "DIRECTORY"},
        {"url": "/data/e", "path": "/in/d/e"},
        {"url": "/data/f", "path": "/ref", "type": "DIRECTORY"},
        {"url": "/data/g", "path": "/alone", "type": "DIRECTORY"},
    ]
    assert placed_inputs(_request(inputs=inputs, volumes=["/work", "/ref/index"])) == {
        "/work/a",
        "/in/d",
        "/in/d/e",
        "/ref",
    }


def test_parents_are_mounted_before_what_lies_in_them() -> None:
    layout = Layout(
        root=Path("/t"),
        writable=("/in/d/w", "/out"),
        stubs=("/x",),
        placed=("/in/d",),
        bound=(Mount(source=Path("/data/y"), target="/in/d/y/z"),),
    )
    assert [mount.target for mount in layout.mounts()] == ["/out", "/x", "/in/d", "/in/d/w", "/in/d/y/z"]
    assert [mount.target for mount in layout.mounts() if mount.writable] == ["/out", "/x", "/in/d/w"]
    assert layout.mounts()[0].source == Path("/t/out")
