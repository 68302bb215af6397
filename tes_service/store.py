"""The tasks in SQLite: the truth, also after a kill -9. What a client was told is on disk (synchronous=FULL)."""

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.paging import Cursor, Page
from common.times import exact_time
from tes.task import TASK_TERMINAL, TaskState, TesTask, TesTaskLog
from tes_service.errors import NoSuchTask
from tes_service.task_log import TaskLog
from tes_service.task_request import TaskRequest

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE tasks (
      id TEXT PRIMARY KEY,
      created INTEGER NOT NULL,
      ended INTEGER,
      name TEXT NOT NULL,
      state TEXT NOT NULL,
      document TEXT NOT NULL,
      log TEXT NOT NULL DEFAULT '',
      handle TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX tasks_newest ON tasks (created, id);
    CREATE INDEX tasks_state ON tasks (state, created, id);
    CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL;
    CREATE TABLE tags (
      key TEXT NOT NULL,
      value TEXT NOT NULL,
      task TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
      PRIMARY KEY (task, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tags_value ON tags (key, value, task);
    """,
    """
    ALTER TABLE tasks ADD COLUMN earlier TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE tasks ADD COLUMN delivering INTEGER NOT NULL DEFAULT 0;
    """,
)
"""One entry per version; the database's own number (user_version) tells which it has had."""

RUNNING = frozenset({TaskState.INITIALIZING, TaskState.RUNNING})
ACTIVE = RUNNING | {TaskState.CANCELING}
COLUMNS = "id, created, state, document, log, handle, earlier, delivering"


@dataclass(frozen=True, kw_only=True)
class StoredTask:
    """A stored task. `handle` is what its runner needs to find it again after a restart; empty where it can't.

    `log` is that of its last attempt, `earlier` has those of the attempts that were lost with a server. `delivering`:
    some of its outputs may be where they were asked for. `damaged`: some of these are empty as they can't be read.
    """

    id: str
    created: datetime
    state: TaskState
    document: TesTask
    log: TesTaskLog
    handle: str = ""
    earlier: tuple[TesTaskLog, ...] = ()
    delivering: bool = False
    damaged: bool = False

    def full(self) -> TesTask:
        """The FULL view."""
        logs = [*self.earlier, self.log or TaskLog().document()]
        known: TesTask = {"id": self.id, "state": self.state.value, "creation_time": exact_time(self.created)}
        return {**self.document, **known, "logs": logs}


@dataclass(frozen=True, kw_only=True)
class TaskQuery:
    """Every condition must hold. A tag's value None matches any."""

    name_prefix: str = ""
    state: TaskState | None = None
    tags: Sequence[tuple[str, str | None]] = ()


@dataclass(frozen=True, kw_only=True)
class TaskChange:
    """What a move writes besides the state; None leaves it as it is."""

    log: TesTaskLog | None = None
    handle: str | None = field(default=None)
    earlier: Sequence[TesTaskLog] | None = None
    delivering: bool | None = None

    def values(self) -> tuple[str | int | None, ...]:
        """In the order of `CHANGED`."""
        earlier = None if self.earlier is None else json.dumps(list(self.earlier))
        return _optional(self.log), self.handle, earlier, self.delivering


CHANGED = (
    "log = coalesce(?, log), handle = coalesce(?, handle), earlier = coalesce(?, earlier), "
    "delivering = coalesce(?, delivering)"
)


class TaskDatabase:
    """Safe for threads: one connection behind a lock, as every statement takes well under a millisecond."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        path.chmod(0o600)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA foreign_keys=ON")
        self._migrate()

    def close(self) -> None:
        """Waits for the statement that runs."""
        with self._lock:
            self._database.close()

    def add(self, task_id: str, created: datetime, request: TaskRequest, log: TesTaskLog) -> None:
        """A new task in QUEUED, on disk when this returns."""
        row = (task_id, _micros(created), request.name, "QUEUED", json.dumps(request.document), _text(log))
        with self._write(durable=True) as database:
            database.execute(
                "INSERT INTO tasks (id, created, name, state, document, log) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            database.executemany(
                "INSERT INTO tags (task, key, value) VALUES (?, ?, ?)",
                [(task_id, key, value) for key, value in request.tags.items()],
            )

    def get(self, task_id: str) -> StoredTask:
        """`NoSuchTask` where there is none."""
        found = self._read(f"SELECT {COLUMNS} FROM tasks WHERE id = ?", [task_id])  # noqa: S608 - constants
        if not found:
            raise NoSuchTask
        return found[0]

    def state(self, task_id: str) -> TaskState:
        """Without reading the task; `NoSuchTask`."""
        with self._lock:
            row = self._database.execute("SELECT state FROM tasks WHERE id = ?", (task_id,)).fetchone()
        if row is None:
            raise NoSuchTask
        return TaskState(row[0])

    def page(self, query: TaskQuery, size: int, after: Cursor | None) -> Page[StoredTask]:
        """Newest first."""
        where, values = _conditions(query)
        if after is not None:
            where.append("(created, id) < (?, ?)")
            values += [_micros(after.created), after.id]
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        order = "ORDER BY created DESC, id DESC LIMIT ?"
        found = self._read(f"SELECT {COLUMNS} FROM tasks {clause} {order}", [*values, size + 1])  # noqa: S608
        items = found[:size]
        last = Cursor(created=items[-1].created, id=items[-1].id) if len(found) > size else None
        return Page(items=items, next=last)

    def open(self, *states: TaskState) -> Sequence[StoredTask]:
        """Tasks in one of these states, oldest first."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT {COLUMNS} FROM tasks WHERE state IN ({marks}) ORDER BY created, id"  # noqa: S608
        return self._read(query, [state.value for state in states])

    def move(
        self, task_id: str, before: Collection[TaskState], after: TaskState, change: TaskChange = TaskChange()
    ) -> bool:
        """Compare-and-set: False, and nothing written, where the task is in none of the states `before`."""
        ended = _micros(datetime.now(UTC)) if after in TASK_TERMINAL else None
        marks = ", ".join("?" * len(before))
        values = [after.value, ended, *change.values(), task_id, *(one.value for one in before)]
        with self._write(durable=after in TASK_TERMINAL) as database:
            done = database.execute(
                f"UPDATE tasks SET state = ?, ended = ?, {CHANGED} WHERE id = ? AND state IN ({marks})",  # noqa: S608
                values,
            )
        return done.rowcount == 1

    def write(self, task_id: str, change: TaskChange) -> None:
        """Writes what changes of a task that is not terminal."""
        with self._write(durable=False) as database:
            database.execute(
                f"UPDATE tasks SET {CHANGED} WHERE id = ? AND ended IS NULL",  # noqa: S608 - constants
                (*change.values(), task_id),
            )

    def forget(self, before: datetime) -> int:
        """Deletes tasks that ended before; how many."""
        with self._write(durable=False) as database:
            return database.execute("DELETE FROM tasks WHERE ended < ?", (_micros(before),)).rowcount

    @contextmanager
    def _write(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _read(self, query: str, values: Sequence[str | int | None]) -> list[StoredTask]:
        with self._lock:
            rows = self._database.execute(query, values).fetchall()
        return [_record(row) for row in rows]

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        for number, script in enumerate(SCHEMA[version:], start=version + 1):
            self._database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version={number}; COMMIT;")


def _conditions(query: TaskQuery) -> tuple[list[str], list[str | int | None]]:
    where: list[str] = []
    values: list[str | int | None] = []
    if query.name_prefix:
        where.append("substr(name, 1, ?) = ?")
        values += [len(query.name_prefix), query.name_prefix]
    if query.state is not None:
        where.append("state = ?")
        values.append(query.state.value)
    for key, value in query.tags:
        where.append("EXISTS (SELECT 1 FROM tags WHERE task = tasks.id AND key = ? AND value = coalesce(?, value))")
        values += [key, value]
    return where, values


def _record(row: tuple[str, int, str, str, str, str, str, int]) -> StoredTask:
    """Never fails: one row that a disk or a hand has spoilt must not keep the server from all the others."""
    task_id, created, state, document, log, handle, earlier, delivering = row
    read: list[Any] = [_json(text) for text in (document, log or "{}", earlier)]
    return StoredTask(
        id=task_id,
        created=datetime.fromtimestamp(created / 1_000_000, tz=UTC),
        state=TaskState(state),
        document=_object(read[0]),
        log=_object(read[1]),
        handle=handle,
        earlier=tuple(_object(one) for one in read[2]) if isinstance(read[2], list) else (),
        delivering=bool(delivering),
        damaged=None in read,
    )


def _json(text: str) -> Any:
    """None where it can't be read."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


def _text(log: TesTaskLog) -> str:
    return json.dumps(log) if log else ""


def _optional(log: TesTaskLog | None) -> str | None:
    return None if log is None else _text(log)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
