"""Runs that are stored together, on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from common.errors import IdempotencyConflict, StoreUnavailable
from tests.contract.store.stores import ANN, a_run
from wes_service.core.ports import IdempotencyKey
from wes_service.store.adding import Adder, NewRun
from wes_service.store.database import Database, open_database, upgrade
from wes_service.store.transactions import Result, Work


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'wes.sqlite'}"
    upgrade(url)
    opened = open_database(url)
    yield opened
    opened.close()


def batch(*numbers: int, key: IdempotencyKey | None = None) -> list[NewRun]:
    return [NewRun(run=a_run(number), key=key) for number in numbers]


def test_a_run_that_can_not_be_stored_harms_no_other_of_its_batch(database: Database) -> None:
    database.runs.add(a_run(7), None)
    together = batch(1, 7, 2)
    Adder(database.transactions).store(together)
    assert isinstance(together[1].end.exception(), IntegrityError)
    assert [new.end.result().id for new in (together[0], together[2])] == [a_run(1).id, a_run(2).id]
    assert len(database.runs.page(ANN, 10, None).items) == 3


def test_one_key_within_a_batch_is_one_run_or_a_conflict(database: Database) -> None:
    same = IdempotencyKey(key="k", digest="d")
    together = [*batch(1, 2, key=same), *batch(3, key=IdempotencyKey(key="k", digest="other")), *batch(4)]
    Adder(database.transactions).store(together)
    assert [new.end.result().id for new in together[:2]] == [a_run(1).id] * 2
    assert isinstance(together[2].end.exception(), IdempotencyConflict)
    assert together[3].end.result().id == a_run(4).id
    assert len(database.runs.page(ANN, 10, None).items) == 2


class Lost:
    """A database that is gone."""

    def __init__(self) -> None:
        self.asked = 0

    def read(self, work: Work[Result]) -> Result:
        raise AssertionError(f"{work} is not asked for")

    def write(self, work: Work[Result]) -> Result:
        self.asked += 1
        raise StoreUnavailable from LookupError(f"{work}")

    def close(self) -> None:
        self.asked = 0


def test_a_database_that_is_gone_is_asked_once_for_all() -> None:
    lost = Lost()
    together = batch(1, 2, 3)
    Adder(lost).store(together)
    assert all(isinstance(new.end.exception(), StoreUnavailable) for new in together)
    assert lost.asked == 1
