"""How outputs leave a task's tree: moved where only the task wrote them, copied wherever that could change an input."""

import os
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import pytest

from sandbox.bubblewrap import Mount
from sandbox.identity import Identity
from tes.task import TAG_RUN, TAG_TASK
from tes_service.errors import TaskFault
from tes_service.folder_access import allowed_folders
from tes_service.layout import Layout, outermost
from tes_service.outputs import DeliveryResult, OutputDelivery, in_order
from tes_service.processes import TaskControl
from tes_service.task_request import task_request
from tests.fakes.remote_files import FakeRemoteFiles

OWN = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)
Deliver = Callable[..., DeliveryResult]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A task that wrote `/out/big` and `/out/log`. Its inputs are `/in`, which is mounted, and `/linked/x`, another
    name of `data/x`; both are the operator's."""
    root = tmp_path / "tree"
    for folder in (root / "out", root / "linked", tmp_path / "data/folder", tmp_path / "runs/one/work"):
        folder.mkdir(parents=True)
    (tmp_path / "runs/one/logs/tasks/t1").mkdir(parents=True)
    (root / "out/big").write_text("big")
    (root / "out/log").write_text("log")
    for name in ("data/x", "data/folder/y"):
        (tmp_path / name).write_text(name)
    os.link(tmp_path / "data/x", root / "linked/x")
    bound = (Mount(source=tmp_path / "data/folder", target="/in", fd=os.open(tmp_path / "data/folder", os.O_PATH)),)
    return Layout(root=root, writable=outermost(["/out", "/tmp"]), placed=("/linked",), bound=bound)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "runs/one/work"


@pytest.fixture
def remote() -> FakeRemoteFiles:
    return FakeRemoteFiles()


@pytest.fixture
def deliver(tmp_path: Path, layout: Layout, remote: FakeRemoteFiles) -> Deliver:
    allowed = allowed_folders((), (tmp_path / "data",), tmp_path / "runs")
    delivery = OutputDelivery(allowed=allowed, identity=OWN, storage=remote)

    def run(
        *outputs: dict[str, Any], volumes: tuple[str, ...] = (), inputs: tuple[dict[str, Any], ...] = ()
    ) -> DeliveryResult:
        executors = [{"image": "i", "command": ["c"]}]
        tags = {TAG_RUN: "one", TAG_TASK: "t1"}
        task: dict[str, Any] = {"executors": executors, "outputs": list(outputs), "tags": tags}
        task["volumes"] = list(volumes)
        task["inputs"] = list(inputs)
        request = task_request(task)
        return delivery.deliver(request, layout, TaskControl())

    return run


def inode(path: Path) -> int:
    return path.lstat().st_ino


def test_what_a_task_wrote_to_where_it_reads_stays_whole_in_it_so_that_it_can_be_delivered_again(
    deliver: Deliver, layout: Layout, work: Path
) -> None:
    (layout.host("/out") / "deep").mkdir()
    (layout.host("/out") / "deep/file").write_text("deep")
    before = {name: inode(layout.host("/out") / name) for name in ("big", "deep/file")}
    script = {"path": "/out/.command.sh", "url": str(work / "out/.command.sh")}
    output = {"path": "/out", "url": str(work / "out"), "type": "DIRECTORY"}
    first = deliver(output, inputs=(script,))
    (work / "out/deep/file").unlink()
    again = deliver(output, inputs=(script,))
    assert again == first
    assert {name: inode(work / "out" / name) for name in before} == before
    assert {name: inode(layout.host("/out") / name) for name in before} == before
    assert list((work / "out").rglob("*.part")) == []


def test_a_folder_that_the_task_wrote_is_moved(deliver: Deliver, layout: Layout, work: Path) -> None:
    before = inode(layout.host("/out"))
    deliver({"path": "/out", "url": str(work / "out"), "type": "DIRECTORY"})
    assert inode(work / "out") == before


def test_a_log_in_an_output_folder_does_not_make_the_folder_be_copied(
    deliver: Deliver, layout: Layout, work: Path
) -> None:
    before, big = inode(layout.host("/out")), inode(layout.host("/out/big"))
    logs = work.parent / "logs/tasks/t1"
    done = deliver(
        {"path": "/out", "url": str(work / "out"), "type": "DIRECTORY"},
        {"path": "/out/log", "url": str(logs / "stdout")},
    )
    assert (inode(work / "out"), inode(work / "out/big")) == (before, big)
    assert (work / "out/log").read_text() == (logs / "stdout").read_text() == "log"
    assert inode(work / "out/log") != inode(logs / "stdout"), "what the engine does to its file is not done to the log"
    assert [file.path for file in done.files] == ["/out/big", "/out/log", "/out/log"]


def test_what_two_outputs_want_is_copied_for_the_first_and_moved_for_the_last(
    deliver: Deliver, layout: Layout, work: Path
) -> None:
    before = inode(layout.host("/out/big"))
    deliver({"path": "/out/big", "url": str(work / "one")}, {"path": "/out/big", "url": str(work / "two")})
    assert (work / "one").read_text() == (work / "two").read_text() == "big"
    assert [inode(work / name) == before for name in ("one", "two")] == [False, True]


def test_inner_outputs_go_before_the_folders_that_hold_them() -> None:
    paths = [Path("/t/out"), Path("/t/out/a/b"), Path("/t/out/a"), Path("/t/x"), Path("/t/out/a")]
    assert in_order(paths) == [(1, False), (2, False), (4, False), (0, True), (3, True)]
    assert in_order([]) == []


def test_the_order_of_ten_thousand_outputs_is_found_by_looking_at_each_once() -> None:
    looked = 0

    class CountedPath(PosixPath):
        def __hash__(self) -> int:
            nonlocal looked
            looked += 1
            return super().__hash__()

    paths = [CountedPath(f"/out/{number % 100}/{number}") for number in range(10_000)]
    assert all(last for _, last in in_order(list(paths)))
    assert looked < 100_000


@pytest.mark.parametrize(
    "output",
    [
        {"path": "/in/*", "path_prefix": "/"},
        {"path": "/in", "type": "DIRECTORY"},
        {"path": "/in/*", "path_prefix": "/in"},
        {"path": "/out/link", "type": "DIRECTORY"},
        {"path": "/out/lin*", "path_prefix": "/out"},
        {"path": "/in/y", "type": "FILE"},
    ],
)
def test_an_input_that_is_named_as_an_output_stays_where_it_is(
    deliver: Deliver, layout: Layout, work: Path, tmp_path: Path, output: dict[str, Any]
) -> None:
    (layout.root / "out/link").symlink_to("/in")
    source = tmp_path / "data/folder/y"
    before = inode(source)
    deliver({**output, "url": str(work / "got")})
    assert (inode(source), source.read_text()) == (before, "data/folder/y")
    copies = [path for path in [work / "got", *(work / "got").rglob("*")] if path.is_file()]
    assert [path.read_text() for path in copies] == ["data/folder/y"]
    assert before not in map(inode, copies)


@pytest.mark.parametrize(
    "output",
    [
        {"path": "/linked", "type": "DIRECTORY"},
        {"path": "/linke*", "path_prefix": "/"},
        {"path": "/linked/x", "type": "FILE"},
        {"path": "/out/link", "type": "FILE"},
    ],
)
def test_an_input_that_is_another_name_of_the_operators_file_is_copied(
    deliver: Deliver, layout: Layout, work: Path, tmp_path: Path, output: dict[str, Any]
) -> None:
    (layout.root / "out/link").symlink_to("/linked/x")
    deliver({**output, "url": str(work / "got")})
    [copy] = [path for path in [work / "got", *(work / "got").rglob("*")] if path.is_file()]
    copy.write_text("changed by the run")
    assert (tmp_path / "data/x").read_text() == "data/x"
    assert layout.host("/linked/x").exists()


def test_a_file_with_another_name_somewhere_is_never_moved(
    deliver: Deliver, layout: Layout, work: Path, tmp_path: Path
) -> None:
    os.link(tmp_path / "data/x", layout.host("/out/x"))
    deliver({"path": "/out", "url": str(work / "out"), "type": "DIRECTORY"})
    (work / "out/x").write_text("changed by the run")
    assert (tmp_path / "data/x").read_text() == "data/x"


@pytest.mark.parametrize("place", ["runs/two/work/x", "runs/one/control/x", "runs/one/logs/tasks/t2/x", "data/x", "x"])
def test_an_output_goes_nowhere_but_to_its_own_run(deliver: Deliver, tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TaskFault, match="may write to"):
        deliver({"path": "/out/big", "url": str(tmp_path / place)})
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_does_not_follow_a_link_out_of_its_run(deliver: Deliver, work: Path, tmp_path: Path) -> None:
    (tmp_path / "runs/two/work").mkdir(parents=True)
    (work / "link").symlink_to(tmp_path / "runs/two/work")
    with pytest.raises(TaskFault, match="may write to"):
        deliver({"path": "/out/big", "url": str(work / "link/new/x")})
    assert list((tmp_path / "runs/two/work").iterdir()) == []


@pytest.mark.parametrize(("volumes", "names"), [((), ["big", "log"]), (("/tmp",), ["big", "link", "log"])])
def test_a_link_into_tmp_is_an_output_only_where_the_task_asked_for_that_folder(
    deliver: Deliver, layout: Layout, work: Path, volumes: tuple[str, ...], names: list[str]
) -> None:
    layout.host("/tmp").mkdir()
    layout.host("/tmp/kept").write_text("kept")
    layout.host("/out/link").symlink_to("/tmp/kept")
    done = deliver({"path": "/out", "url": str(work / "out"), "type": "DIRECTORY"}, volumes=volumes)
    assert sorted(path.name for path in (work / "out").iterdir()) == names
    assert bool(done.notes) == (not volumes)
