import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from common.errors import DiskFull, StoreUnavailable
from wes_service.store.database import upgrade
from wes_service.store.dialect import connect, parse_url
from wes_service.store.transactions import ManyWriters, OneWriter

COUNT = text("SELECT count(*) FROM things")


@pytest.fixture
def transactions(tmp_path: Path) -> Iterator[OneWriter]:
    url = f"sqlite:///{tmp_path / 'things.sqlite'}"
    upgrade(url)
    opened = connect(parse_url(url))
    assert isinstance(opened, OneWriter)
    opened.write(lambda connection: connection.execute(text("CREATE TABLE things (name TEXT PRIMARY KEY)")))
    yield opened
    opened.close()


def insert(connection: Connection, name: str) -> str:
    connection.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})
    return name


def count(connection: Connection) -> int:
    return int(connection.execute(COUNT).scalar_one())


def test_what_was_written_is_durable_before_its_caller_knows(transactions: OneWriter) -> None:
    assert transactions.write(lambda connection: connection.execute(text("PRAGMA synchronous")).scalar_one()) == 2


def test_a_reader_can_not_write(transactions: OneWriter) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        transactions.read(lambda connection: insert(connection, "a"))


def test_a_reader_sees_one_moment(transactions: OneWriter) -> None:
    def look_twice(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        transactions.write(lambda writer: insert(writer, "a"))
        return before, count(connection)

    assert transactions.read(look_twice) == (0, 0)
    assert transactions.read(count) == 1


def test_work_that_raises_leaves_nothing(transactions: OneWriter) -> None:
    def fail(connection: Connection) -> None:
        insert(connection, "a")
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        transactions.write(fail)
    assert transactions.read(count) == 0


def test_those_who_wait_are_committed_together_and_fail_alone(transactions: OneWriter) -> None:
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
        while transactions._gathering.waiting < 11:
            threading.Event().wait(0.001)
        free.set()
        assert first.result() == "first"
        assert isinstance(bad.exception(), LookupError)
        assert [one.result() for one in rest] == [f"{n}" for n in range(10)]
    assert len(begun) == 2
    assert transactions.read(count) == 11


def test_a_full_disk_is_said_in_words(transactions: OneWriter) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(text("PRAGMA max_page_count = 2"))
        for number in range(100):
            insert(connection, f"{number}" * 1000)

    with pytest.raises(DiskFull, match="free some space"):
        transactions.write(fill)
    transactions.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 100000")))
    assert transactions.write(lambda connection: insert(connection, "a")) == "a"


def test_a_locked_file_is_told_as_a_database_that_is_away(
    transactions: OneWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


class Deadlock(Exception):
    sqlstate = "40P01"


def test_the_loser_of_a_deadlock_tries_again(tmp_path: Path) -> None:
    transactions = ManyWriters(create_engine(f"sqlite:///{tmp_path / 'things.sqlite'}"))
    tries: list[int] = []

    def lose_twice(_: Connection) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise DBAPIError("UPDATE", {}, Deadlock())
        return len(tries)

    assert transactions.write(lose_twice) == 3
    transactions.close()


def test_other_errors_of_the_database_are_not_tried_again(tmp_path: Path) -> None:
    transactions = ManyWriters(create_engine(f"sqlite:///{tmp_path / 'things.sqlite'}"))
    tries: list[int] = []

    def fail(_: Connection) -> None:
        tries.append(1)
        raise DBAPIError("UPDATE", {}, ValueError())

    with pytest.raises(DBAPIError):
        transactions.write(fail)
    assert len(tries) == 1
    transactions.close()
