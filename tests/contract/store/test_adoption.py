"""Runs of one owner become another's, with all by which they are found."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import KeyOfDeletedRun, RunNotFound
from tests.contract.store.opening import DATABASES, new_database
from tests.contract.store.stores import ANN, BOB, ENGINES, a_run, claimed, lease_of
from wes_service.core.ports import IdempotencyKey
from wes_service.core.run import ANONYMOUS, Run, RunFilter, RunState
from wes_service.store import adoption
from wes_service.store.adoption import adopt_runs, count_runs, unowned_runs_warning
from wes_service.store.database import Database, open_database

KEY = IdempotencyKey(key="order-1", digest="d")


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request, request.param, tmp_path, ready=True) as url:
        opened = open_database(url)
        yield opened
        opened.close()


def listed(database: Database, wanted: RunFilter | None = None) -> list[str]:
    return [item.id for item in database.runs.page(ANN, 100, None, wanted or RunFilter()).items]


def ended(database: Database, run: Run) -> None:
    taken = database.runs.claim("w1", ENGINES)
    assert taken is not None
    assert taken.id == run.id
    database.runs.move(lease_of(taken), RunState.SYSTEM_ERROR)


def test_they_are_read_and_found_by_their_new_owner_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "ADOPTED_PER_TRANSACTION", 2)
    for number in range(5):
        database.runs.add(a_run(number, ANONYMOUS), None)
    theirs = database.runs.add(a_run(5, ANN), None)
    other = database.runs.add(a_run(6, BOB), None)
    assert adopt_runs(database.transactions, ANONYMOUS, ANN) == 5
    assert listed(database) == [a_run(number).id for number in (5, 4, 3, 2, 1, 0)]
    assert listed(database, RunFilter(tags=frozenset({"number:3"}))) == [a_run(3).id]
    assert listed(database, RunFilter(tags=frozenset({"number:5"}))) == [theirs.id]
    assert database.runs.get(ANN, a_run(0).id) == a_run(0, ANN)
    assert database.runs.get(BOB, other.id) == other
    with pytest.raises(RunNotFound):
        database.runs.get(ANONYMOUS, a_run(0).id)
    assert database.runs.page(ANONYMOUS, 10, None, RunFilter(tags=frozenset({"number:3"}))).items == []
    assert (count_runs(database.transactions, ANONYMOUS), count_runs(database.transactions, ANN)) == (0, 6)
    assert adopt_runs(database.transactions, ANONYMOUS, ANN) == 0


def test_an_adopted_run_goes_on_and_can_be_deleted(database: Database) -> None:
    run = claimed(database, 1, ANONYMOUS)
    adopt_runs(database.transactions, ANONYMOUS, ANN)
    database.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    assert database.runs.counts() == {RunState.SYSTEM_ERROR: 1}
    database.runs.delete(ANN, run.id)
    assert count_runs(database.transactions, ANN) == 0
    assert listed(database, RunFilter(tags=frozenset({"number:1"}))) == []


def test_a_key_goes_with_its_run_so_that_no_sample_runs_twice(database: Database) -> None:
    run = database.runs.add(a_run(1, ANONYMOUS), KEY)
    adopt_runs(database.transactions, ANONYMOUS, ANN)
    assert database.runs.add(a_run(2, ANN), KEY).id == run.id


def test_the_key_of_a_deleted_run_goes_with_it_too(database: Database) -> None:
    run = database.runs.add(a_run(1, ANONYMOUS), KEY)
    ended(database, run)
    database.runs.delete(ANONYMOUS, run.id)
    adopt_runs(database.transactions, ANONYMOUS, ANN)
    with pytest.raises(KeyOfDeletedRun):
        database.runs.add(a_run(2, ANN), KEY)
    assert [stone.owner for stone in database.tombstones.page(10, None).items] == [ANN]


@pytest.mark.parametrize("deleted_before", [False, True])
@pytest.mark.parametrize("deleted_after", [False, True])
def test_where_both_used_a_key_all_runs_stay_and_all_can_be_deleted(
    database: Database, deleted_before: bool, deleted_after: bool
) -> None:
    for number, owner, deleted in ((1, ANONYMOUS, deleted_before), (2, ANN, deleted_after)):
        run = database.runs.add(a_run(number, owner), KEY)
        ended(database, run)
        if deleted:
            database.runs.delete(owner, run.id)
    adopt_runs(database.transactions, ANONYMOUS, ANN)
    if not deleted_after:
        assert database.runs.add(a_run(3, ANN), KEY).id == a_run(2).id
    for run_id in listed(database):
        database.runs.delete(ANN, run_id)
    assert len(database.tombstones.page(10, None).items) == 2
    with pytest.raises(KeyOfDeletedRun):
        database.runs.add(a_run(4, ANN), KEY)


def test_a_run_that_moves_meanwhile_is_counted_right(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "ADOPTED_PER_TRANSACTION", 3)
    for number in range(40):
        database.runs.add(a_run(number, ANONYMOUS), None)

    def work() -> None:
        while (run := database.runs.claim("w1", ENGINES)) is not None:
            database.runs.move(lease_of(run), RunState.SYSTEM_ERROR)

    worker = threading.Thread(target=work)
    worker.start()
    adopted = adopt_runs(database.transactions, ANONYMOUS, ANN)
    worker.join()
    assert adopted == 40
    assert (count_runs(database.transactions, ANONYMOUS), count_runs(database.transactions, ANN)) == (0, 40)
    assert database.runs.counts() == {RunState.SYSTEM_ERROR: 40}


def test_an_operator_is_told_how_many_there_are(database: Database) -> None:
    assert unowned_runs_warning(database.transactions) == ""
    database.runs.add(a_run(1, ANONYMOUS), None)
    database.runs.add(a_run(2, ANN), None)
    assert unowned_runs_warning(database.transactions).startswith("1 that")
    assert "wes runs adopt" in unowned_runs_warning(database.transactions)
