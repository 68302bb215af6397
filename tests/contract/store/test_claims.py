from dataclasses import replace

import pytest

from common.errors import StaleClaim
from tests.contract.store.stores import ANN, BOB, ENGINES, Stores, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.liveness import only_ends
from wes_service.core.ports import ClaimStatus, Lease, RunChange, WorkerInfo
from wes_service.core.run import HELD, Owner, RunState


def test_a_claim_is_a_lease_with_the_next_epoch(stores: Stores, clock: FakeClock) -> None:
    stores.runs.add(a_run(1), None)
    clock.advance(5)
    run = stores.runs.claim("w1", ENGINES)
    assert run is not None
    assert (run.state, run.worker, run.epoch) == (RunState.INITIALIZING, "w1", 1)
    assert run.started == clock.now()
    assert stores.runs.get(ANN, run.id) == run


def test_nothing_is_claimed_where_nothing_is_queued(stores: Stores) -> None:
    assert stores.runs.claim("w1", ENGINES) is None
    claimed(stores)
    assert stores.runs.claim("w2", ENGINES) is None


def test_a_worker_gets_only_what_it_has_an_engine_for(stores: Stores) -> None:
    stores.runs.add(a_run(1, engine="snakemake"), None)
    stores.runs.add(a_run(2, version="1.0"), None)
    stores.runs.add(a_run(3, version="3.2"), None)
    stores.runs.add(a_run(4), None)
    taken = [stores.runs.claim("w1", ENGINES) for _ in range(3)]
    assert [run and run.id for run in taken] == [a_run(3).id, a_run(4).id, None]


@pytest.mark.parametrize("engines", [{}, {"cwltool": ()}])
def test_a_worker_without_an_installed_engine_gets_nothing(stores: Stores, engines: dict[str, tuple[str, ...]]) -> None:
    stores.runs.add(a_run(1), None)
    assert stores.runs.claim("w1", engines) is None


def test_one_owner_gets_the_oldest_run_first(stores: Stores) -> None:
    for number in (2, 1, 3):
        stores.runs.add(a_run(number), None)
    assert _claim_all(stores) == [1, 2, 3]


def test_owners_take_turns_however_many_runs_one_has_queued(stores: Stores) -> None:
    for number in (1, 2, 3, 4):
        stores.runs.add(a_run(number), None)
    for number in (5, 6):
        stores.runs.add(a_run(number, BOB), None)
    assert _claim_all(stores) == [1, 5, 2, 6, 3, 4]


def test_an_owners_runs_are_claimed_by_priority_then_by_age(stores: Stores) -> None:
    for number, priority in ((1, None), (2, -5), (3, 100), (4, 0), (5, 100)):
        stores.runs.add(a_run(number, priority=priority), None)
    assert _claim_all(stores) == [3, 5, 1, 4, 2]


def test_a_priority_passes_over_nobody_elses_run(stores: Stores) -> None:
    for number in (1, 2):
        stores.runs.add(a_run(number, BOB), None)
    for number in (3, 4):
        stores.runs.add(a_run(number, priority=100), None)
    assert _claim_all(stores) == [1, 3, 2, 4]


def test_a_run_with_priority_that_fits_no_engine_here_holds_up_nobody(stores: Stores) -> None:
    stores.runs.add(a_run(1), None)
    stores.runs.add(a_run(2, engine="snakemake", priority=1), None)
    assert _claim_all(stores) == [1]


def test_nobody_has_more_runs_at_once_than_the_limit(stores: Stores) -> None:
    for number in (1, 2, 3):
        stores.runs.add(a_run(number), None)
    stores.runs.add(a_run(4, BOB), None)
    assert _claim_all(stores, owner_slots=2) == [1, 4, 2]
    held = stores.runs.held("w1")
    stores.runs.cancel(ANN, a_run(1).id)
    assert _claim_all(stores, owner_slots=2) == [], "a run that is being cancelled is held still"
    lease = Lease(run_id=a_run(1).id, worker="w1", epoch=held[a_run(1).id].epoch)
    stores.runs.move(lease, RunState.CANCELED)
    assert _claim_all(stores, owner_slots=2) == [3]


def test_an_owner_whose_run_has_ended_is_served_again(stores: Stores) -> None:
    run = claimed(stores, 1)
    stores.runs.add(a_run(2), None)
    stores.runs.add(a_run(3, BOB), None)
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    assert _claim_all(stores) == [2, 3]


def test_an_owner_whose_only_run_fits_no_engine_here_holds_up_nobody(stores: Stores) -> None:
    claimed(stores, 1, BOB)
    stores.runs.add(a_run(2, BOB), None)
    stores.runs.add(a_run(3, ANN, engine="snakemake"), None)
    assert _claim_all(stores) == [2]


def test_owners_with_the_same_subject_at_two_issuers_are_two(stores: Stores) -> None:
    other_ann = Owner(issuer="https://other.example", subject=ANN.subject)
    for number in (1, 2):
        stores.runs.add(a_run(number), None)
    stores.runs.add(a_run(3, other_ann), None)
    assert _claim_all(stores) == [1, 3, 2]


def test_a_worker_learns_what_it_holds_and_in_which_state(stores: Stores) -> None:
    first, second = claimed(stores, 1), claimed(stores, 2)
    claimed(stores, 3, worker="w2")
    stores.runs.move(lease_of(second), RunState.RUNNING)
    assert stores.runs.held("w1") == {
        first.id: ClaimStatus(epoch=1, state=RunState.INITIALIZING),
        second.id: ClaimStatus(epoch=1, state=RunState.RUNNING),
    }
    assert stores.runs.held("w3") == {}


def test_a_worker_learns_of_a_cancellation(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.cancel(ANN, run.id)
    assert stores.runs.held("w1") == {run.id: ClaimStatus(epoch=1, state=RunState.CANCELING)}


def test_a_run_that_has_ended_is_held_no_more(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    assert (stores.runs.held("w1"), stores.runs.holders()) == ({}, {})


def test_the_run_of_a_lease_is_read_by_its_holder_only(stores: Stores) -> None:
    run = claimed(stores)
    assert stores.runs.held_run(lease_of(run)) == run
    with pytest.raises(StaleClaim):
        stores.runs.held_run(replace(lease_of(run), epoch=0))


def test_those_who_hold_runs_are_told_with_their_heartbeats(stores: Stores) -> None:
    for number, worker in enumerate(("w1", "w1", "w2")):
        claimed(stores, number, worker=worker)
    for _ in range(2):
        stores.workers.beat(WorkerInfo(id="w1", host="h"))
    stores.workers.beat(WorkerInfo(id="idle", host="h"))
    assert stores.runs.holders() == {"w1": 2, "w2": None}


def test_the_run_of_a_silent_worker_is_taken_over_as_it_is(stores: Stores) -> None:
    stores.workers.beat(WorkerInfo(id="w1", host="h"))
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.RUNNING)
    taken = stores.runs.take_over("w2", {"w1": 1}, ENGINES)
    assert taken is not None
    assert (taken.id, taken.state, taken.worker, taken.epoch) == (run.id, RunState.RUNNING, "w2", 2)
    assert (taken.started, taken.losses) == (run.started, 1)
    assert stores.runs.get(ANN, run.id) == taken
    assert stores.runs.counts() == {RunState.RUNNING: 1}
    told = "The worker w1 was lost (killed, or its machine went down); the worker w2 goes on with the run, attempt 2."
    assert taken.system_logs == (told,)
    assert [(event.state, event.reason) for event in stores.runs.events(ANN, run.id)][2:] == [
        (RunState.RUNNING, None),
        (RunState.RUNNING, told),
    ]
    assert stores.runs.take_over("w3", {"w1": 1}, ENGINES) is None


@pytest.mark.parametrize("beats", [None, 1, 3])
def test_a_worker_that_beats_after_all_keeps_its_runs(stores: Stores, beats: int | None) -> None:
    for _ in range(2):
        stores.workers.beat(WorkerInfo(id="w1", host="h"))
    run = claimed(stores)
    assert stores.runs.take_over("w2", {"w1": beats}, ENGINES) is None
    assert stores.runs.get(ANN, run.id) == run


def test_a_worker_that_is_suspended_for_however_long_goes_on_where_nobody_took_its_runs(
    stores: Stores, clock: FakeClock
) -> None:
    stores.workers.beat(WorkerInfo(id="w1", host="h"))
    run = claimed(stores)
    for seconds in (10**6, -(10**7)):
        clock.advance(seconds)
        stores.workers.beat(WorkerInfo(id="w1", host="h"))
        assert set(stores.runs.held("w1")) == {run.id}
    assert stores.runs.move(lease_of(run), RunState.RUNNING).worker == "w1"


def test_what_a_worker_that_left_still_holds_is_taken_over_at_once(stores: Stores) -> None:
    stores.workers.beat(WorkerInfo(id="w1", host="h"))
    claimed(stores)
    stores.workers.remove("w1")
    assert stores.runs.holders() == {"w1": None}
    assert stores.runs.take_over("w2", {"w1": 1}, ENGINES) is None
    taken = stores.runs.take_over("w2", {"w1": None}, ENGINES)
    assert taken is not None
    assert (taken.losses, "The worker w1 was stopped; the worker w2 goes on" in taken.system_logs[0]) == (0, True)


@pytest.mark.parametrize("state", sorted(HELD))
def test_a_run_can_be_taken_over_in_every_state_that_a_worker_holds(stores: Stores, state: RunState) -> None:
    run = claimed(stores)
    if state == RunState.RUNNING:
        stores.runs.move(lease_of(run), state)
    if state == RunState.CANCELING:
        stores.runs.cancel(ANN, run.id)
    taken = stores.runs.take_over("w2", {"w1": None}, ENGINES)
    assert taken is not None
    assert taken.state == state


@pytest.mark.parametrize("engines", [{}, {"cwltool": ()}, {"snakemake": ("3.1",)}, {"cwltool": ("3.2",)}])
def test_a_run_is_taken_over_by_a_worker_that_has_its_engine_and_version(
    stores: Stores, engines: dict[str, tuple[str, ...]]
) -> None:
    run = claimed(stores)
    stores.runs.note(lease_of(run), RunChange(engine_version="3.1"))
    assert stores.runs.take_over("w2", {"w1": None}, engines) is None
    taken = stores.runs.take_over("w2", {"w1": None}, {"cwltool": ("3.1",)})
    assert taken is not None
    assert taken.engine_version == "3.1"


@pytest.mark.parametrize("canceled", [True, False])
def test_a_run_that_is_only_to_be_ended_is_taken_over_by_any_worker(stores: Stores, canceled: bool) -> None:
    stores.workers.beat(WorkerInfo(id="w1", host="h"))
    run = claimed(stores)
    if canceled:
        stores.runs.cancel(ANN, run.id)
    else:
        for _ in range(2):
            assert stores.runs.take_over("w1", {"w1": 1}, ENGINES) is not None
    taken = stores.runs.take_over("w2", {"w1": 1}, {})
    assert taken is not None
    assert (taken.losses, only_ends(taken.state, taken.losses)) == (1 if canceled else 3, True)


def test_what_was_fetched_is_known_to_the_next_attempt(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.note(lease_of(run), RunChange(fetched_document="flows/main.cwl"))
    stores.runs.note(lease_of(run), RunChange(lines=("more",)))
    taken = stores.runs.take_over("w2", {"w1": None}, ENGINES)
    assert taken is not None
    assert taken.fetched_document == "flows/main.cwl"


def test_nothing_is_taken_over_that_is_another_workers_queued_or_ended(stores: Stores) -> None:
    ended = claimed(stores, 1)
    stores.runs.move(lease_of(ended), RunState.SYSTEM_ERROR)
    claimed(stores, 2, worker="w3")
    stores.runs.add(a_run(3), None)
    assert stores.runs.take_over("w2", {"w1": None}, ENGINES) is None


def test_all_runs_of_lost_workers_are_taken_over_one_by_one(stores: Stores) -> None:
    claimed(stores, 1)
    claimed(stores, 2)
    claimed(stores, 3, worker="w3")
    taken = [stores.runs.take_over("w2", {"w1": None, "w3": None}, ENGINES) for _ in range(4)]
    assert [run and run.id for run in taken] == [a_run(1).id, a_run(2).id, a_run(3).id, None]


def test_the_worker_of_before_is_refused_after_a_take_over(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.take_over("w2", {"w1": None}, ENGINES)
    for attempt in (
        lambda: stores.runs.move(lease_of(run), RunState.RUNNING),
        lambda: stores.runs.note(lease_of(run), RunChange(lines=("late",))),
    ):
        with pytest.raises(StaleClaim):
            attempt()
    assert "late" not in stores.runs.get(ANN, run.id).system_logs


def test_a_worker_that_takes_over_its_own_run_must_use_the_new_epoch(stores: Stores) -> None:
    run = claimed(stores)
    again = stores.runs.take_over("w1", {"w1": None}, ENGINES)
    assert again is not None
    with pytest.raises(StaleClaim):
        stores.runs.move(lease_of(run), RunState.RUNNING)
    assert stores.runs.move(lease_of(again), RunState.RUNNING).state == RunState.RUNNING


def _claim_all(stores: Stores, owner_slots: int | None = None) -> list[int]:
    numbers = []
    while (run := stores.runs.claim("w1", ENGINES, owner_slots)) is not None:
        numbers.append(int(run.id.removeprefix("run-")))
    return numbers
