from dataclasses import replace
from datetime import timedelta

from common.paging import Cursor
from tests.contract.store.stores import ANN, BOB, ENGINES, Stores, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.ports import RunChange
from wes_service.core.run import Owner, RunState

OUTPUTS = {"out": {"class": "File", "location": "wes-output:a/b.txt"}}


def ended(stores: Stores, clock: FakeClock, number: int, owner: Owner = ANN) -> str:
    run = claimed(stores, number, owner)
    stores.runs.move(lease_of(run), RunState.RUNNING)
    stores.runs.move(lease_of(run), RunState.COMPLETE, RunChange(outputs=OUTPUTS, lines=("one",)))
    clock.advance(60)
    return run.id


def test_runs_of_all_owners_come_in_the_order_of_their_ends(stores: Stores, clock: FakeClock) -> None:
    ids = [ended(stores, clock, number, owner) for number, owner in ((3, ANN), (1, BOB), (2, ANN))]
    claimed(stores, 4)
    stores.runs.add(a_run(5), None)
    found = stores.retention.ended_before(clock.now(), 10, None)
    assert ([run.id for run in found.items], found.next) == (ids, None)
    assert found.items[0].outputs == OUTPUTS
    assert found.items[0].ended == stores.runs.get(ANN, ids[0]).ended


def test_a_run_that_ended_later_is_left_out(stores: Stores, clock: FakeClock) -> None:
    first, second = (ended(stores, clock, number) for number in (1, 2))
    at_second = stores.runs.get(ANN, second).ended
    assert at_second is not None
    assert [run.id for run in stores.retention.ended_before(at_second, 10, None).items] == [first]
    assert stores.retention.ended_before(at_second - timedelta(days=1), 10, None).items == []


def test_they_are_paged(stores: Stores, clock: FakeClock) -> None:
    ids = [ended(stores, clock, number) for number in range(5)]
    found: list[str] = []
    after: Cursor | None = None
    while True:
        page = stores.retention.ended_before(clock.now(), 2, after)
        found += [run.id for run in page.items]
        if (after := page.next) is None:
            break
    assert found == ids


def test_a_run_that_is_resumed_keeps_its_folder_until_the_other_one_has_ended(stores: Stores, clock: FakeClock) -> None:
    first, second = (ended(stores, clock, number) for number in (1, 2))
    stores.runs.add(replace(a_run(3), parent=first), None)

    def found() -> list[str]:
        return [run.id for run in stores.retention.ended_before(clock.now(), 10, None).items]

    assert found() == [second]
    run = stores.runs.claim("w1", ENGINES)
    assert run is not None
    assert found() == [second]
    stores.runs.move(lease_of(run), RunState.EXECUTOR_ERROR)
    assert found() == [first, second]


def test_that_a_folder_is_gone_is_noted_once(stores: Stores, clock: FakeClock) -> None:
    run_id = ended(stores, clock, 1)
    assert stores.retention.work_removed(run_id, "two")
    noted = clock.now()
    clock.advance(60)
    assert not stores.retention.work_removed(run_id, "two")
    run = stores.runs.get(ANN, run_id)
    assert (run.work_removed, run.system_logs, run.state) == (noted, ("one", "two"), RunState.COMPLETE)
    assert stores.retention.ended_before(clock.now(), 10, None).items == []


def test_nothing_is_noted_of_a_run_that_goes_on_or_is_deleted(stores: Stores, clock: FakeClock) -> None:
    run_id = ended(stores, clock, 1)
    stores.runs.delete(ANN, run_id)
    assert not stores.retention.work_removed(run_id, "line")
    assert not stores.retention.work_removed(claimed(stores, 2).id, "line")
