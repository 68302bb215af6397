"""The gateway gives a task what a task of an earlier run has left, or has it run; a TES counts what was run."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.engine import RUN_ROOT
from common.run_root import RunLocation
from gateway.content_digests import tree_files
from gateway.delivered_files import RECORD
from gateway.run_files import FileTree
from gateway.session import RunScope
from gateway.task_reuse import ReuseScope
from gateway.translation import UnusableInput
from tes.task import TAG_KEY, TaskOfRun, TaskState
from tests.fakes.tes_server import BadTes
from tests.integration.workers.conftest import Rig, rigged, scope_of
from wes_service.core.run import Owner

WORK = f"file://{RUN_ROOT}/work"
ENDED = {"logs": [{"logs": [{"exit_code": 0, "end_time": "2026-01-01T00:00:00Z"}]}]}


@pytest.fixture
def reuse(open_tmp: Path, tes: BadTes) -> Iterator["Reuse"]:
    tes.documents = ENDED
    with rigged(open_tmp, tes) as rig:
        reuse = Reuse(rig, tes, open_tmp)
        yield reuse
        reuse.leave()


class Reuse:
    """Runs one after the other, each with its folder."""

    def __init__(self, rig: Rig, tes: BadTes, folder: Path) -> None:
        self.rig, self.tes, self.folder = rig, tes, folder
        self.scopes: dict[str, RunScope] = {}
        self.first_session = rig.session

    def begin(self, run_id: str, *, parents: tuple[str, ...] = (), any_run: bool = False, text: str = "input") -> Path:
        """A run whose input says `text`; its folder."""
        self.leave()
        scope = scope_of(self.rig.stores, run_id, self.folder, seen=RUN_ROOT)
        (scope.folder.attachments / "in.txt").write_text(text)
        self.scopes[run_id] = replace(scope, reuse=ReuseScope(runs=parents, any_run=any_run))
        self.rig.session = self.rig.gateway.open_session(self.scopes[run_id])
        return scope.folder.root

    def leave(self) -> None:
        if self.rig.session is not self.first_session:
            self.rig.gateway.close_session(self.rig.session, 10)
            self.rig.session = self.first_session

    def step(self, root: Path, *, out: str = "out", content: str | None = "result", **fields: Any) -> dict[str, Any]:
        """Sends the one step that all runs have; where it runs, it leaves `content`."""
        body = {
            "inputs": [{"url": f"file://{RUN_ROOT}/attachments/in.txt", "path": "/in.txt", "type": "FILE"}],
            "outputs": [{"url": f"{WORK}/{out}", "path": "/out", "type": "DIRECTORY"}],
            **fields,
        }
        if content is not None:
            # The TES of this test runs nothing: what is left is there before.
            (root / "work" / out / "deep").mkdir(parents=True)
            (root / "work" / out / "deep" / "a.txt").write_text(content)
            (root / "work" / out / "empty").mkdir()
        return self.rig.wait(self.rig.post(**body))

    def stored(self, run_id: str) -> Any:
        (task,) = self.rig.stores.tasks.page(run_id, 10, None).items
        return task


def test_folders_of_links_to_folders_are_not_walked_without_end(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2")
    folder = earlier / "work/out"
    (folder / "0").mkdir(parents=True)
    (folder / "0/x").touch()
    for number in range(24):
        (folder / str(number + 1)).mkdir()
        for name in "ab":
            (folder / str(number + 1) / name).symlink_to(f"../{number}")
    scope = reuse.scopes["run-2"]
    files, out = FileTree(root=scope.root, identity=scope.identity), scope.root.parse(f"{WORK}/out")
    assert isinstance(out, RunLocation)
    with pytest.raises(UnusableInput, match="more than 1000 links to folders"):
        list(tree_files(files, out))
    first = reuse.step(earlier, content=None)
    assert first["state"] == "COMPLETE"
    assert not list((earlier / f"logs/tasks/{first['id']}").glob(RECORD))


def test_eight_terabytes_of_holes_are_not_read(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2")
    (earlier / "work/out").mkdir()
    with (earlier / "work/out/large").open("wb") as large:
        large.truncate(8 * 1024**4)
    first = reuse.step(earlier, content=None)
    assert first["state"] == "COMPLETE"
    assert not list((earlier / f"logs/tasks/{first['id']}").glob(RECORD))


def test_a_service_that_digests_nothing_runs_every_step_and_says_so(open_tmp: Path, tes: BadTes) -> None:
    tes.documents = ENDED
    with rigged(open_tmp, tes, step_digests=False) as rig:
        reuse = Reuse(rig, tes, open_tmp)
        earlier = reuse.begin("run-2")
        first = reuse.step(earlier)
        assert not list((earlier / f"logs/tasks/{first['id']}").glob(RECORD))
        assert rig.gateway.notes("run-2") == []
        reuse.step(reuse.begin("run-3", parents=("run-2",)))
        assert reuse.stored("run-3").reused_from is None
        (told,) = rig.gateway.notes("run-3")
        assert "WES_STEP_DIGESTS" in told
        reuse.leave()
    assert len(tes.bodies) == 2


def test_a_step_of_the_run_that_is_resumed_is_not_run_again(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2")
    first = reuse.step(earlier)
    (earlier / "work/out/deep/a.txt").chmod(0o755)
    (earlier / f"logs/tasks/{first['id']}/stdout").write_text("printed\n")
    later = reuse.begin("run-3", parents=("run-2",))
    second = reuse.step(later, out="elsewhere", content=None)
    assert second["state"] == "COMPLETE"
    assert len(reuse.tes.bodies) == 1
    copy = later / "work/elsewhere/deep/a.txt"
    assert copy.read_text() == "result"
    assert os.access(copy, os.X_OK)
    assert copy.stat().st_ino != (earlier / "work/out/deep/a.txt").stat().st_ino
    assert (later / "work/elsewhere/empty").is_dir()
    assert (later / f"logs/tasks/{second['id']}/stdout").read_text() == "printed\n"
    task = reuse.stored("run-3")
    assert task.reused_from == TaskOfRun(run_id="run-2", task_id=first["id"])
    assert (task.state, task.tes_id, task.reuse_key) == (TaskState.COMPLETE, None, reuse.stored("run-2").reuse_key)
    assert not list(later.glob("transfers/*"))


def test_steps_that_do_the_same_take_each_what_it_has_left_itself(reuse: Reuse) -> None:
    """As repetitions of a simulation, whose results differ."""
    earlier = reuse.begin("run-2")
    for number in range(3):
        reuse.step(earlier, out=f"out-{number}", content=str(number), tags={TAG_KEY: f"roll[{number}]"})
    later = reuse.begin("run-3", parents=("run-2",))
    for number in (2, 0, 1):
        reuse.step(later, out=f"out-{number}", content=None, tags={TAG_KEY: f"roll[{number}]"})
    assert [(later / f"work/out-{number}/deep/a.txt").read_text() for number in range(3)] == ["0", "1", "2"]
    reuse.step(later, out="out-3", content="3", tags={TAG_KEY: "roll[3]"})
    assert len(reuse.tes.bodies) == 4


def test_an_earlier_task_is_taken_once_also_where_the_run_is_another_workers_meanwhile(reuse: Reuse) -> None:
    reuse.step(reuse.begin("run-2"))
    later = reuse.begin("run-3", parents=("run-2",))
    reuse.step(later, content=None, tags={TAG_KEY: "a"})
    reuse.rig.gateway.drop_session(reuse.rig.session)
    reuse.rig.session = reuse.rig.gateway.reopen_session(reuse.scopes["run-3"], ending=False)
    reuse.step(later, out="again", tags={TAG_KEY: "b"})
    assert len(reuse.tes.bodies) == 2


def test_what_was_reused_is_reused_again_though_the_first_run_is_gone(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2")
    reuse.step(earlier)
    middle = reuse.begin("run-3", parents=("run-2",))
    reuse.step(middle, content=None)
    shutil.rmtree(earlier)
    later = reuse.begin("run-4", parents=("run-3", "run-2"))
    reuse.step(later, content=None)
    assert len(reuse.tes.bodies) == 1
    assert (later / "work/out/deep/a.txt").read_text() == "result"


def test_a_run_that_resumes_none_runs_all(reuse: Reuse) -> None:
    for run_id in ("run-2", "run-3"):
        reuse.step(reuse.begin(run_id))
    assert len(reuse.tes.bodies) == 2


def test_a_step_of_any_run_is_reused_where_that_is_wanted(reuse: Reuse) -> None:
    reuse.step(reuse.begin("run-2"))
    reuse.step(reuse.begin("run-3", any_run=True), content=None)
    assert len(reuse.tes.bodies) == 1


def test_a_run_of_another_account_is_never_a_source(reuse: Reuse) -> None:
    reuse.step(reuse.begin("run-2"))
    runs = reuse.rig.stores.shelf.runs
    runs["run-2"] = replace(runs["run-2"], owner=Owner(issuer="https://idp.example", subject="mallory"))
    reuse.step(reuse.begin("run-3", parents=("run-2",), any_run=True))
    assert len(reuse.tes.bodies) == 2


CHANGES: list[dict[str, Any]] = [
    {"executors": [{"image": "other", "command": ["true"]}]},
    {"executors": [{"image": "i", "command": ["false"]}]},
    {"executors": [{"image": "i", "command": ["true"], "env": {"A": "1"}}]},
    {"inputs": []},
    {"outputs": [{"url": f"{WORK}/out", "path": "/other", "type": "DIRECTORY"}]},
]


@pytest.mark.parametrize("change", CHANGES)
def test_other_work_is_run(reuse: Reuse, change: dict[str, Any]) -> None:
    reuse.step(reuse.begin("run-2"))
    reuse.step(reuse.begin("run-3", parents=("run-2",)), **change)
    assert len(reuse.tes.bodies) == 2


def test_another_name_and_other_resources_are_the_same_work(reuse: Reuse) -> None:
    reuse.step(reuse.begin("run-2"))
    later = reuse.begin("run-3", parents=("run-2",))
    reuse.step(later, content=None, name="other", resources={"cpu_cores": 7}, tags={"wes.step": "other"})
    assert len(reuse.tes.bodies) == 1


def test_an_input_of_the_same_size_and_time_with_other_contents_is_other_work(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2", text="AAAA")
    reuse.step(earlier)
    status = (earlier / "attachments/in.txt").stat()
    later = reuse.begin("run-3", parents=("run-2",), text="AAAB")
    os.utime(later / "attachments/in.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    reuse.step(later)
    assert len(reuse.tes.bodies) == 2


def test_a_step_that_leaves_several_folders_is_run_as_one_may_be_others_too(reuse: Reuse) -> None:
    outputs = [{"url": f"{WORK}/{name}", "path": f"/{name}", "type": "DIRECTORY"} for name in ("out", "shared")]
    for run_id in ("run-2", "run-3"):
        reuse.step(reuse.begin(run_id, parents=("run-2",)), outputs=outputs)
    assert len(reuse.tes.bodies) == 2


@pytest.mark.parametrize("state", ["EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"])
def test_a_step_that_did_not_end_well_is_run(reuse: Reuse, state: str) -> None:
    reuse.tes.script = [state]
    reuse.step(reuse.begin("run-2"))
    before = len(reuse.tes.bodies)
    reuse.tes.script = ["COMPLETE"]
    reuse.step(reuse.begin("run-3", parents=("run-2",)))
    assert len(reuse.tes.bodies) == before + 1


def test_a_step_whose_exit_code_was_ignored_is_run(reuse: Reuse) -> None:
    reuse.tes.documents = {"logs": [{"logs": [{"exit_code": 3, "end_time": "2026-01-01T00:00:00Z"}]}]}
    reuse.step(reuse.begin("run-2"))
    reuse.step(reuse.begin("run-3", parents=("run-2",)))
    assert len(reuse.tes.bodies) == 2


def _remove(root: Path, record: Path) -> None:
    (root / "work/out/deep/a.txt").unlink()


def _change(root: Path, record: Path) -> None:
    """Same size, same time."""
    path = root / "work/out/deep/a.txt"
    status = path.stat()
    path.write_text("RESULT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove_all(root: Path, record: Path) -> None:
    shutil.rmtree(root)


def _link_out(root: Path, record: Path) -> None:
    """To a file with the very bytes, outside of the run."""
    (root.parent / "secret").write_text("result")
    (root / "work/out/deep/a.txt").unlink()
    (root / "work/out/deep/a.txt").symlink_to(root.parent / "secret")


def _link_folder_out(root: Path, record: Path) -> None:
    (root.parent / "deep").mkdir()
    (root.parent / "deep/a.txt").write_text("result")
    shutil.rmtree(root / "work/out/deep")
    (root / "work/out/deep").symlink_to(root.parent / "deep")


def _pipe(root: Path, record: Path) -> None:
    (root / "work/out/deep/a.txt").unlink()
    os.mkfifo(root / "work/out/deep/a.txt")


def _lie(root: Path, record: Path) -> None:
    """As a run without a sandbox could: the file of another run."""
    found = json.loads(record.read_text())
    record.write_text(json.dumps([{**one, "path": f"../../../run-1/{one['path']}"} for one in found]))


def _no_record(root: Path, record: Path) -> None:
    record.write_text("[{")


@pytest.mark.parametrize("spoil", [_remove, _change, _remove_all, _link_out, _link_folder_out, _pipe, _lie, _no_record])
def test_a_step_whose_outputs_are_not_what_they_were_is_run(reuse: Reuse, spoil: Any) -> None:
    earlier = reuse.begin("run-2")
    first = reuse.step(earlier)
    spoil(earlier, earlier / f"logs/tasks/{first['id']}/{RECORD}")
    later = reuse.begin("run-3", parents=("run-2",))
    reuse.step(later, content="anew")
    assert len(reuse.tes.bodies) == 2
    assert (later / "work/out/deep/a.txt").read_text() == "anew"
    assert reuse.stored("run-3").reused_from is None
    assert not list(later.glob("transfers/*"))


def test_an_output_that_was_replaced_by_a_link_to_its_bytes_in_the_run_is_reused(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2")
    reuse.step(earlier)
    (earlier / "work/out/deep/a.txt").rename(earlier / "work/moved")
    (earlier / "work/out/deep/a.txt").symlink_to(RUN_ROOT / "work/moved")
    later = reuse.begin("run-3", parents=("run-2",))
    reuse.step(later, content=None)
    assert len(reuse.tes.bodies) == 1
    assert not (later / "work/out/deep/a.txt").is_symlink()


def test_outputs_with_a_link_out_of_the_run_are_never_reused(reuse: Reuse) -> None:
    earlier = reuse.begin("run-2")
    (earlier / "work/out").mkdir()
    (earlier / "work/out/link").symlink_to("/etc/hostname")
    reuse.step(earlier, content=None)
    reuse.step(reuse.begin("run-3", parents=("run-2",)))
    assert len(reuse.tes.bodies) == 2
