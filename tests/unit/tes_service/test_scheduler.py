"""What happens to tasks where the server, its database or its runner fails."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from sandbox.identity import foreign_identity
from sandbox.monitor import ResourceMonitor
from tes.task import TAG_OWNER, TAG_RUN, TASK_TERMINAL, TaskState, TesTaskLog
from tes_service import scheduler
from tes_service.admission import Capacity, TaskLimits
from tes_service.errors import TaskFault
from tes_service.folder_access import allowed_folders
from tes_service.inputs import StagingContext
from tes_service.layout import Layout
from tes_service.outputs import OutputDelivery
from tes_service.processes import ExecutorStreams, RunningExecutor, StopSignal
from tes_service.runners.choose import AvailableRunners
from tes_service.runners.port import ExecutorRequest
from tes_service.scheduler import MachineCapacity, TaskScheduler
from tes_service.store import TaskChange, TaskDatabase
from tes_service.task_attempt import AttemptContext
from tes_service.task_log import ExecutorLog, TaskLog, now
from tes_service.task_request import TaskRequest, task_request
from tests import waiting
from tests.fakes.remote_files import FakeRemoteFiles

until = partial(waiting.until, seconds=30.0, pause=0.005)

NO_CHANGE = TaskChange()
TASK = task_request({"executors": [{"image": "x", "command": ["true"]}]})


class _Executor:
    handle = "handle"

    pid = None
    out_of_memory = False

    def __init__(self, ends: bool) -> None:
        self.killed = False
        self._over = threading.Event()
        if ends:
            self._over.set()

    def wait(self) -> int | None:
        self._over.wait(30)
        return None if self.killed else 0

    def kill(self) -> None:
        self.killed = True
        self._over.set()


class _Runner:
    """`away`: how often its engine does not answer; `ends`: whether executors end by themselves."""

    name = "fake"
    about = "run by a fake"
    network = False
    uses_images = True

    def __init__(self) -> None:
        self.started: list[_Executor] = []
        self.ends = True
        self.away = 0
        self.discarded: list[str] = []
        self.swept = threading.Event()

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None: ...

    def settle(self, request: TaskRequest, layout: Layout) -> None: ...

    def start(self, call: ExecutorRequest) -> RunningExecutor:  # noqa: ARG002
        self.started.append(_Executor(self.ends))
        return self.started[-1]

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:  # noqa: ARG002
        return None

    def discard(self, task_id: str) -> None:
        if self.away:
            self.away -= 1
            raise TaskFault("the engine is away")
        self.discarded.append(task_id)

    def sweep(self, held: Callable[[str], bool]) -> None:  # noqa: ARG002
        self.swept.set()


class _Server:
    """A scheduler over a store that can be told to fail."""

    def __init__(self, folder: Path) -> None:
        (folder / "tasks").mkdir()
        self.store = TaskDatabase(folder / "tes.sqlite")
        self.runner = _Runner()
        self.remote = FakeRemoteFiles()
        self.disk: Callable[[], float] = lambda: 100.0
        identity = foreign_identity(64321)
        context = AttemptContext(
            staging=StagingContext(allowed=allowed_folders((), ()), identity=identity, fetcher=FakeRemoteFiles()),
            delivery=OutputDelivery(allowed=allowed_folders((), ()), identity=identity, storage=self.remote),
            runners=AvailableRunners(first=self.runner),
            limits=TaskLimits(memory_bytes=10**9, processes=100, log_bytes=10**6, log_folder="/logs"),
            watch=ResourceMonitor(folder, 0, total_memory=0),
        )
        machine = MachineCapacity(capacity=Capacity(cpus=2, memory=10, disk=100), free_disk=self._free)
        self.scheduler = TaskScheduler(self.store, context, machine, folder / "tasks", timedelta(days=1))

    def _free(self) -> float:
        return self.disk()

    def add(self, task_id: str = "a", *, before: tuple[TesTaskLog, ...] = (), **change: Any) -> str:
        """A stored task; with a `state` one that an earlier server has left in it."""
        request = replace(TASK, document={**TASK.document, **change.pop("fields", {})})
        self.store.add(task_id, now(), request, TaskLog().document())
        state = change.pop("state", None)
        if state is not None:
            log = TaskLog(metadata={"runner": "fake"}, running_since=now(), start_time=now()).document()
            self.store.move(task_id, {TaskState.QUEUED}, state, TaskChange(log=log, earlier=before, **change))
            for folder in ("tree", "logs"):
                (self.scheduler.folders(task_id).top / folder).mkdir(parents=True)
        return task_id

    def delivering(self, exit_code: int, metadata: Mapping[str, str] = MappingProxyType({})) -> str:
        """A task that an earlier server was ended at, as it had begun to deliver `/out/x`, one of its inputs too."""
        fields = {
            "inputs": [{"url": "s3://b/x", "path": "/in/x"}],
            "outputs": [{"url": "s3://b/x", "path": "/out/x"}],
        }
        task_id = self.add(state=TaskState.RUNNING, delivering=True, fields=fields)
        (out := self.scheduler.folders(task_id).tree / "out").mkdir()
        (out / "x").write_text("made")
        ended = ExecutorLog(start_time=now(), end_time=now(), exit_code=exit_code)
        log = TaskLog(executors=(ended,), metadata={"runner": "fake", **metadata}, start_time=now())
        self.store.write(task_id, TaskChange(log=log.document()))
        return task_id

    def submit(self, task_id: str = "a", owner: str = "") -> str:
        task = replace(TASK, tags={TAG_OWNER: owner, TAG_RUN: f"run of {owner}"} if owner else {})
        self.scheduler.submit(self.add(task_id), task)
        return task_id

    def ended(self, task_id: str) -> tuple[TaskState, str]:
        """Its state, and the last line of its system log."""
        until(lambda: self.store.state(task_id) in TASK_TERMINAL)
        record = self.store.get(task_id)
        lines = record.log.get("system_logs")
        assert isinstance(lines, list)
        return record.state, str(lines[-1])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setattr(scheduler, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(scheduler, "CLEAN_SECONDS", 0.02)
    made = _Server(tmp_path)
    yield made
    made.scheduler.close()
    made.store.close()


class _Fails:
    """Takes the place of a method: fails so often, then does what it always did."""

    def __init__(self, really: Callable[..., Any], error: Exception, times: int = 1) -> None:
        self.left = times
        self._really = really
        self._error = error

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self._error
        return self._really(*arguments, **options)


def test_one_owners_task_does_not_wait_for_all_of_another_one(server: _Server) -> None:
    server.runner.ends = False
    server.scheduler.start()
    for number in range(50):
        server.submit(f"many-{number}", "ann")
    until(lambda: len(server.runner.started) == 2)
    server.submit("one", "bob")
    server.runner.started[0].kill()
    until(lambda: server.store.state("one") is TaskState.RUNNING)
    assert server.store.state("many-2") is TaskState.QUEUED


def test_the_scheduler_goes_on_after_an_error(server: _Server) -> None:
    server.disk = _Fails(server.disk, OSError("the disk is away"), times=3)
    server.scheduler.start()
    assert server.ended(server.submit())[0] is TaskState.COMPLETE


HANDED = {"state": TaskState.RUNNING, "handle": "handle"}


@pytest.mark.parametrize(
    ("column", "left"),
    [
        *((column, left) for column in ("document", "log", "earlier") for left in ({}, HANDED)),
        # One that is begun again gets a new log.
        ("document", {"state": TaskState.INITIALIZING}),
    ],
)
def test_a_row_that_can_not_be_read_ends_its_own_task_and_no_other(
    server: _Server, tmp_path: Path, column: str, left: dict[str, Any]
) -> None:
    spoilt, sound = server.add("spoilt", **left), server.add("sound")
    with sqlite3.connect(tmp_path / "tes.sqlite") as hand:
        hand.execute(f"UPDATE tasks SET {column} = '{{' WHERE id = ?", [spoilt])  # noqa: S608 - constants
    server.scheduler.start()
    state, line = server.ended(spoilt)
    assert state is TaskState.SYSTEM_ERROR
    assert line.endswith("what this server had stored of the task can't be read any more")
    assert server.ended(sound)[0] is TaskState.COMPLETE
    assert server.ended(server.submit("later"))[0] is TaskState.COMPLETE


def test_a_row_that_is_spoilt_while_its_task_waits_ends_it(server: _Server, tmp_path: Path) -> None:
    server.runner.ends = False
    server.scheduler.start()
    full = task_request({"executors": [{"image": "x", "command": ["true"]}], "resources": {"cpu_cores": 2}})
    for task_id in ("runs", "waits"):
        server.store.add(task_id, now(), full, TaskLog().document())
        server.scheduler.submit(task_id, full)
    until(lambda: bool(server.runner.started))
    with sqlite3.connect(tmp_path / "tes.sqlite") as hand:
        hand.execute("UPDATE tasks SET document = '{' WHERE id = 'waits'")
    server.runner.started[0]._over.set()
    assert server.ended("waits")[0] is TaskState.SYSTEM_ERROR


def test_a_task_whose_thread_can_not_be_started_is_started_later(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scheduler.start()
    really, left = threading.Thread.start, [1]

    def start(thread: threading.Thread) -> None:
        if left:
            left.pop()
            raise RuntimeError("can't start new thread")
        really(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert server.ended(server.submit())[0] is TaskState.COMPLETE


def test_cleaning_goes_on_after_an_error(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    forget = _Fails(server.store.forget, sqlite3.OperationalError("disk I/O error"), times=2)
    monkeypatch.setattr(server.store, "forget", forget)
    server.scheduler.start()
    until(lambda: forget.left == 0)
    server.runner.swept.clear()
    assert server.runner.swept.wait(30)


def test_a_task_that_could_not_be_marked_as_begun_is_begun_later(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = server.add()
    move = _Fails(server.store.move, sqlite3.OperationalError("database or disk is full"), times=2)
    monkeypatch.setattr(server.store, "move", move)
    server.scheduler.start()
    assert server.ended(task_id)[0] is TaskState.COMPLETE


def test_a_refusal_that_could_not_be_written_is_written_later(server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = task_request({"executors": [{"image": "x", "command": ["true"]}], "resources": {"cpu_cores": 99}})
    server.store.add("a", now(), huge, TaskLog().document())
    server.scheduler.start()
    move = _Fails(server.store.move, sqlite3.OperationalError("database or disk is full"))
    monkeypatch.setattr(server.store, "move", move)
    server.scheduler.submit("a", huge)
    assert server.ended("a") == (
        TaskState.SYSTEM_ERROR,
        "resources.cpu_cores: the task asks for 99 cores, and this server has 2",
    )


def test_a_task_that_ends_while_the_disk_is_full_keeps_its_exit_code(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scheduler.start()
    write = _Fails(server.store.write, sqlite3.OperationalError("database or disk is full"), times=3)
    monkeypatch.setattr(server.store, "write", write)
    assert server.ended(server.submit())[0] is TaskState.COMPLETE
    assert '"exit_code": 0' in json.dumps(server.store.get("a").log)
    assert write.left == 0


def test_a_task_that_can_not_be_marked_as_running_waits_until_it_can(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, left = server.store.move, [1, 1]

    def move(task_id: str, before: Any, after: TaskState, change: TaskChange = NO_CHANGE) -> bool:
        if after is TaskState.RUNNING and left:
            left.pop()
            raise sqlite3.OperationalError("database or disk is full")
        return really(task_id, before, after, change)

    monkeypatch.setattr(server.store, "move", move)
    server.scheduler.start()
    assert server.ended(server.submit())[0] is TaskState.COMPLETE
    assert not left


def test_what_was_started_is_killed_where_its_handle_can_not_be_stored(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = server.store.write

    def write(task_id: str, change: TaskChange) -> None:
        if change.handle == "handle":
            raise sqlite3.OperationalError("database or disk is full")
        really(task_id, change)

    monkeypatch.setattr(server.store, "write", write)
    server.runner.ends = False
    server.scheduler.start()
    assert server.ended(server.submit())[0] is TaskState.SYSTEM_ERROR
    assert server.runner.started[0].killed


def test_a_lost_attempt_is_followed_by_another_one_after_what_is_left_is_gone(server: _Server) -> None:
    task_id = server.add(state=TaskState.RUNNING, handle="lost")
    server.runner.away = 2
    server.scheduler.start()
    assert server.ended(task_id)[0] is TaskState.COMPLETE
    assert server.runner.discarded == [task_id]
    record = server.store.get(task_id)
    assert "run again from its beginning" in str(record.earlier)
    assert "run by a fake" in str(record.log)


def test_attempts_that_are_lost_are_counted(server: _Server) -> None:
    lost = TaskLog(metadata={"lost": "true"}).document()
    task_id = server.add(state=TaskState.RUNNING, before=(lost, lost))
    server.scheduler.start()
    state, line = server.ended(task_id)
    assert state is TaskState.SYSTEM_ERROR
    assert line.endswith("3 times now: it is not run again")
    assert server.runner.started == []


def test_a_shutdown_is_no_loss_that_counts(server: _Server) -> None:
    quiet = TaskLog(system=("the server was shut down",)).document()
    task_id = server.add(state=TaskState.RUNNING, before=(quiet, quiet, quiet))
    server.scheduler.start()
    assert server.ended(task_id)[0] is TaskState.COMPLETE


@pytest.mark.parametrize(("exit_code", "state"), [(0, TaskState.COMPLETE), (3, TaskState.EXECUTOR_ERROR)])
def test_what_was_delivered_in_part_into_what_the_task_reads_is_delivered_again_and_nothing_run(
    server: _Server, exit_code: int, state: TaskState
) -> None:
    task_id = server.delivering(exit_code)
    server.scheduler.start()
    assert server.ended(task_id)[0] is state
    assert server.remote.objects == {"s3://b/x": b"made"}
    assert "delivered them again" in " ".join(server.store.get(task_id).log.get("system_logs") or [])
    assert server.runner.started == []
    until(lambda: not server.scheduler.folders(task_id).top.exists())


def test_a_server_that_is_shut_down_leaves_such_a_delivery_to_the_next_one(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def store(url: str, source: int, stop: StopSignal) -> None:
        begun.set()
        while True:
            stop.check()
            time.sleep(0.005)

    task_id = server.delivering(0)
    monkeypatch.setattr(server.remote, "store", store)
    server.scheduler.start()
    assert begun.wait(30)
    server.scheduler.close()
    record = server.store.get(task_id)
    assert (record.state, record.delivering) == (TaskState.RUNNING, True)
    assert (server.scheduler.folders(task_id).tree / "out/x").read_text() == "made"


def test_a_delivery_that_has_ended_several_servers_is_not_begun_once_more(server: _Server) -> None:
    task_id = server.delivering(0, metadata={"deliveries again": "3"})
    server.scheduler.start()
    ended, line = server.ended(task_id)
    assert (ended, server.remote.objects) == (TaskState.SYSTEM_ERROR, {})
    assert "may have been delivered: it is not run again" in line
    assert server.runner.started == []


def test_a_task_that_may_have_delivered_something_elsewhere_is_run_again(server: _Server) -> None:
    task_id = server.add(state=TaskState.RUNNING, delivering=True)
    server.scheduler.start()
    assert server.ended(task_id)[0] is TaskState.COMPLETE
    assert len(server.runner.started) == 1


def test_a_task_that_was_being_canceled_stays_so_until_nothing_is_left_of_it(server: _Server) -> None:
    task_id = server.add(state=TaskState.CANCELING)
    server.runner.away = 10**9
    server.scheduler.start()
    until(lambda: server.runner.away < 10**9 - 2)
    assert server.store.state(task_id) is TaskState.CANCELING
    server.runner.away = 0
    until(lambda: server.store.state(task_id) is TaskState.CANCELED)
    assert server.runner.discarded == [task_id]


def test_a_shutdown_leaves_what_it_ends_in_the_line_for_the_next_server(server: _Server) -> None:
    server.runner.ends = False
    server.scheduler.start()
    task_id = server.submit()
    until(lambda: server.store.state(task_id) is TaskState.RUNNING and bool(server.runner.started))
    server.scheduler.close()
    record = server.store.get(task_id)
    assert (record.state, len(record.earlier), record.handle) == (TaskState.QUEUED, 1, "")
