"""How a process reads and writes: a port of this package with one implementation per kind of database."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine, NestedTransaction
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from common.errors import DiskFull, StoreUnavailable, WesError

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """An item, and the sign for its thread: it is done, or it is this thread's turn to do what waits."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.sign = threading.Event()


class Gathering(Generic[Item]):
    """Calls `work` with all items that came while it was at work before: never twice at once, nobody waits alone.

    `work` says itself what became of each item; it takes `most` at once.
    """

    def __init__(self, work: Callable[[Sequence[Item]], None], most: int) -> None:
        self._work = work
        self._most = most
        self._lock = threading.Lock()
        self._queue: deque[Waiting[Item]] = deque()
        self._busy = False

    @property
    def waiting(self) -> int:
        """How many items nobody works at yet."""
        return len(self._queue)

    def do(self, item: Item) -> None:
        """Returns when `work` has had the item, in this thread or in another; raises what it raised in this one."""
        mine = Waiting(item)
        with self._lock:
            self._queue.append(mine)
            first, self._busy = not self._busy, True
        if not first:
            mine.sign.wait()
        if not mine.done:
            self._do_batch()

    def _do_batch(self) -> None:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
        try:
            self._work([waiting.item for waiting in batch])
        finally:
            self._pass_on()
            for waiting in batch:
                waiting.done = True
                waiting.sign.set()

    def _pass_on(self) -> None:
        """The oldest of those that came meanwhile is next."""
        with self._lock:
            self._busy = bool(self._queue)
            if self._queue:
                self._queue[0].sign.set()


Result = TypeVar("Result")
Work = Callable[[Connection], Result]

TRIES = 5
MOST = 1000
"""Pieces of work in one transaction."""
RETRIED = frozenset({"40001", "40P01"})  # SQLSTATE: serialization failure, deadlock
FULL = frozenset({"SQLITE_FULL", "53100"})
AWAY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "08", "53", "57", "25006")
"""How names of SQLite's errors and SQLSTATEs of PostgreSQL begin where the same may succeed later."""


class Transactions(Protocol):
    """Runs a piece of work in a transaction. Work may run more than once, so it touches nothing but the database.

    `StoreUnavailable` where the database can't be used now (its cause says why), `DiskFull` where its disk is full.
    """

    def read(self, work: Work[Result]) -> Result:
        """One consistent view; never waits for a writer."""

    def write(self, work: Work[Result]) -> Result:
        """Committed and durable on return; where `work` raises, nothing of it is stored and its error comes out."""

    def close(self) -> None: ...


class Entry:
    """A piece of work that waits for the writer, and what came of it."""

    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.end: Future[Any] = Future()

    def alone(self, connection: Connection) -> Callable[[], None]:
        """Does the work; where it fails, the whole transaction does."""
        result = self.work(connection)
        return lambda: self.end.set_result(result)

    def run(self, connection: Connection) -> Callable[[], None]:
        """Does the work under a savepoint; returns how to tell its caller once all is committed."""
        savepoint = connection.begin_nested()
        try:
            result = self.work(connection)
        except Exception as error:  # noqa: BLE001
            failure = error
            _undo(savepoint, failure)
            return lambda: self.end.set_exception(failure)
        savepoint.commit()
        return lambda: self.end.set_result(result)


class OneWriter:
    """SQLite: readers from a pool, and one connection that writes.

    Whoever gets the writer commits everything that others asked for while they waited, in one transaction. So a disk
    that can make 100 commits a second durable still takes many more runs than that a second, and a lone writer waits
    for nobody.
    """

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reader = reader
        self._writer = writer
        self._gathering = Gathering(self._commit, MOST)

    def read(self, work: Work[Result]) -> Result:
        with in_words(), self._reader.connect() as connection:
            return work(connection)

    def write(self, work: Work[Result]) -> Result:
        entry = Entry(work)
        self._gathering.do(entry)
        result: Result = entry.end.result()
        return result

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    def _commit(self, entries: Sequence[Entry]) -> None:
        try:
            with self._writer.begin() as connection:
                # What is alone in its transaction needs no savepoint.
                alone = len(entries) == 1
                tell = [entry.alone(connection) if alone else entry.run(connection) for entry in entries]
        except BaseException as error:
            for entry in entries:
                entry.end.set_exception(_worded(error))
            if not isinstance(error, Exception):
                raise
            return
        for told in tell:
            told()


class ManyWriters:
    """A database server: every write is a transaction of its own; the loser of a deadlock tries again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, work: Work[Result]) -> Result:
        with in_words(), self._engine.connect() as connection:
            return work(connection)

    def write(self, work: Work[Result]) -> Result:
        with in_words():
            return self._write(work)

    def close(self) -> None:
        self._engine.dispose()

    def _write(self, work: Work[Result]) -> Result:
        for _ in range(TRIES - 1):
            try:
                return self._once(work)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in RETRIED:
                    raise
        return self._once(work)

    def _once(self, work: Work[Result]) -> Result:
        with self._engine.begin() as connection:
            return work(connection)


def _undo(savepoint: NestedTransaction, error: Exception) -> None:
    """SQLite gives the whole transaction up where the disk is full or fails; then `error` is everybody's."""
    try:
        savepoint.rollback()
    except DBAPIError:
        raise error from None


@contextmanager
def in_words() -> Iterator[None]:
    """Says an error of the database's driver as one of this service, where it means that it is away or full."""
    try:
        yield
    except (DBAPIError, NoConnection) as error:
        worded = _worded(error)
        if worded is error:
            raise
        raise worded from error


def _worded(error: BaseException) -> BaseException:
    code = _code(error)
    if code in FULL:
        worded: WesError = DiskFull("the disk that holds the database is full; free some space")
    elif isinstance(error, NoConnection) or code.startswith(AWAY) or _is_cut_off(error):
        worded = StoreUnavailable()
    else:
        return error
    worded.__cause__ = error
    return worded


def _code(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else None
    return str(getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None) or "")


def _is_cut_off(error: BaseException) -> bool:
    """A server that can't be reached tells no code."""
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return is_lost or (isinstance(error, OperationalError | InterfaceError) and not _code(error))
