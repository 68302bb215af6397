"""How a process reads and writes: a port of this package with one implementation per kind of database."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, NestedTransaction
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from common.errors import DiskFull, StoreUnavailable, WesError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Connection], Result]
BatchWork = Callable[[Connection, Sequence[Item]], Sequence[Result]]

GIVEN_UP = (StoreUnavailable, DiskFull)
WRITES_PER_COMMIT = 1000
DEADLOCK_TRIES = 5
DEADLOCK_STATES = frozenset({"40001", "40P01"})  # SQLSTATE: serialization failure, deadlock
DISK_FULL_CODES = frozenset({"SQLITE_FULL", "53100"})
UNAVAILABLE_CODES = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL"),
    *("08", "53", "57", "25006"),
)
"""How names of SQLite's errors and SQLSTATEs of PostgreSQL begin where the same may succeed later."""


class Transactions(Protocol):
    """Runs a piece of work in a transaction. Work may run more than once, so it touches nothing but the database.

    `StoreUnavailable` where the database can't be used now (its cause says why), `DiskFull` where its disk is full.
    """

    def read(self, work: Work[Result]) -> Result:
        """One consistent view; never waits for a writer."""

    def write(self, work: Work[Result]) -> Result:
        """Committed and durable on return; where `work` raises, nothing of it is stored and its error comes out."""

    def write_batched(self, work: BatchWork[Item, Result], item: Item) -> Result:
        """As `write`, but what several threads ask for at the same time is done by one call of `work`, which returns a
        result for each item, in their order. Where it raises, each item is tried on its own."""

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class PendingWrite:
    """Items that wait for a commit, what is to be done with them, and a future for the result of each.

    `wake` is set when the results are there, or when it is the waiting thread's turn to commit.
    """

    work: BatchWork[Any, Any]
    items: Sequence[Any]
    futures: Sequence[Future[Any]]
    wake: threading.Event = field(default_factory=threading.Event)

    def perform(self, connection: Connection) -> Callable[[], None]:
        """Does the work; returns how to hand out its results once they are committed."""
        results = self.work(connection, self.items)
        return partial(self._resolve, results)

    def _resolve(self, results: Sequence[Any]) -> None:
        for future, result in zip(self.futures, results, strict=True):
            future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Every item ends in this error."""
        for future in self.futures:
            future.set_exception(error)

    def split(self) -> "list[PendingWrite]":
        """One for each item."""
        pairs = zip(self.items, self.futures, strict=True)
        return [PendingWrite(work=self.work, items=[item], futures=[future]) for item, future in pairs]


class GroupCommit:
    """One thread at a time commits, and takes along all that others have asked for while the one before it did.

    So a disk that can make 100 commits a second durable still takes many more writes than that, and a lone writer waits
    for nobody. `commit` is never called twice at once; it hands out the results of what it is given, or raises.
    """

    def __init__(self, commit: Callable[[Sequence[PendingWrite]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._queue: deque[PendingWrite] = deque()
        self._committing = False

    @property
    def waiting(self) -> int:
        """How many writes are in no commit yet."""
        return len(self._queue)

    def submit(self, work: BatchWork[Item, Result], item: Item) -> Result:
        """The result of `work` for this item once it is durable; raises what it ended in."""
        future: Future[Result] = Future()
        write = PendingWrite(work=work, items=[item], futures=[future])
        with self._lock:
            self._queue.append(write)
            leads, self._committing = not self._committing, True
        if not leads:
            write.wake.wait()
        if not future.done():
            self._commit_next_group()
        return future.result()

    def _commit_next_group(self) -> None:
        with self._lock:
            writes = [self._queue.popleft() for _ in range(min(WRITES_PER_COMMIT, len(self._queue)))]
        try:
            self._commit_group(_merged(writes))
        finally:
            with self._lock:
                self._committing = bool(self._queue)
                if self._queue:
                    self._queue[0].wake.set()
            for write in writes:
                write.wake.set()

    def _commit_group(self, writes: Sequence[PendingWrite]) -> None:
        """One item that can't be stored is no reason to refuse the others; a database that is away or full is."""
        try:
            self._commit(writes)
        except BaseException as error:
            translated = _translated(error)
            singles = [single for write in writes for single in write.split()]
            if len(singles) > 1 and isinstance(error, Exception) and not isinstance(translated, GIVEN_UP):
                for single in singles:
                    self._commit_group([single])
                return
            for write in writes:
                write.fail(translated)
            if not isinstance(error, Exception):
                raise


def _merged(writes: Sequence[PendingWrite]) -> list[PendingWrite]:
    """Those that do the same work become one."""
    same: dict[BatchWork[Any, Any], list[PendingWrite]] = {}
    for write in writes:
        same.setdefault(write.work, []).append(write)
    return [
        PendingWrite(
            work=work,
            items=[item for write in group for item in write.items],
            futures=[future for write in group for future in write.futures],
        )
        for work, group in same.items()
    ]


class SqliteTransactions:
    """Readers from a pool, and one connection that writes: each of its commits is of a group."""

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reader = reader
        self._writer = writer
        self._group_commit = GroupCommit(self._commit)

    def read(self, work: Work[Result]) -> Result:
        with translated_errors(), self._reader.connect() as connection:
            return work(connection)

    def write(self, work: Work[Result]) -> Result:
        return self._group_commit.submit(lambda connection, _: [work(connection)], None)

    def write_batched(self, work: BatchWork[Item, Result], item: Item) -> Result:
        return self._group_commit.submit(work, item)

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    def _commit(self, writes: Sequence[PendingWrite]) -> None:
        with self._writer.begin() as connection:
            # What is alone in its transaction needs no savepoint.
            perform = PendingWrite.perform if len(writes) == 1 else _perform_under_savepoint
            ends = [perform(write, connection) for write in writes]
        for end in ends:
            end()


class PostgresqlTransactions:
    """Every write is a transaction of its own, but for batched ones; the loser of a deadlock tries again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._group_commit = GroupCommit(self._commit)

    def read(self, work: Work[Result]) -> Result:
        with translated_errors(), self._engine.connect() as connection:
            return work(connection)

    def write(self, work: Work[Result]) -> Result:
        with translated_errors():
            for _ in range(DEADLOCK_TRIES - 1):
                try:
                    return self._write_once(work)
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) not in DEADLOCK_STATES:
                        raise
            return self._write_once(work)

    def write_batched(self, work: BatchWork[Item, Result], item: Item) -> Result:
        return self._group_commit.submit(work, item)

    def close(self) -> None:
        self._engine.dispose()

    def _commit(self, writes: Sequence[PendingWrite]) -> None:
        for end in self.write(lambda connection: [write.perform(connection) for write in writes]):
            end()

    def _write_once(self, work: Work[Result]) -> Result:
        with self._engine.begin() as connection:
            return work(connection)


def _perform_under_savepoint(write: PendingWrite, connection: Connection) -> Callable[[], None]:
    """As `PendingWrite.perform`, but the work of a single item fails alone."""
    savepoint = connection.begin_nested()
    try:
        end = write.perform(connection)
    except Exception as error:
        _undo(savepoint, error)
        if len(write.items) > 1:
            raise
        return partial(write.fail, error)
    savepoint.commit()
    return end


def _undo(savepoint: NestedTransaction, error: Exception) -> None:
    """SQLite gives the whole transaction up where the disk is full or fails; then `error` is everybody's."""
    try:
        savepoint.rollback()
    except DBAPIError:
        raise error from None


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns an error of the driver into one of this service, where it means that the database is away or full."""
    try:
        yield
    except (DBAPIError, NoConnection) as error:
        translated = _translated(error)
        if translated is error:
            raise
        raise translated from error


def _translated(error: BaseException) -> BaseException:
    code = _code(error)
    if code in DISK_FULL_CODES:
        translated: WesError = DiskFull("the disk that holds the database is full; free some space")
    elif isinstance(error, NoConnection) or code.startswith(UNAVAILABLE_CODES) or _is_cut_off(error):
        translated = StoreUnavailable()
    else:
        return error
    translated.__cause__ = error
    return translated


def _code(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else None
    return str(getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None) or "")


def _is_cut_off(error: BaseException) -> bool:
    """A server that can't be reached tells no code."""
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return is_lost or (isinstance(error, OperationalError | InterfaceError) and not _code(error))
