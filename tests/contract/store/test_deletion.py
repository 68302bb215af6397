"""A deleted run is gone but for its tombstone."""

from dataclasses import replace

import pytest

from common.errors import IdempotencyConflict, KeyOfDeletedRun, RunNotEnded, RunNotFound, TaskNotFound
from common.paging import Cursor
from tests.contract.store.stores import ANN, BOB, Stores, a_run, a_task, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.ports import IdempotencyKey
from wes_service.core.run import TERMINAL, Owner, Run, RunFilter, RunState, Tombstone, request_digest

KEY = IdempotencyKey(key="order-1", digest="d")


def ended(stores: Stores, number: int = 1, state: RunState = RunState.COMPLETE, owner: Owner = ANN) -> Run:
    run = claimed(stores, number, owner)
    stores.tasks.add(lease_of(run), a_task(1, run))
    stores.runs.move(lease_of(run), RunState.RUNNING)
    if state is RunState.CANCELED:
        stores.runs.cancel(owner, run.id)
    return stores.runs.move(lease_of(run), state)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_deleted_run_is_gone_with_its_tasks_and_its_history(stores: Stores, state: RunState) -> None:
    run = ended(stores, state=state)
    stores.runs.delete(ANN, run.id)
    for ask in (stores.runs.get, stores.runs.events, stores.runs.cancel):
        with pytest.raises(RunNotFound):
            ask(ANN, run.id)
    with pytest.raises(TaskNotFound):
        stores.tasks.get(run.id, a_task(1, run).id)
    with pytest.raises(TaskNotFound):
        stores.tasks.find(ANN, a_task(1, run).id)
    assert stores.tasks.page(run.id, 10, None).items == []
    for wanted in (RunFilter(), RunFilter(tags=frozenset({"number:1"})), RunFilter(states=frozenset({state}))):
        assert stores.runs.page(ANN, 10, None, wanted).items == []


def test_its_tombstone_tells_who_when_and_how_it_ended(stores: Stores, clock: FakeClock) -> None:
    run = ended(stores)
    clock.advance(60)
    stores.runs.delete(ANN, run.id)
    assert stores.tombstones.page(10, None).items == [
        Tombstone(
            id=run.id,
            owner=ANN,
            state=RunState.COMPLETE,
            engine="cwltool",
            engine_version=None,
            created=run.created,
            started=run.started,
            ended=run.ended,
            deleted=clock.now(),
            purged=None,
            tasks=1,
            request_digest=request_digest(run),
        )
    ]


def test_a_digest_tells_requests_apart() -> None:
    run = a_run(1)
    other = replace(run, request=replace(run.request, workflow_params={}))
    assert len({request_digest(run), request_digest(other), request_digest(replace(run, attachments=()))}) == 3


def test_it_is_not_counted_any_more(stores: Stores) -> None:
    run, kept = ended(stores, 1), ended(stores, 2)
    stores.runs.delete(ANN, run.id)
    assert stores.runs.counts() == {RunState.COMPLETE: 1}
    stores.runs.delete(ANN, kept.id)
    assert not any(stores.runs.counts().values())


def test_deleting_twice_is_the_same_as_once(stores: Stores, clock: FakeClock) -> None:
    run = ended(stores)
    stores.runs.delete(ANN, run.id)
    once = stores.tombstones.page(10, None)
    clock.advance(1)
    stores.runs.delete(ANN, run.id)
    assert stores.tombstones.page(10, None) == once


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.INITIALIZING, RunState.RUNNING, RunState.CANCELING])
def test_a_run_that_goes_on_is_refused_and_stays(stores: Stores, state: RunState) -> None:
    run = stores.runs.add(a_run(1), None) if state is RunState.QUEUED else claimed(stores)
    if state in {RunState.RUNNING, RunState.CANCELING}:
        stores.runs.move(lease_of(run), state)
    with pytest.raises(RunNotEnded, match=f"{state}: cancel it first"):
        stores.runs.delete(ANN, run.id)
    assert stores.runs.get(ANN, run.id).state is state
    assert stores.tombstones.page(10, None).items == []


def test_a_run_of_another_is_as_good_as_none_before_and_after(stores: Stores) -> None:
    run = ended(stores)
    for _ in range(2):
        with pytest.raises(RunNotFound):
            stores.runs.delete(BOB, run.id)
        stores.runs.delete(ANN, run.id)
    with pytest.raises(RunNotFound):
        stores.runs.delete(ANN, "nowhere")


def test_the_runs_and_tasks_of_others_stay(stores: Stores) -> None:
    gone, stays, bobs = ended(stores, 1), ended(stores, 2), ended(stores, 3, owner=BOB)
    stores.runs.delete(ANN, gone.id)
    assert stores.runs.get(ANN, stays.id) == stays
    assert stores.runs.get(BOB, bobs.id) == bobs
    assert len(stores.runs.events(ANN, stays.id)) == 4
    assert stores.tasks.get(stays.id, a_task(1, stays).id)
    assert [run.id for run in stores.runs.page(ANN, 5, None, RunFilter(tags=frozenset({"number:2"}))).items] == [
        stays.id
    ]


@pytest.mark.parametrize("digest", ["d", "another"])
def test_the_key_of_a_deleted_run_starts_no_other(stores: Stores, digest: str) -> None:
    run = stores.runs.add(a_run(1), KEY)
    stores.runs.cancel(ANN, run.id)
    stores.runs.delete(ANN, run.id)
    with pytest.raises(KeyOfDeletedRun, match=f"{run.id}, which was deleted at") as refusal:
        stores.runs.add(a_run(2), replace(KEY, digest=digest))
    assert isinstance(refusal.value, IdempotencyConflict)
    assert stores.runs.page(ANN, 10, None).items == []
    assert stores.runs.add(a_run(2, BOB), KEY).owner == BOB
    assert stores.runs.add(a_run(3), replace(KEY, key="order-2")).id == a_run(3).id


def test_an_unpurged_tombstone_is_found_until_it_is_purged(stores: Stores, clock: FakeClock) -> None:
    runs = [ended(stores, number) for number in (2, 1)]
    assert stores.tombstones.unpurged() == []
    for run in runs:
        stores.runs.delete(ANN, run.id)
    assert stores.tombstones.unpurged() == [a_run(1).id, a_run(2).id]
    assert stores.tombstones.is_unpurged(a_run(1).id)
    clock.advance(5)
    done = clock.now()
    stores.tombstones.purged(a_run(1).id)
    clock.advance(5)
    stores.tombstones.purged(a_run(1).id)
    stores.tombstones.purged("nowhere")
    assert stores.tombstones.unpurged() == [a_run(2).id]
    assert not any(stores.tombstones.is_unpurged(run_id) for run_id in (a_run(1).id, a_run(3).id, "nowhere"))
    assert {stone.id: stone.purged for stone in stores.tombstones.page(10, None).items} == {
        a_run(1).id: done,
        a_run(2).id: None,
    }


def test_tombstones_are_paged_the_last_deleted_first(stores: Stores, clock: FakeClock) -> None:
    for number in (1, 2, 3, 4, 5):
        ended(stores, number)
    for number in (3, 1, 5, 2, 4):
        stores.runs.delete(ANN, a_run(number).id)
        clock.advance(1)
    seen, after = [], None
    for _ in range(3):
        page = stores.tombstones.page(2, after)
        seen += [stone.id for stone in page.items]
        after = page.next
    assert (seen, after) == ([a_run(number).id for number in (4, 2, 5, 1, 3)], None)
    assert stores.tombstones.page(2, Cursor(created=clock.now(), id="")).items[0].id == a_run(4).id


def test_strangers_are_those_that_no_run_and_no_tombstone_has(stores: Stores) -> None:
    gone, stays = ended(stores, 1), ended(stores, 2)
    stores.runs.delete(ANN, gone.id)
    many = [f"stranger-{number}" for number in range(1200)]
    assert stores.tombstones.unknown_runs([gone.id, *many, stays.id]) == set(many)
    assert stores.tombstones.unknown_runs([]) == set()
