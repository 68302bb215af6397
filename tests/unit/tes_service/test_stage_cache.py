"""Inputs that several tasks read: fetched once, asked for each time, and never changed by a task."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.identity import Identity
from tes_service.errors import TaskFault, TaskStopped
from tes_service.processes import StopSignal, TaskControl
from tes_service.remote_files import FileUnchanged, RemoteFile
from tes_service.stage_cache import SMALLEST, StageCache

OWN = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)
URL = "s3://b/large"


class Server:
    """Has one file for all URLs. `asked`: what each question was; `sent`: how often it was sent."""

    def __init__(self, content: bytes = b"x" * SMALLEST, version: str = '"1"') -> None:
        self.content = content
        self.version = version
        self.asked: list[str] = []
        self.sent = 0
        self.problem: Exception | None = None
        self.before: Callable[[], object] = lambda: None

    def fetch(self, _url: str, target: int, stop: StopSignal, unless: str = "") -> str:
        self.asked.append(unless)
        self.before()
        stop.check()
        if self.problem is not None:
            raise self.problem
        if unless and unless == self.version:
            raise FileUnchanged
        self.sent += 1
        os.write(target, self.content)
        return self.version

    def files(self, url: str, stop: StopSignal) -> Sequence[RemoteFile]:
        raise NotImplementedError


class Bringing:
    """A cache, and the tasks that use it: each has a folder of its own."""

    def __init__(self, top: Path, server: Server, limit: int) -> None:
        self.top = top
        self.server = server
        self.limit = limit
        self.folder = top / "cache"
        self.cache = self.restarted()

    def restarted(self) -> StageCache:
        self.cache = StageCache(self.server, self.folder, OWN, lambda: self.limit)
        return self.cache

    def bring(self, task: str, url: str = URL, *, read_only: bool = True, stop: StopSignal | None = None) -> Path:
        folder = self.top / task
        folder.mkdir()
        fd = os.open(folder, os.O_RDONLY)
        try:
            self.cache.bring(url, fd, "file", stop or TaskControl(), read_only=read_only)
        finally:
            os.close(fd)
        return folder / "file"

    def kept(self) -> list[Path]:
        return list(self.folder.iterdir())


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def tasks(tmp_path: Path, server: Server) -> Bringing:
    return Bringing(tmp_path, server, limit=10 * SMALLEST)


def test_a_file_is_sent_once_and_asked_for_each_time(tasks: Bringing, server: Server) -> None:
    files = [tasks.bring(f"task-{number}") for number in range(3)]
    assert server.sent == 1
    assert server.asked == ["", '"1"', '"1"']
    assert {file.read_bytes() for file in files} == {server.content}
    assert len({file.stat().st_ino for file in files}) == 1, "not a byte is copied"


def test_where_a_task_could_write_it_has_a_copy(tasks: Bringing, server: Server) -> None:
    first = tasks.bring("one", read_only=False)
    second = tasks.bring("two", read_only=False)
    first.write_bytes(b"changed")
    assert second.read_bytes() == server.content
    assert tasks.bring("three").read_bytes() == server.content
    assert server.sent == 1


def test_what_has_changed_is_fetched_anew_and_the_old_one_is_gone(tasks: Bringing, server: Server) -> None:
    old = tasks.bring("one")
    server.content, server.version = b"y" * SMALLEST, '"2"'
    assert tasks.bring("two").read_bytes() == server.content
    assert old.read_bytes() == b"x" * SMALLEST, "a task that runs keeps what it has"
    assert len(tasks.kept()) == 1


def test_what_a_server_refuses_is_not_had_from_here_either(tasks: Bringing, server: Server) -> None:
    tasks.bring("one")
    server.problem = TaskFault("the server answered 403")
    with pytest.raises(TaskFault, match="403"):
        tasks.bring("two")
    assert not (tasks.top / "two/file").exists()


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b"x" * SMALLEST, ""),
        (b"x" * (SMALLEST - 1), '"1"'),
        (b"x" * (SMALLEST * 10 + 1), '"1"'),
        (b"x" * SMALLEST, f'"{"1" * 500}"'),
    ],
    ids=["no version", "small", "too large", "long version"],
)
def test_what_can_not_be_kept_is_the_tasks_own(tasks: Bringing, server: Server, content: bytes, version: str) -> None:
    server.content, server.version = content, version
    assert tasks.bring("one").read_bytes() == tasks.bring("two").read_bytes() == content
    assert server.sent == 2
    assert tasks.kept() == []


def test_many_tasks_at_once_fetch_it_once(tasks: Bringing, server: Server) -> None:
    server.before = lambda: time.sleep(0.05)
    with ThreadPoolExecutor(20) as pool:
        files = list(pool.map(lambda number: tasks.bring(f"task-{number}"), range(20)))
    assert server.sent == 1
    assert all(file.read_bytes() == server.content for file in files)


def test_after_a_failure_the_next_one_tries_for_itself(tasks: Bringing, server: Server) -> None:
    server.problem = TaskFault("busy")
    with pytest.raises(TaskFault, match="busy"):
        tasks.bring("one")
    server.problem = None
    assert tasks.bring("two").read_bytes() == server.content
    assert len(tasks.kept()) == 1


def test_who_waits_for_another_tasks_fetch_can_be_stopped(tasks: Bringing, server: Server) -> None:
    going, over, stopped = threading.Event(), threading.Event(), TaskControl()

    def hang() -> None:
        going.set()
        over.wait(30)

    server.before = hang
    first = threading.Thread(target=tasks.bring, args=("one",))
    first.start()
    going.wait(30)
    stopped.stop()
    with pytest.raises(TaskStopped):
        tasks.bring("two", stop=stopped)
    over.set()
    first.join()
    assert server.sent == 1


def test_the_one_that_was_used_last_goes_last(tasks: Bringing, server: Server) -> None:
    tasks.limit = 2 * SMALLEST
    tasks.bring("a", "s3://b/a")
    b = tasks.bring("b", "s3://b/b")
    tasks.bring("a again", "s3://b/a")
    tasks.bring("c", "s3://b/c")
    assert sum(file.stat().st_size for file in tasks.kept()) == 2 * SMALLEST
    assert b.read_bytes() == server.content
    server.asked.clear()
    tasks.bring("a once more", "s3://b/a")
    tasks.bring("b again", "s3://b/b")
    assert server.asked == ['"1"', ""]


def test_where_the_disk_gets_full_less_is_kept(tasks: Bringing, server: Server) -> None:
    tasks.bring("one")
    tasks.limit, server.content = 0, b"small"
    tasks.bring("two", "s3://b/small")
    assert tasks.kept() == []


def test_what_is_kept_outlives_the_server_and_what_was_half_fetched_does_not(tasks: Bringing, server: Server) -> None:
    tasks.bring("one")
    for name in ("new-half", "nothing", "key-!"):
        (tasks.folder / name).touch()
    tasks.restarted()
    tasks.bring("two")
    assert server.sent == 1
    assert len(tasks.kept()) == 1


def test_a_file_that_was_cut_short_is_fetched_anew(tasks: Bringing, server: Server) -> None:
    tasks.bring("one", read_only=False)
    os.truncate(tasks.kept()[0], 5)
    assert tasks.bring("two").read_bytes() == server.content
    assert server.sent == 2


def test_a_file_that_is_removed_while_its_server_is_asked_is_there_all_the_same(
    tasks: Bringing, server: Server
) -> None:
    tasks.bring("one", read_only=False)
    kept = tasks.kept()[0]
    server.before = kept.unlink
    assert tasks.bring("two").read_bytes() == server.content
    assert server.sent == 1


def test_no_task_can_enter_the_folder_or_write_to_a_kept_file(tasks: Bringing) -> None:
    file = tasks.bring("one")
    assert tasks.folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.stat().st_uid == os.geteuid()
