from dataclasses import replace

import pytest

from common.errors import MoveRefused, StaleClaim
from tests.contract.store.stores import ANN, ENGINES, NOON, Stores, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.ports import Lease, RunChange
from wes_service.core.run import HELD, TERMINAL, EngineProcess, Run, RunState, may_move


def test_a_move_changes_the_state_and_keeps_the_rest(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores)
    clock.advance(3)
    moved = stores.runs.move(lease_of(run), RunState.RUNNING)
    assert moved == replace(run, state=RunState.RUNNING)
    assert stores.runs.get(ANN, run.id) == moved


@pytest.mark.parametrize("before", sorted(HELD))
@pytest.mark.parametrize("after", list(RunState))
def test_a_move_is_made_or_refused_by_the_table(stores: Stores, before: RunState, after: RunState) -> None:
    run = _in_state(stores, before)
    if may_move(before, after):
        assert stores.runs.move(lease_of(run), after).state == after
    else:
        with pytest.raises(MoveRefused):
            stores.runs.move(lease_of(run), after, RunChange(reason="no", lines=("no",)))
        assert stores.runs.get(ANN, run.id) == run


@pytest.mark.parametrize("after", sorted(TERMINAL - {RunState.COMPLETE}))
def test_a_terminal_move_ends_the_run_and_the_lease(stores: Stores, clock: FakeClock, after: RunState) -> None:
    run = _in_state(stores, RunState.CANCELING if after == RunState.CANCELED else RunState.RUNNING)
    clock.advance(3)
    ended = stores.runs.move(lease_of(run), after)
    assert (ended.ended, ended.worker) == (clock.now(), None)
    assert ended.started == run.started


@pytest.mark.parametrize("end", sorted(TERMINAL))
@pytest.mark.parametrize("after", list(RunState))
def test_nothing_leaves_a_terminal_state(stores: Stores, end: RunState, after: RunState) -> None:
    held = _in_state(stores, RunState.CANCELING if end == RunState.CANCELED else RunState.RUNNING)
    run = stores.runs.move(lease_of(held), end)
    with pytest.raises((StaleClaim, MoveRefused)):
        stores.runs.move(lease_of(held), after)
    with pytest.raises(StaleClaim):
        stores.runs.note(lease_of(held), RunChange(reason="later"))
    assert stores.runs.cancel(ANN, run.id) == run
    assert stores.runs.holders() == {}
    assert stores.runs.take_over("w2", {"w1": None}, ENGINES) is None
    assert stores.runs.get(ANN, run.id) == run


@pytest.mark.parametrize(("worker", "epoch"), [("w2", 1), ("w1", 0), ("w1", 2)])
def test_another_worker_or_epoch_is_refused(stores: Stores, worker: str, epoch: int) -> None:
    run = claimed(stores)
    stale = Lease(run_id=run.id, worker=worker, epoch=epoch)
    with pytest.raises(StaleClaim):
        stores.runs.move(stale, RunState.RUNNING)
    with pytest.raises(StaleClaim):
        stores.runs.note(stale, RunChange(reason="no"))
    assert stores.runs.get(ANN, run.id) == run


def test_a_lease_on_a_queued_or_unknown_run_is_stale(stores: Stores) -> None:
    stores.runs.add(a_run(1), None)
    for run_id in (a_run(1).id, "nowhere"):
        with pytest.raises(StaleClaim):
            stores.runs.move(Lease(run_id=run_id, worker="w1", epoch=0), RunState.INITIALIZING)


def test_a_move_writes_what_the_change_has_and_leaves_the_rest(stores: Stores) -> None:
    run = claimed(stores)
    process = EngineProcess(argv=("cwltool",), started=NOON)
    moved = stores.runs.move(lease_of(run), RunState.RUNNING, RunChange(lines=("one",), process=process))
    assert (moved.system_logs, moved.process, moved.reason, moved.outputs) == (("one",), process, None, {})
    change = RunChange(lines=("two", "three"), reason="All well.", outputs={"out": [1, {"class": "File"}]})
    ended = stores.runs.move(lease_of(run), RunState.COMPLETE, change)
    assert ended.system_logs == ("one", "two", "three")
    assert (ended.process, ended.reason, ended.outputs) == (process, "All well.", {"out": [1, {"class": "File"}]})
    assert stores.runs.get(ANN, run.id) == ended


def test_a_note_writes_without_a_move_and_without_an_event(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.note(lease_of(run), RunChange(lines=("one",), reason="So far."))
    stores.runs.note(lease_of(run), RunChange())
    assert stores.runs.get(ANN, run.id) == replace(run, system_logs=("one",), reason="So far.")
    assert [event.state for event in stores.runs.events(ANN, run.id)] == [RunState.QUEUED, RunState.INITIALIZING]


def test_a_reason_with_bytes_that_are_no_text_does_not_stop_the_move(stores: Stores) -> None:
    run = claimed(stores)
    reason = b"caf\xe9 is \0 closed".decode(errors="surrogateescape")
    ended = stores.runs.move(lease_of(run), RunState.EXECUTOR_ERROR, RunChange(reason=reason, lines=(reason,)))
    assert ended.state == RunState.EXECUTOR_ERROR
    assert (ended.reason or "").startswith("caf")
    assert (ended.reason or "").endswith(" closed")


def test_a_queued_run_is_canceled_at_once(stores: Stores, clock: FakeClock) -> None:
    run = stores.runs.add(a_run(1), None)
    clock.advance(2)
    canceled = stores.runs.cancel(ANN, run.id)
    assert (canceled.state, canceled.ended, canceled.started) == (RunState.CANCELED, clock.now(), None)
    states = [event.state for event in stores.runs.events(ANN, run.id)]
    assert states == [RunState.QUEUED, RunState.CANCELING, RunState.CANCELED]


@pytest.mark.parametrize("before", [RunState.INITIALIZING, RunState.RUNNING])
def test_a_held_run_is_canceling_until_its_worker_says_so(stores: Stores, before: RunState) -> None:
    run = _in_state(stores, before)
    assert stores.runs.cancel(ANN, run.id) == replace(run, state=RunState.CANCELING)
    with pytest.raises(MoveRefused):
        stores.runs.move(lease_of(run), RunState.COMPLETE)
    assert stores.runs.move(lease_of(run), RunState.CANCELED).state == RunState.CANCELED


def test_cancel_twice_is_cancel_once(stores: Stores) -> None:
    run = claimed(stores)
    assert stores.runs.cancel(ANN, run.id) == stores.runs.cancel(ANN, run.id)
    states = [event.state for event in stores.runs.events(ANN, run.id)]
    assert states == [RunState.QUEUED, RunState.INITIALIZING, RunState.CANCELING]


def test_a_canceled_run_is_not_claimed(stores: Stores) -> None:
    run = stores.runs.add(a_run(1), None)
    stores.runs.cancel(ANN, run.id)
    assert stores.runs.claim("w1", {"cwltool": ("3.1",)}) is None


def _in_state(stores: Stores, state: RunState) -> Run:
    run = claimed(stores)
    if state == RunState.RUNNING:
        return stores.runs.move(lease_of(run), RunState.RUNNING)
    return stores.runs.cancel(ANN, run.id) if state == RunState.CANCELING else run


def test_events_have_growing_numbers_and_are_read_of_many_runs_at_once(stores: Stores) -> None:
    runs = [claimed(stores, number) for number in (1, 2, 3)]
    last = {run.id: stores.runs.events(ANN, run.id)[-1].number for run in runs}
    assert stores.runs.events_after(last) == {}
    first = stores.runs.events_after({runs[0].id: 0})[runs[0].id]
    assert [event.state for event in first] == ["QUEUED", "INITIALIZING"]
    stores.runs.move(lease_of(runs[1]), RunState.RUNNING)
    stores.runs.move(lease_of(runs[1]), RunState.COMPLETE)
    found = stores.runs.events_after(last | {"run-of-nobody": 0})
    assert [event.state for event in found[runs[1].id]] == ["RUNNING", "COMPLETE"]
    assert found.keys() == {runs[1].id, "run-of-nobody"}
    assert not found["run-of-nobody"]
    numbers = [event.number for event in stores.runs.events(ANN, runs[1].id)]
    assert numbers == sorted(set(numbers))
    many = {f"run-of-nobody-{number}": 0 for number in range(1200)}
    assert len(stores.runs.events_after(many)) == 1200
