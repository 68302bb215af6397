"""Outputs that go to object stores and web servers: which files, under which URLs, and what is told of them."""

import os
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import Identity
from tes_service.errors import TaskFault, TaskStopped
from tes_service.folder_access import allowed_folders
from tes_service.layout import Layout, outermost
from tes_service.outputs import DeliveryResult, OutputDelivery
from tes_service.processes import StopSignal, TaskControl
from tes_service.task_request import task_request
from tests.fakes.remote_files import FakeRemoteFiles

OWN = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    root = tmp_path / "tree"
    for folder in ("out/sub", "out/empty", "tmp"):
        (root / folder).mkdir(parents=True)
    for name in ("out/one", "out/a b#%20", "out/sub/two"):
        (root / name).write_text(name)
    return Layout(root=root, writable=outermost(["/out", "/tmp"]))


def delivered(
    layout: Layout, storage: FakeRemoteFiles, *outputs: dict[str, Any], stop: StopSignal | None = None
) -> DeliveryResult:
    allowed = allowed_folders((layout.root.parent,), ())
    delivery = OutputDelivery(allowed=allowed, identity=OWN, storage=storage)
    request = task_request({"executors": [{"image": "i", "command": ["c"]}], "outputs": list(outputs)})
    return delivery.deliver(request, layout, stop or TaskControl())


def test_a_folder_is_stored_file_by_file_under_literal_keys(layout: Layout) -> None:
    storage = FakeRemoteFiles()
    done = delivered(layout, storage, {"path": "/out", "url": "s3://b/to/", "type": "DIRECTORY"})
    assert {url: content.decode() for url, content in storage.objects.items()} == {
        "s3://b/to/one": "out/one",
        "s3://b/to/a b#%20": "out/a b#%20",
        "s3://b/to/sub/two": "out/sub/two",
    }
    assert sorted((file.url, file.path, file.size_bytes) for file in done.files) == [
        ("s3://b/to/a b#%20", "/out/a b#%20", 11),
        ("s3://b/to/one", "/out/one", 7),
        ("s3://b/to/sub/two", "/out/sub/two", 11),
    ]


def test_names_are_encoded_in_urls_of_the_web(layout: Layout) -> None:
    storage = FakeRemoteFiles()
    delivered(layout, storage, {"path": "/out/*", "path_prefix": "/out", "url": "https://h/to"})
    assert set(storage.objects) == {f"https://h/to/{name}" for name in ("one", "a%20b%23%2520", "sub/two")}


def test_what_wildcards_match_keeps_what_follows_the_prefix(layout: Layout) -> None:
    storage = FakeRemoteFiles()
    pattern = {"path": "/out/sub/t*", "path_prefix": "/out", "url": "s3://b/to"}
    done = delivered(layout, storage, pattern)
    assert set(storage.objects) == {file.url for file in done.files} == {"s3://b/to/sub/two"}


def test_a_store_has_no_symlinks_but_what_they_lead_to(layout: Layout) -> None:
    (layout.root / "out/link").symlink_to("one")
    (layout.root / "out/folder").symlink_to("sub")
    (layout.root / "out/host").symlink_to("/etc/passwd")
    (layout.root / "out/round").symlink_to(".")
    storage = FakeRemoteFiles()
    done = delivered(layout, storage, {"path": "/out", "url": "s3://b/to", "type": "DIRECTORY"})
    assert storage.objects["s3://b/to/link"] == b"out/one"
    assert storage.objects["s3://b/to/folder/two"] == b"out/sub/two"
    assert "root:" not in "".join(content.decode() for content in storage.objects.values())
    assert any("host" in note and "left out" in note for note in done.notes)
    assert any("round" in note and "left out" in note for note in done.notes)


def test_symlinks_that_make_a_few_files_endless_are_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tes_service.output_paths.MOST_ENTRIES", 1000)
    for level in range(20):
        folder = layout.root / f"out/l{level}"
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).symlink_to(f"../l{level + 1}")
    with pytest.raises(TaskFault, match="more than 1000 files"):
        delivered(layout, FakeRemoteFiles(), {"path": "/out/l0", "url": "s3://b/to", "type": "DIRECTORY"})


def test_an_empty_folder_is_told_of(layout: Layout) -> None:
    done = delivered(layout, FakeRemoteFiles(), {"path": "/out/empty", "url": "s3://b/to", "type": "DIRECTORY"})
    assert done.files == ()
    assert done.missing == ()
    assert done.notes == ("the output /out/empty holds no files: nothing of it is stored at s3://b/to",)


def test_what_goes_to_a_store_and_into_a_folder_is_in_both(layout: Layout) -> None:
    here, storage = layout.root.parent / "here", FakeRemoteFiles()
    delivered(
        layout,
        storage,
        {"path": "/out", "url": here.as_uri(), "type": "DIRECTORY"},
        {"path": "/out/one", "url": "s3://b/one"},
    )
    assert storage.objects == {"s3://b/one": b"out/one"}
    assert (here / "one").read_text() == "out/one"


def test_a_name_that_no_url_can_hold_is_a_fault_that_says_so(layout: Layout) -> None:
    (layout.root / os.fsdecode(b"out/\xff")).touch()
    with pytest.raises(TaskFault, match="not UTF-8"):
        delivered(layout, FakeRemoteFiles(), {"path": "/out", "url": "s3://b/to", "type": "DIRECTORY"})


def test_a_failure_names_the_output_and_a_stopped_task_sends_nothing(layout: Layout) -> None:
    class Full(FakeRemoteFiles):
        def store(self, url: str, *_: object) -> None:
            raise TaskFault(f"{url} is full")

    with pytest.raises(TaskFault, match="the output /out/one: s3://b/one is full"):
        delivered(layout, Full(), {"path": "/out/one", "url": "s3://b/one"})
    stopped, storage = TaskControl(), FakeRemoteFiles()
    stopped.stop()
    with pytest.raises(TaskStopped):
        delivered(layout, storage, {"path": "/out/one", "url": "s3://b/one"}, stop=stopped)
    assert storage.objects == {}
