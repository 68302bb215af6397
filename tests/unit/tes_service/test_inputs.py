"""How the inputs of a task come into its tree, and what foreign code can't do to them meanwhile."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import Identity
from tes.task import TAG_RUN, TAG_TASK
from tes_service.copying import Copier
from tes_service.errors import TaskFault
from tes_service.folder_access import allowed_folders
from tes_service.inputs import StagingContext, staged
from tes_service.layout import Layout
from tes_service.processes import TaskControl
from tes_service.remote_files import RemoteFile
from tes_service.task_request import task_request
from tests.fakes.remote_files import FakeRemoteFiles

OWN = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)

Stage = Callable[..., AbstractContextManager[Layout]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder of the run `one`; beside it there is the run `two` with a secret, and data of the operator's."""
    for name in ("runs/one/work", "runs/one/attachments", "runs/two/work", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/two/work/secret").write_text("secret")
    return tmp_path / "runs/one/work"


@pytest.fixture
def remote() -> FakeRemoteFiles:
    return FakeRemoteFiles()


@pytest.fixture
def stage(tmp_path: Path, work: Path, remote: FakeRemoteFiles) -> Stage:
    """Stages the inputs of a task of the run `one`, given as container path to what the host has."""
    tree = tmp_path / "tree"
    tree.mkdir()
    allowed = allowed_folders((), (tmp_path / "data",), tmp_path / "runs")
    staging = StagingContext(allowed=allowed, identity=OWN, fetcher=remote)

    def run(inputs: Mapping[str, Path | str], **task: Any) -> AbstractContextManager[Layout]:
        documents = [_document(path, source) for path, source in inputs.items()]
        executors = [{"image": "i", "command": ["c"]}]
        tags = {TAG_RUN: "one", TAG_TASK: "t1"}
        request = task_request({"executors": executors, "inputs": documents, "tags": tags, **task})
        return staged(staging, request, tree, TaskControl())

    return run


def _document(path: str, source: Path | str) -> dict[str, str]:
    """`source`: of this machine, or a URL, at whose end a slash stands for a folder."""
    if isinstance(source, str):
        return {"path": path, "url": source.rstrip("/"), "type": "DIRECTORY" if source.endswith("/") else "FILE"}
    return {"path": path, "url": source.as_uri(), "type": "DIRECTORY" if source.is_dir() else "FILE"}


def test_data_of_the_operators_is_mounted_where_it_lies(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "data/big").write_text("x")
    with stage({"/in/big": tmp_path / "data/big"}) as layout:
        assert [(mount.source, mount.target) for mount in layout.bound] == [(tmp_path / "data/big", "/in/big")]
        assert not layout.host("/in/big").exists()


@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_foreign_code_could_exchange_is_mounted_from_the_tasks_own_tree(
    stage: Stage, work: Path, name: str
) -> None:
    (work / "folder/sub").mkdir(parents=True)
    for one in ("file", "folder/a", "folder/sub/b"):
        (work / one).write_text(one)
    (work / "folder/link").symlink_to("/only/in/the/container")
    with stage({"/in/x": work / name}) as layout:
        assert layout.bound == ()
        mounts = [(mount.source, mount.writable) for mount in layout.mounts() if mount.target == "/in/x"]
        assert mounts == [(layout.root / "in/x", False)]
        files = {path for path in layout.host("/in").rglob("*") if path.is_file() and not path.is_symlink()}
        source = {path for path in [work / name, *(work / name).rglob("*")] if path.is_file()}
        assert {path.stat().st_ino for path in files} == {path.stat().st_ino for path in source}, "not a byte is copied"
        if name == "folder":
            assert layout.host("/in/x/link").readlink() == Path("/only/in/the/container")


def test_a_folder_exchanged_for_a_link_after_the_check_gains_nothing(
    stage: Stage, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "folder/sub").mkdir(parents=True)
    (work / "folder/sub/secret").write_text("own")
    enter = Copier.enter

    def exchanging(copier: Copier, parent: int, name: str) -> int:
        if name == "sub":
            (work / "folder/sub").rename(work / "was")
            (work / "folder/sub").symlink_to(work.parent.parent / "two/work")
        return enter(copier, parent, name)

    monkeypatch.setattr(Copier, "enter", exchanging)
    with pytest.raises(TaskFault), stage({"/in/x": work / "folder"}):
        pass
    assert not list((work.parents[2] / "tree/in/x/sub").iterdir())


@pytest.mark.parametrize("at", ["/in/x", "/out/x", "/tmp/x"])
def test_an_input_that_is_a_link_into_another_run_is_refused(stage: Stage, work: Path, at: str) -> None:
    (work / "x").symlink_to(work.parent.parent / "two/work/secret")
    with pytest.raises(TaskFault, match="may read"), stage({at: work / "x"}, volumes=["/out"]):
        pass


def test_a_link_in_a_copied_folder_brings_what_it_leads_to_but_nothing_of_another_run(
    stage: Stage, work: Path, tmp_path: Path
) -> None:
    for name in ("folder", "other"):
        (work / name).mkdir()
        (work / name / "x").write_text(name)
    (work / "folder/own").symlink_to("x")
    (work / "folder/file").symlink_to(work / "other/x")
    (work / "folder/dir").symlink_to("../other")
    with stage({"/out/copy": work / "folder"}, volumes=["/out"]) as layout:
        copy = layout.host("/out/copy")
        assert (copy / "own").readlink() == Path("x")
        assert not (copy / "file").is_symlink()
        assert not (copy / "dir").is_symlink()
        assert [(copy / name).read_text() for name in ("x", "own", "file", "dir/x")] == [
            "folder",
            "folder",
            "other",
            "other",
        ]
    (work / "folder/secret").symlink_to(tmp_path / "runs/two/work/secret")
    with (
        pytest.raises(TaskFault, match="secret, a symlink that leaves"),
        stage({"/out/c": work / "folder"}, volumes=["/out"]),
    ):
        pass


def test_a_link_that_leads_back_ends_the_task_and_not_the_disk(stage: Stage, work: Path) -> None:
    (work / "folder").mkdir()
    (work / "folder/back").symlink_to(work)
    (work / "again").symlink_to("folder")
    with (
        pytest.raises(TaskFault, match="a symlink to a folder that holds it"),
        stage({"/out/c": work / "folder"}, volumes=["/out"]),
    ):
        pass


@pytest.mark.parametrize("at", ["/out/x", "/tmp/x"])
def test_what_the_task_may_change_is_a_copy(stage: Stage, work: Path, at: str) -> None:
    (work / "x").write_text("x")
    with stage({at: work / "x"}, volumes=["/out"]) as layout:
        assert layout.host(at).read_text() == "x"
        assert layout.host(at).stat().st_ino != (work / "x").stat().st_ino


def test_many_of_the_runs_own_files_are_linked_whatever_their_size(stage: Stage, work: Path) -> None:
    for number in range(120):
        (work / str(number)).write_text("x")
    with stage({f"/in/{number}": work / str(number) for number in range(120)}) as layout:
        assert (layout.bound, layout.placed) == ((), ("/in",))
        assert layout.host("/in/7").stat().st_ino == (work / "7").stat().st_ino


def test_files_and_folders_of_other_servers_are_brought_into_the_tree(stage: Stage, remote: FakeRemoteFiles) -> None:
    remote.objects = {
        "s3://b/one": b"1",
        "s3://b/folder/a": b"a",
        "s3://b/folder/sub/b c%20": b"b",
        "s3://b/folders": b"",
    }
    with stage({"/in/one": "s3://b/one", "/in/folder": "s3://b/folder/", "/in/two": "s3://b/one"}) as layout:
        found = {
            path.relative_to(layout.root): path.read_bytes() for path in layout.host("/in").rglob("*") if path.is_file()
        }
        assert {str(path): content for path, content in found.items()} == {
            "in/one": b"1",
            "in/two": b"1",
            "in/folder/a": b"a",
            "in/folder/sub/b c%20": b"b",
        }
        assert {mount.target for mount in layout.mounts()} >= {"/in/one", "/in/folder", "/in/two"}


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/passwd", "a//b", ".", "a\0b", ""])
def test_a_store_can_not_name_files_that_lie_elsewhere(
    stage: Stage, remote: FakeRemoteFiles, tmp_path: Path, name: str
) -> None:
    remote._listed = [RemoteFile(path=name, url="s3://b/folder/x", size=3)]
    remote.objects = {"s3://b/folder/x": b"bad"}
    with pytest.raises(TaskFault, match="no name of a file"), stage({"/in/folder": "s3://b/folder/"}):
        pass
    assert not list(tmp_path.rglob("out"))
    assert not list(tmp_path.rglob("passwd"))


def test_an_object_that_stands_for_an_empty_folder_becomes_one(stage: Stage, remote: FakeRemoteFiles) -> None:
    remote._listed = [RemoteFile(path="empty", url="s3://b/folder/empty", size=0)]
    with stage({"/in/folder": "s3://b/folder/"}) as layout:
        assert layout.host("/in/folder/empty").is_dir()


def test_what_is_gone_since_it_was_listed_is_told(stage: Stage, remote: FakeRemoteFiles) -> None:
    remote._listed = [RemoteFile(path="gone", url="s3://b/folder/gone", size=5)]
    with pytest.raises(TaskFault, match="s3://b/folder/gone"), stage({"/in/folder": "s3://b/folder/"}):
        pass
