"""Runs that are stored together, on SQLite."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import IntegrityError

from common.errors import IdempotencyConflict
from tests.contract.store.stores import ANN, a_run
from wes_service.core.ports import IdempotencyKey
from wes_service.core.run import Run
from wes_service.store.database import Database, open_database, upgrade
from wes_service.store.transactions import SqliteTransactions


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'wes.sqlite'}"
    upgrade(url)
    opened = open_database(url)
    yield opened
    opened.close()


def add_at_once(database: Database, runs: list[tuple[Run, IdempotencyKey | None]]) -> list[Future[Run]]:
    """Adds runs, in this order, that all wait for the same commit."""
    transactions = database.transactions
    assert isinstance(transactions, SqliteTransactions)
    group_commit = transactions._group_commit
    busy, free = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        busy.set()
        assert free.wait(30)

    with ThreadPoolExecutor(len(runs) + 1) as pool:
        pool.submit(transactions.write, hold)
        assert busy.wait(30)
        added = []
        for number, (run, key) in enumerate(runs, start=1):
            added.append(pool.submit(database.runs.add, run, key))
            while group_commit.waiting < number:
                threading.Event().wait(0.001)
        free.set()
    return added


def test_runs_of_the_same_moment_are_one_transaction_and_one_statement_a_table(database: Database) -> None:
    assert isinstance(database.transactions, SqliteTransactions)
    statements: list[str] = []
    event.listen(
        database.transactions._writer, "before_cursor_execute", lambda *told: statements.append(told[2].split(" (")[0])
    )
    added = add_at_once(database, [(a_run(number), None) for number in range(12)])
    assert [each.result().id for each in added] == [a_run(number).id for number in range(12)]
    assert statements.count("INSERT INTO runs") == 1
    assert not [statement for statement in statements if statement.startswith("SAVEPOINT")]


def test_a_run_that_can_not_be_stored_harms_no_other_of_its_batch(database: Database) -> None:
    database.runs.add(a_run(7), None)
    added = add_at_once(database, [(a_run(number), None) for number in (1, 7, 2)])
    assert isinstance(added[1].exception(), IntegrityError)
    assert [added[number].result().id for number in (0, 2)] == [a_run(1).id, a_run(2).id]
    assert len(database.runs.page(ANN, 10, None).items) == 3


def test_one_key_within_a_batch_is_one_run_or_a_conflict(database: Database) -> None:
    same, other = IdempotencyKey(key="k", digest="d"), IdempotencyKey(key="k", digest="other")
    added = add_at_once(database, [(a_run(1), same), (a_run(2), same), (a_run(3), other), (a_run(4), None)])
    assert [each.result().id for each in added[:2]] == [a_run(1).id] * 2
    assert isinstance(added[2].exception(), IdempotencyConflict)
    assert added[3].result().id == a_run(4).id
    assert len(database.runs.page(ANN, 10, None).items) == 2
