"""The outbox: written with the end of a run, shared out to hooks, taken by one at a time, kept for a while."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import NotificationNotFound
from common.hooks import HookSettings
from tests.contract.store.stores import ANN, BOB, Stores, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.notification import LEASE, HookTarget, Notification, NotificationState
from wes_service.core.ports import RunChange
from wes_service.core.run import TERMINAL, Owner, Run, RunState

LIMS = HookSettings(url="https://lims.example/hook", secret_file=Path("secret"))
ONLY_FAILURES = HookSettings(url="https://ops.example/hook", secret_file=Path("secret"), states=("EXECUTOR_ERROR",))
HOOKS = {"lims": LIMS, "ops": ONLY_FAILURES}
WAITING = NotificationState.WAITING


def ended(stores: Stores, number: int = 1, state: RunState = RunState.COMPLETE, owner: Owner = ANN) -> Run:
    run = claimed(stores, number, owner)
    stores.runs.move(lease_of(run), RunState.RUNNING)
    if state is RunState.CANCELED:
        stores.runs.cancel(owner, run.id)
    return stores.runs.move(lease_of(run), state, RunChange(reason="It ended."))


def with_webhook(stores: Stores, url: str, number: int = 1) -> Run:
    run = a_run(number)
    stores.runs.add(replace(run, request=replace(run.request, workflow_engine_parameters={"webhook": url})), None)
    return stores.runs.cancel(ANN, run.id)


def assigned(stores: Stores, clock: FakeClock) -> list[Notification]:
    while stores.notifications.assign(HOOKS, clock.now()):
        pass
    return list(stores.notifications.page(ANN, 100, None, None, None).items)


def taken(stores: Stores, clock: FakeClock, hook: str = "lims") -> Notification:
    found = stores.notifications.take(HookTarget(hook=hook), clock.now())
    assert found is not None
    return found


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_every_end_is_told_to_the_hooks_that_want_it(stores: Stores, clock: FakeClock, state: RunState) -> None:
    run = ended(stores, state=state)
    found = assigned(stores, clock)
    assert {each.hook for each in found} == ({"lims", "ops"} if state is RunState.EXECUTOR_ERROR else {"lims"})
    first = next(each for each in found if each.hook == "lims")
    assert (first.id, first.run_id, first.owner, first.state) == (f"{run.id}-ended-lims", run.id, ANN, WAITING)
    assert first.event["state"] == state.value
    assert first.event["tags"] == {"number": "1"}
    assert first.event["reason"] == "It ended."


def test_a_run_that_goes_on_is_told_to_nobody(stores: Stores, clock: FakeClock) -> None:
    stores.runs.move(lease_of(claimed(stores)), RunState.RUNNING)
    assert assigned(stores, clock) == []


def test_a_queued_run_that_is_cancelled_has_its_own_hook_told(stores: Stores, clock: FakeClock) -> None:
    run = with_webhook(stores, "https://ann.example/hook")
    found = {each.hook: each for each in assigned(stores, clock)}
    assert found.keys() == {"", "lims"}
    assert (found[""].url, found[""].id, found["lims"].url) == ("https://ann.example/hook", f"{run.id}-ended", None)
    assert stores.notifications.due_targets(clock.now()) == [HookTarget(hook="lims"), HookTarget(hook="", owner=ANN)]


def test_it_is_assigned_once_and_hooks_that_come_later_hear_nothing(stores: Stores, clock: FakeClock) -> None:
    ended(stores)
    assert stores.notifications.assign({}, clock.now())
    assert assigned(stores, clock) == []


def test_what_is_taken_is_nobody_elses_until_its_lease_is_over(stores: Stores, clock: FakeClock) -> None:
    ended(stores)
    assigned(stores, clock)
    first = taken(stores, clock)
    assert stores.notifications.take(HookTarget(hook="lims"), clock.now()) is None
    assert stores.notifications.due_targets(clock.now()) == []
    clock.advance(LEASE.total_seconds())
    assert taken(stores, clock).id == first.id


def test_what_was_tried_least_is_taken_first(stores: Stores, clock: FakeClock) -> None:
    ended(stores, 1)
    assigned(stores, clock)
    first = taken(stores, clock)
    stores.notifications.record(first, replace(first, due=clock.now(), attempts=1, problem="HTTP 400"))
    clock.advance(5)
    ended(stores, 2)
    assigned(stores, clock)
    assert taken(stores, clock).id != first.id
    assert taken(stores, clock).problem == "HTTP 400"


def test_an_attempt_that_lost_its_lease_writes_nothing(stores: Stores, clock: FakeClock) -> None:
    ended(stores)
    assigned(stores, clock)
    late = taken(stores, clock)
    clock.advance(LEASE.total_seconds() + 1)
    taken(stores, clock)
    stores.notifications.record(late, replace(late, due=None, attempts=1, delivered=clock.now()))
    assert assigned(stores, clock)[0].state is WAITING


def test_others_for_the_same_receiver_wait_when_it_does_not_answer(stores: Stores, clock: FakeClock) -> None:
    urls = ["https://ann.example/dead", "https://ann.example/dead", "https://ann.example/alive"]
    for number, url in enumerate(urls):
        with_webhook(stores, url, number)
    assigned(stores, clock)
    mine = HookTarget(hook="", owner=ANN)
    first = stores.notifications.take(mine, clock.now())
    assert first is not None
    stores.notifications.postpone(first, clock.now(), clock.now() + timedelta(seconds=30))
    again = stores.notifications.take(mine, clock.now())
    assert again is not None
    assert again.url == "https://ann.example/alive"
    assert stores.notifications.take(mine, clock.now()) is None
    assert stores.notifications.take(HookTarget(hook="lims"), clock.now()) is not None


def test_a_page_has_the_owners_newest_first_and_by_run_and_state(stores: Stores, clock: FakeClock) -> None:
    for number in range(1, 4):
        clock.advance(1)
        ended(stores, number)
    ended(stores, 9, owner=BOB)
    assert [each.run_id for each in assigned(stores, clock)] == ["run-000003", "run-000002", "run-000001"]
    first = stores.notifications.page(ANN, 2, None, None, WAITING)
    rest = stores.notifications.page(ANN, 2, first.next, None, WAITING)
    assert [each.run_id for each in (*first.items, *rest.items)] == ["run-000003", "run-000002", "run-000001"]
    assert rest.next is None
    assert [each.run_id for each in stores.notifications.page(ANN, 9, None, "run-000002", None).items] == ["run-000002"]
    assert stores.notifications.page(ANN, 9, None, "run-000009", None).items == []
    assert stores.notifications.page(ANN, 9, None, None, NotificationState.FAILED).items == []


def test_only_its_owner_has_one_delivered_again(stores: Stores, clock: FakeClock) -> None:
    ended(stores)
    assigned(stores, clock)
    gone = taken(stores, clock)
    stores.notifications.record(gone, replace(gone, due=None, attempts=9, problem="HTTP 410"))
    assert assigned(stores, clock)[0].state is NotificationState.FAILED
    for owner, name in ((BOB, gone.id), (ANN, "run-000001-ended")):
        with pytest.raises(NotificationNotFound):
            stores.notifications.redeliver(owner, name, clock.now())
    again = stores.notifications.redeliver(ANN, gone.id, clock.now())
    assert (again.id, again.state, again.attempts, again.problem) == (gone.id, WAITING, 0, None)


def test_what_is_not_delivered_is_counted_by_hook_and_state(stores: Stores, clock: FakeClock) -> None:
    ended(stores, 1)
    ended(stores, 2, RunState.EXECUTOR_ERROR)
    ended(stores, 3)
    assigned(stores, clock)
    one, other = taken(stores, clock), taken(stores, clock)
    stores.notifications.record(one, replace(one, due=None, attempts=1, delivered=clock.now()))
    stores.notifications.record(other, replace(other, due=None, attempts=1, problem="HTTP 410"))
    assert stores.notifications.counts() == {
        ("lims", WAITING): 1,
        ("lims", NotificationState.FAILED): 1,
        ("ops", WAITING): 1,
    }


def test_a_run_that_is_deleted_takes_what_is_over_along_and_leaves_what_waits(stores: Stores, clock: FakeClock) -> None:
    run = ended(stores, 1, RunState.EXECUTOR_ERROR)
    assigned(stores, clock)
    one = taken(stores, clock)
    stores.notifications.record(one, replace(one, due=None, attempts=1, delivered=clock.now()))
    stores.runs.delete(ANN, run.id)
    assert [each.hook for each in assigned(stores, clock)] == ["ops"]
    assert taken(stores, clock, "ops").event["state"] == "EXECUTOR_ERROR"


def test_a_run_may_be_deleted_before_anybody_has_looked(stores: Stores, clock: FakeClock) -> None:
    run = ended(stores)
    stores.runs.delete(ANN, run.id)
    assert [each.run_id for each in assigned(stores, clock)] == [run.id]


def test_what_is_over_is_removed_in_the_end_and_what_waits_is_not(stores: Stores, clock: FakeClock) -> None:
    for number in (1, 2, 3):
        ended(stores, number)
    assigned(stores, clock)
    delivered, failed = taken(stores, clock), taken(stores, clock)
    stores.notifications.record(delivered, replace(delivered, due=None, attempts=1, delivered=clock.now()))
    stores.notifications.record(failed, replace(failed, due=None, attempts=1, problem="HTTP 410"))
    clock.advance(8 * 86400)
    stores.notifications.remove_old(clock.now())
    assert len(assigned(stores, clock)) == 2
    clock.advance(30 * 86400)
    stores.notifications.remove_old(clock.now())
    assert [each.state for each in assigned(stores, clock)] == [WAITING]


def test_secrets_in_reasons_are_masked(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR, RunChange(reason="no answer of https://ann:hunter2@host/"))
    assert "hunter2" not in str(assigned(stores, clock)[0].event)
