import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from common.errors import DiskFull, StoreUnavailable
from wes_service.store.database import upgrade
from wes_service.store.dialect import connect, parse_url
from wes_service.store.transactions import GroupCommit, PendingWrite, PostgresqlTransactions, SqliteTransactions

COUNT = text("SELECT count(*) FROM things")
NO_CONNECTION = cast("Connection", None)


@pytest.fixture
def transactions(tmp_path: Path) -> Iterator[SqliteTransactions]:
    url = f"sqlite:///{tmp_path / 'things.sqlite'}"
    upgrade(url)
    opened = connect(parse_url(url))
    assert isinstance(opened, SqliteTransactions)
    opened.write(lambda connection: connection.execute(text("CREATE TABLE things (name TEXT PRIMARY KEY)")))
    yield opened
    opened.close()


def insert(connection: Connection, name: str) -> str:
    connection.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})
    return name


def count(connection: Connection) -> int:
    return int(connection.execute(COUNT).scalar_one())


def test_what_was_written_is_durable_before_its_caller_knows(transactions: SqliteTransactions) -> None:
    assert transactions.write(lambda connection: connection.execute(text("PRAGMA synchronous")).scalar_one()) == 2


def test_a_reader_can_not_write(transactions: SqliteTransactions) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        transactions.read(lambda connection: insert(connection, "a"))


def test_a_reader_sees_one_moment(transactions: SqliteTransactions) -> None:
    def look_twice(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        transactions.write(lambda writer: insert(writer, "a"))
        return before, count(connection)

    assert transactions.read(look_twice) == (0, 0)
    assert transactions.read(count) == 1


def test_work_that_raises_leaves_nothing(transactions: SqliteTransactions) -> None:
    def fail(connection: Connection) -> None:
        insert(connection, "a")
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        transactions.write(fail)
    assert transactions.read(count) == 0


def test_those_who_wait_are_committed_together_and_fail_alone(transactions: SqliteTransactions) -> None:
    begun: list[Connection] = []
    event.listen(transactions._writer, "begin", begun.append)
    busy, free = threading.Event(), threading.Event()

    def hold(connection: Connection) -> str:
        busy.set()
        assert free.wait(30)
        return insert(connection, "first")

    def fail(connection: Connection) -> str:
        insert(connection, "never")
        raise LookupError("mine alone")

    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(transactions.write, hold)
        assert busy.wait(30)
        bad = pool.submit(transactions.write, fail)
        rest = [pool.submit(transactions.write, lambda c, n=n: insert(c, f"{n}")) for n in range(10)]
        while transactions._group_commit.waiting < 11:
            threading.Event().wait(0.001)
        free.set()
        assert first.result() == "first"
        assert isinstance(bad.exception(), LookupError)
        assert [one.result() for one in rest] == [f"{n}" for n in range(10)]
    assert len(begun) == 2
    assert transactions.read(count) == 11


def test_a_full_disk_is_said_in_words(transactions: SqliteTransactions) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(text("PRAGMA max_page_count = 2"))
        for number in range(100):
            insert(connection, f"{number}" * 1000)

    with pytest.raises(DiskFull, match="free some space"):
        transactions.write(fill)
    transactions.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 100000")))
    assert transactions.write(lambda connection: insert(connection, "a")) == "a"


def test_a_locked_file_is_told_as_a_database_that_is_away(
    transactions: SqliteTransactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'things.sqlite'}"
    monkeypatch.setattr("wes_service.store.dialect.BUSY_SECONDS", 0.1)
    waits_less = connect(parse_url(url))
    with sqlite3.connect(tmp_path / "things.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="try again") as raised:
            waits_less.write(lambda connection: insert(connection, "a"))
        other.execute("ROLLBACK")
    assert "locked" in str(raised.value.__cause__)
    assert waits_less.write(lambda connection: insert(connection, "a")) == "a"
    waits_less.close()


def test_a_server_that_does_not_answer_is_told_as_away() -> None:
    nowhere = connect(parse_url("postgresql://wes@127.0.0.1:1/wes"))
    for use in (nowhere.read, nowhere.write):
        with pytest.raises(StoreUnavailable) as raised:
            use(count)
        assert "refused" in str(raised.value.__cause__)
    nowhere.close()


class HeldCommit:
    """Commits what it is given; the first time it waits until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.free = threading.Event(), threading.Event()
        self._at_work = threading.Lock()

    def __call__(self, writes: Sequence[PendingWrite]) -> None:
        assert self._at_work.acquire(blocking=False)
        self.groups.append([item for write in writes for item in write.items])
        self.begun.set()
        assert self.free.wait(30)
        for write in writes:
            write.perform(NO_CONNECTION)()
        self._at_work.release()


def double(_: Connection, numbers: Sequence[int]) -> list[int]:
    return [2 * number for number in numbers]


def test_what_came_during_a_commit_is_the_next_group_in_order_and_cut_at_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wes_service.store.transactions.WRITES_PER_COMMIT", 3)
    held = HeldCommit()
    group_commit = GroupCommit(held)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(group_commit.submit, double, 0)]
        assert held.begun.wait(30)
        for number in range(1, 8):
            futures.append(pool.submit(group_commit.submit, double, number))
            while group_commit.waiting < number:
                threading.Event().wait(0.001)
        held.free.set()
        assert [future.result(30) for future in futures] == [2 * number for number in range(8)]
    assert held.groups == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_an_error_is_raised_where_the_work_was_asked_for_and_the_next_one_goes_on() -> None:
    def commit(writes: Sequence[PendingWrite]) -> None:
        if 1 in writes[0].items:
            raise LookupError("one")
        writes[0].perform(NO_CONNECTION)()

    group_commit = GroupCommit(commit)
    with pytest.raises(LookupError, match="one"):
        group_commit.submit(double, 1)
    assert group_commit.submit(double, 2) == 4
    assert group_commit.waiting == 0


def test_never_two_commits_at_once_and_every_item_exactly_once() -> None:
    held = HeldCommit()
    held.free.set()
    group_commit = GroupCommit(held)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda number: group_commit.submit(double, number), range(2000))) == [
            2 * number for number in range(2000)
        ]
    assert sorted(item for group in held.groups for item in group) == list(range(2000))


def test_a_database_that_is_gone_is_asked_once_for_all() -> None:
    asked: list[int] = []

    def commit(writes: Sequence[PendingWrite]) -> None:
        asked.append(len(writes[0].items))
        held.begun.set()
        assert held.free.wait(30)
        raise StoreUnavailable

    held = HeldCommit()
    group_commit = GroupCommit(commit)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(group_commit.submit, double, 0)]
        assert held.begun.wait(30)
        futures += [pool.submit(group_commit.submit, double, number) for number in (1, 2, 3)]
        while group_commit.waiting < 3:
            threading.Event().wait(0.001)
        held.free.set()
        assert all(isinstance(future.exception(30), StoreUnavailable) for future in futures)
    assert asked == [1, 3]


class Deadlock(Exception):
    sqlstate = "40P01"


def test_the_loser_of_a_deadlock_tries_again(tmp_path: Path) -> None:
    transactions = PostgresqlTransactions(create_engine(f"sqlite:///{tmp_path / 'things.sqlite'}"))
    tries: list[int] = []

    def lose_twice(_: Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise DBAPIError("UPDATE", {}, Deadlock())
        return len(tries)

    assert transactions.write(lose_twice) == 3
    transactions.close()


def test_other_errors_of_the_database_are_not_tried_again(tmp_path: Path) -> None:
    transactions = PostgresqlTransactions(create_engine(f"sqlite:///{tmp_path / 'things.sqlite'}"))
    tries: list[int] = []

    def fail(_: Connection) -> None:
        tries.append(1)
        raise DBAPIError("UPDATE", {}, ValueError())

    with pytest.raises(DBAPIError):
        transactions.write(fail)
    assert len(tries) == 1
    transactions.close()
