from datetime import timedelta

import pytest

from tests.contract.store.stores import ANN, BOB, ENGINES, Stores, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.errors import StaleClaim
from wes_service.core.ports import Change
from wes_service.core.run import Owner
from wes_service.core.state import HELD, RunState


def test_a_claim_is_a_lease_with_the_next_epoch(stores: Stores, clock: FakeClock) -> None:
    stores.runs.add(a_run(1), None)
    clock.advance(5)
    run = stores.runs.claim("w1", ENGINES, 10)
    assert run is not None
    assert (run.state, run.worker, run.epoch) == (RunState.INITIALIZING, "w1", 1)
    assert run.started == clock.now()
    assert run.lease_until == clock.now() + timedelta(seconds=10)
    assert stores.runs.get(ANN, run.id) == run


def test_nothing_is_claimed_where_nothing_is_queued(stores: Stores) -> None:
    assert stores.runs.claim("w1", ENGINES, 10) is None
    claimed(stores)
    assert stores.runs.claim("w2", ENGINES, 10) is None


def test_a_worker_gets_only_what_it_has_an_engine_for(stores: Stores) -> None:
    stores.runs.add(a_run(1, engine="snakemake"), None)
    stores.runs.add(a_run(2, version="1.0"), None)
    stores.runs.add(a_run(3, version="3.2"), None)
    stores.runs.add(a_run(4), None)
    taken = [stores.runs.claim("w1", ENGINES, 10) for _ in range(3)]
    assert [run and run.id for run in taken] == [a_run(3).id, a_run(4).id, None]


@pytest.mark.parametrize("engines", [{}, {"cwltool": ()}])
def test_a_worker_without_an_installed_engine_gets_nothing(stores: Stores, engines: dict[str, tuple[str, ...]]) -> None:
    stores.runs.add(a_run(1), None)
    assert stores.runs.claim("w1", engines, 10) is None


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


def test_a_renewal_prolongs_every_lease_of_this_worker_and_no_other(stores: Stores, clock: FakeClock) -> None:
    first, second = claimed(stores, 1), claimed(stores, 2)
    other = claimed(stores, 3, worker="w2")
    stores.runs.move(lease_of(second), RunState.RUNNING)
    clock.advance(6)
    assert stores.runs.renew("w1", 10) == {first.id: RunState.INITIALIZING, second.id: RunState.RUNNING}
    assert stores.runs.get(ANN, first.id).lease_until == clock.now() + timedelta(seconds=10)
    assert stores.runs.get(ANN, other.id).lease_until == other.lease_until


def test_a_renewal_tells_the_worker_of_a_cancellation(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.cancel(ANN, run.id)
    assert stores.runs.renew("w1", 10) == {run.id: RunState.CANCELING}


def test_a_renewal_does_not_bring_back_a_lease_that_has_ended(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores, seconds=10)
    clock.advance(10.000_001)
    assert stores.runs.renew("w1", 10) == {}
    assert stores.runs.get(ANN, run.id).lease_until == run.lease_until


def test_a_lease_holds_to_its_last_microsecond(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores, seconds=10)
    clock.advance(10)
    assert stores.runs.take_over("w2", 10) is None
    assert stores.runs.renew("w1", 10) == {run.id: RunState.INITIALIZING}


def test_a_run_that_has_ended_is_renewed_no_more(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    assert stores.runs.renew("w1", 10) == {}


def test_a_run_without_a_living_worker_is_taken_over_as_it_is(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores, seconds=10)
    stores.runs.move(lease_of(run), RunState.RUNNING)
    clock.advance(11)
    taken = stores.runs.take_over("w2", 20)
    assert taken is not None
    assert (taken.id, taken.state, taken.worker, taken.epoch) == (run.id, RunState.RUNNING, "w2", 2)
    assert taken.lease_until == clock.now() + timedelta(seconds=20)
    assert taken.started == run.started
    assert stores.runs.get(ANN, run.id) == taken
    assert stores.runs.take_over("w3", 20) is None


@pytest.mark.parametrize("state", sorted(HELD))
def test_a_run_can_be_taken_over_in_every_state_that_a_worker_holds(
    stores: Stores, clock: FakeClock, state: RunState
) -> None:
    run = claimed(stores, seconds=10)
    if state == RunState.RUNNING:
        stores.runs.move(lease_of(run), state)
    if state == RunState.CANCELING:
        stores.runs.cancel(ANN, run.id)
    clock.advance(11)
    taken = stores.runs.take_over("w2", 10)
    assert taken is not None
    assert taken.state == state


def test_nothing_is_taken_over_that_is_held_queued_or_ended(stores: Stores, clock: FakeClock) -> None:
    ended = claimed(stores, 1, seconds=1)
    stores.runs.move(lease_of(ended), RunState.SYSTEM_ERROR)
    claimed(stores, 2, seconds=100)
    stores.runs.add(a_run(3), None)
    clock.advance(50)
    assert stores.runs.take_over("w2", 10) is None


def test_the_run_that_is_lost_for_the_longest_time_is_taken_over_first(stores: Stores, clock: FakeClock) -> None:
    claimed(stores, 1, seconds=5)
    claimed(stores, 2, seconds=3)
    clock.advance(6)
    taken = [stores.runs.take_over("w2", 10) for _ in range(3)]
    assert [run and run.id for run in taken] == [a_run(2).id, a_run(1).id, None]


def test_the_worker_of_before_is_refused_after_a_take_over(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores, seconds=10)
    clock.advance(11)
    stores.runs.take_over("w2", 10)
    for attempt in (
        lambda: stores.runs.move(lease_of(run), RunState.RUNNING),
        lambda: stores.runs.note(lease_of(run), Change(lines=("late",))),
    ):
        with pytest.raises(StaleClaim):
            attempt()
    assert stores.runs.get(ANN, run.id).system_logs == ()


def test_a_worker_that_takes_over_its_own_run_must_use_the_new_epoch(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores, seconds=10)
    clock.advance(11)
    again = stores.runs.take_over("w1", 10)
    assert again is not None
    with pytest.raises(StaleClaim):
        stores.runs.move(lease_of(run), RunState.RUNNING)
    assert stores.runs.move(lease_of(again), RunState.RUNNING).state == RunState.RUNNING


def _claim_all(stores: Stores) -> list[int]:
    numbers = []
    while (run := stores.runs.claim("w1", ENGINES, 10)) is not None:
        numbers.append(int(run.id.removeprefix("run-")))
    return numbers
