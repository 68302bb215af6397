import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tes.task import TaskState
from tes_service.errors import NoSuchTask
from tes_service.store import RUNNING, TaskChange, TaskDatabase, TaskQuery
from tes_service.task_request import task_request

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TaskDatabase]:
    opened = TaskDatabase(tmp_path / "tes.sqlite")
    yield opened
    opened.close()


def _add(store: TaskDatabase, name: str, second: int = 0) -> str:
    request = task_request({"name": name, "executors": [{"image": "x", "command": ["true"]}], "tags": {"n": name}})
    store.add(name, START + timedelta(seconds=second), request, {})
    return name


def test_what_was_added_is_there_after_opening_anew(tmp_path: Path) -> None:
    for expected in (1, 2):
        store = TaskDatabase(tmp_path / "x.sqlite")
        _add(store, f"task-{expected}")
        assert len(store.page(TaskQuery(), 10, None).items) == expected
        store.close()
    assert (tmp_path / "x.sqlite").stat().st_mode & 0o077 == 0


def test_a_move_happens_only_from_the_states_it_names(store: TaskDatabase) -> None:
    _add(store, "a")
    assert not store.move("a", RUNNING, TaskState.COMPLETE)
    assert store.move("a", {TaskState.QUEUED}, TaskState.INITIALIZING)
    assert not store.move("a", {TaskState.QUEUED}, TaskState.INITIALIZING)
    assert store.state("a") is TaskState.INITIALIZING


def test_an_ended_task_is_never_written_again(store: TaskDatabase) -> None:
    _add(store, "a")
    store.move("a", {TaskState.QUEUED}, TaskState.CANCELED, TaskChange(log={"system_logs": ["x"]}))
    store.write("a", TaskChange(log={}, handle="h"))
    assert store.get("a").log == {"system_logs": ["x"]}
    assert store.get("a").handle == ""


def test_tasks_of_the_same_moment_are_paged_by_their_id(store: TaskDatabase) -> None:
    for name in "cabd":
        _add(store, name)
    first = store.page(TaskQuery(), 2, None)
    second = store.page(TaskQuery(), 2, first.next)
    assert [one.id for one in (*first.items, *second.items)] == list("dcba")
    assert second.next is None


def test_waiting_tasks_are_told_oldest_first(store: TaskDatabase) -> None:
    for second, name in enumerate("bca"):
        _add(store, name, second)
    store.move("c", {TaskState.QUEUED}, TaskState.RUNNING)
    assert [one.id for one in store.open(TaskState.QUEUED)] == ["b", "a"]


def test_old_tasks_are_forgotten_with_their_tags(store: TaskDatabase, tmp_path: Path) -> None:
    for name in ("ended", "waits"):
        _add(store, name)
    store.move("ended", {TaskState.QUEUED}, TaskState.CANCELED)
    assert store.forget(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.forget(datetime.now(UTC) + timedelta(hours=1)) == 1
    with pytest.raises(NoSuchTask):
        store.get("ended")
    database = sqlite3.connect(tmp_path / "tes.sqlite")
    assert database.execute("SELECT task FROM tags").fetchall() == [("waits",)]
    database.close()


def test_a_failed_write_leaves_nothing(store: TaskDatabase) -> None:
    _add(store, "a")
    with pytest.raises(sqlite3.IntegrityError):
        _add(store, "a")
    _add(store, "b")
    assert len(store.page(TaskQuery(), 10, None).items) == 2


def test_a_list_stays_quick_with_thousands_of_tasks(store: TaskDatabase) -> None:
    request = task_request({"executors": [{"image": "x", "command": ["true"]}], "tags": {"run": "old"}})
    with store._write(durable=False) as database:
        rows = [(f"{number:06}", number, "", "COMPLETE", "{}", 1) for number in range(20_000)]
        database.executemany("INSERT INTO tasks (id, created, name, state, document, ended) VALUES (?,?,?,?,?,?)", rows)
        database.executemany("INSERT INTO tags VALUES ('run', 'old', ?)", [(row[0],) for row in rows])
    store.add("new", START, request, {})
    plan = store._database.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM tasks WHERE state = 'QUEUED' ORDER BY created DESC, id DESC LIMIT 3"
    ).fetchall()
    assert "tasks_state" in str(plan)
    assert [one.id for one in store.page(TaskQuery(state=TaskState.QUEUED), 5, None).items] == ["new"]
