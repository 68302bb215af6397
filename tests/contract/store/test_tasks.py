from dataclasses import replace
from typing import Any

import pytest

from common.errors import StaleClaim, TaskNotFound
from common.paging import TaskCursor
from tes.task import TASK_TERMINAL, PendingCancel, Task, TaskOfRun, TaskState, TesTask
from tests.contract.store.stores import ANN, BOB, ENGINES, NOON, Stores, a_task, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.run import RunState


def owed(task: Task, **fields: Any) -> PendingCancel:
    return PendingCancel(**{"run_id": task.run_id, "task_id": task.id, "tes_url": "http://a", "since": NOON, **fields})


def test_an_added_task_comes_back_as_it_was(stores: Stores) -> None:
    run = claimed(stores)
    task = replace(a_task(1, run), attempt=3, document={"logs": [{"start_time": "naïve \0"}]}, reason="so far")
    stores.tasks.add(lease_of(run), task)
    assert stores.tasks.get(run.id, task.id) == task


def test_a_task_without_key_and_tes_comes_back_without_them(stores: Stores) -> None:
    run = claimed(stores)
    task = replace(a_task(1, run), key=None)
    stores.tasks.add(lease_of(run), task)
    stored = stores.tasks.get(run.id, task.id)
    assert (stored.key, stored.tes_url, stored.tes_id, stored.reason) == (None, None, None, None)


def test_a_task_is_found_only_in_its_own_run(stores: Stores) -> None:
    run, other = claimed(stores, 1), claimed(stores, 2)
    stores.tasks.add(lease_of(run), a_task(1, run))
    for run_id, task_id in ((other.id, a_task(1, run).id), (run.id, "nothing")):
        with pytest.raises(TaskNotFound):
            stores.tasks.get(run_id, task_id)


def test_a_task_is_found_by_its_id_for_its_owner_alone(stores: Stores) -> None:
    run = claimed(stores)
    stores.tasks.add(lease_of(run), a_task(1, run))
    assert stores.tasks.find(ANN, a_task(1, run).id) == a_task(1, run)
    for owner, task_id in ((BOB, a_task(1, run).id), (ANN, "nothing")):
        with pytest.raises(TaskNotFound):
            stores.tasks.find(owner, task_id)


def test_a_task_of_a_run_that_is_another_workers_by_now_is_refused(stores: Stores) -> None:
    run = claimed(stores)
    taken = stores.runs.take_over("w2", {"w1": None}, ENGINES)
    assert taken is not None
    with pytest.raises(StaleClaim):
        stores.tasks.add(lease_of(run), a_task(1, run))
    stores.tasks.add(lease_of(taken), a_task(2, run))
    assert [task.id for task in stores.tasks.page(run.id, 10, None).items] == [a_task(2, run).id]


def test_a_task_of_a_run_that_has_ended_is_refused(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    with pytest.raises(StaleClaim):
        stores.tasks.add(lease_of(run), a_task(1, run))


def test_an_update_writes_what_the_tes_said_and_nothing_else(stores: Stores) -> None:
    run = claimed(stores)
    task = a_task(1, run)
    stores.tasks.add(lease_of(run), task)
    news = replace(
        task,
        state=TaskState.RUNNING,
        tes_url="http://tes",
        tes_id="t1",
        document={"state": "RUNNING"},
        reason="placed",
    )
    stores.tasks.update(lease_of(run), replace(news, name="other", body={}, key="other", attempt=9, created=NOON))
    assert stores.tasks.get(run.id, task.id) == news


@pytest.mark.parametrize("end", sorted(TASK_TERMINAL))
def test_a_terminal_task_stays_as_it_is(stores: Stores, end: TaskState) -> None:
    run = claimed(stores)
    task = a_task(1, run)
    stores.tasks.add(lease_of(run), task)
    ended = replace(task, state=end, document={"name": "final"}, reason="over")
    stores.tasks.update(lease_of(run), ended)
    for state in TaskState:
        stores.tasks.update(lease_of(run), replace(task, state=state, document={"name": "late"}, reason="late"))
    assert stores.tasks.get(run.id, task.id) == ended


def test_an_update_of_an_unknown_task_is_not_lost_silently(stores: Stores) -> None:
    run = claimed(stores)
    with pytest.raises(TaskNotFound):
        stores.tasks.update(lease_of(run), a_task(1, run))


def test_an_update_by_a_worker_that_has_lost_the_run_is_refused(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores)
    task = a_task(1, run)
    stores.tasks.add(lease_of(run), task)
    taken = stores.runs.take_over("w2", {"w1": None}, ENGINES)
    assert taken is not None
    with pytest.raises(StaleClaim):
        stores.tasks.update(lease_of(run), replace(task, state=TaskState.CANCELED), [owed(task)])
    assert stores.tasks.get(run.id, task.id) == task
    assert list(stores.tasks.due_cancels(clock.now(), 10)) == []
    stores.tasks.update(lease_of(taken), replace(task, state=TaskState.RUNNING))


def test_a_task_that_is_added_twice_is_there_once_as_it_was(stores: Stores) -> None:
    run = claimed(stores)
    stores.tasks.add(lease_of(run), a_task(1, run))
    stores.tasks.add(lease_of(run), a_task(1, run))
    assert stores.tasks.page(run.id, 10, None).items == [a_task(1, run)]


def test_a_pending_cancel_is_given_to_one_until_it_is_due_again(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores)
    task = a_task(1, run)
    stores.tasks.add(lease_of(run), task)
    wanted = [owed(task, since=clock.now()), owed(task, since=clock.now(), submission=2, tes_id="7")]
    stores.tasks.update(lease_of(run), replace(task, state=TaskState.CANCELED), wanted)
    found = [*stores.tasks.due_cancels(clock.now(), 1), *stores.tasks.due_cancels(clock.now(), 1)]
    assert sorted(found, key=lambda cancel: cancel.submission) == wanted
    assert list(stores.tasks.due_cancels(clock.now(), 10)) == []
    clock.advance(5)
    assert len(stores.tasks.due_cancels(clock.now(), 10)) == 2
    clock.advance(1000)
    assert len(stores.tasks.due_cancels(clock.now(), 10)) == 2
    clock.advance(199)
    assert list(stores.tasks.due_cancels(clock.now(), 10)) == []


def test_a_pending_cancel_that_was_found_keeps_its_name_and_one_that_is_done_is_gone(
    stores: Stores, clock: FakeClock
) -> None:
    run = claimed(stores)
    task = a_task(1, run)
    stores.tasks.add(lease_of(run), task)
    first, second = [owed(task, tes_url=url, since=clock.now()) for url in ("http://a", "http://b")]
    stores.tasks.update(lease_of(run), replace(task, state=TaskState.CANCELED), [first, second])
    stores.tasks.name_cancel(replace(first, tes_id="9"))
    stores.tasks.remove_cancel(second)
    stores.tasks.remove_cancel(second)
    assert list(stores.tasks.due_cancels(clock.now(), 10)) == [replace(first, tes_id="9")]


def test_a_run_that_ends_leaves_no_task_open_and_what_a_tes_may_have_is_to_be_cancelled(
    stores: Stores, clock: FakeClock
) -> None:
    run = claimed(stores)
    lost: TesTask = {"logs": [{"logs": [], "metadata": {"wes.submission": "1"}}, {"logs": []}]}
    tasks = [replace(a_task(number, run), document=lost) for number in range(3)]
    stores.tasks.add(lease_of(run), replace(tasks[0], tes_url="http://a", tes_id="7"))
    stores.tasks.add(lease_of(run), tasks[1])
    stores.tasks.add(lease_of(run), replace(tasks[2], state=TaskState.COMPLETE))
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    assert stores.tasks.open(run.id) == []
    assert stores.tasks.counts(run.id) == {"SYSTEM_ERROR": 2, "COMPLETE": 1}
    stores.runs.delete(ANN, run.id)
    found = sorted(stores.tasks.due_cancels(clock.now(), 10), key=lambda cancel: cancel.tes_url)
    assert [(cancel.tes_url, cancel.tes_id, cancel.submission) for cancel in found] == [
        ("", None, 2),
        ("http://a", "7", 2),
    ]


def test_pages_hold_every_task_once_oldest_first(stores: Stores) -> None:
    run, other = claimed(stores, 1), claimed(stores, 2)
    for number in (4, 1, 3, 0, 2):
        stores.tasks.add(lease_of(run), a_task(number, run))
        stores.tasks.add(lease_of(other), a_task(number, other))
    assert _walk(stores, run.id, 2) == [a_task(number, run).id for number in range(5)]


def test_tasks_of_one_microsecond_are_paged_by_id_to_the_last_filled_page(stores: Stores) -> None:
    run = claimed(stores)
    for number in (3, 0, 2, 1):
        stores.tasks.add(lease_of(run), replace(a_task(number, run), created=NOON))
    assert _walk(stores, run.id, 2) == [a_task(number, run).id for number in range(4)]


def test_a_run_without_tasks_has_one_empty_page(stores: Stores) -> None:
    page = stores.tasks.page(claimed(stores).id, 5, None)
    assert (page.items, page.next) == ([], None)


def test_open_tasks_are_those_that_are_not_terminal_oldest_first(stores: Stores) -> None:
    run, other = claimed(stores, 1), claimed(stores, 2)
    for number, state in enumerate(reversed(TaskState)):
        stores.tasks.add(lease_of(run), replace(a_task(20 - number, run), state=state))
    stores.tasks.add(lease_of(other), a_task(1, other))
    found = [task.state for task in stores.tasks.open(run.id)]
    assert found == [state for state in TaskState if state not in TASK_TERMINAL]


def test_counts_are_per_run_and_state(stores: Stores) -> None:
    run, other = claimed(stores, 1), claimed(stores, 2)
    for number in range(3):
        stores.tasks.add(lease_of(run), a_task(number, run))
    stores.tasks.add(lease_of(other), a_task(1, other))
    stores.tasks.update(lease_of(run), replace(a_task(0, run), state=TaskState.COMPLETE))
    assert stores.tasks.counts(run.id) == {"QUEUED": 2, "COMPLETE": 1}
    assert stores.tasks.counts("nowhere") == {}


def _walk(stores: Stores, run_id: str, size: int) -> list[str]:
    """Every task's id, while each page but the last is full and none is empty."""
    ids: list[str] = []
    after = None
    for _ in range(1000):
        page = stores.tasks.page(run_id, size, after)
        assert len(page.items) == size or (page.items and page.next is None)
        ids += [task.id for task in page.items]
        after = page.next
        if after is None:
            return ids
    raise AssertionError("there is no last page")


def test_a_tes_that_moved_is_named_by_its_new_url_wherever_the_old_one_is_stored(stores: Stores) -> None:
    run = claimed(stores)
    here, there = (
        replace(a_task(number, run), tes_url=url, tes_id=f"t{number}")
        for number, url in ((1, "http://a"), (2, "http://b"))
    )
    for task in (here, there):
        stores.tasks.add(lease_of(run), task)
    stores.tasks.update(lease_of(run), here, [owed(here), owed(there, tes_url="http://b")])
    stores.tasks.rename_tes("http://a", "http+unix://%2Ft.sock/v1")
    assert [task.tes_url for task in stores.tasks.open(run.id)] == ["http+unix://%2Ft.sock/v1", "http://b"]
    due = {cancel.task_id: cancel.tes_url for cancel in stores.tasks.due_cancels(NOON, 10)}
    assert due == {here.id: "http+unix://%2Ft.sock/v1", there.id: "http://b"}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_tasks_of_all_of_an_owners_runs_are_listed_page_by_page(stores: Stores, size: int) -> None:
    expected: list[str] = []
    for number, owner in ((1, ANN), (2, BOB), (3, ANN), (4, ANN)):
        run = claimed(stores, number, owner)
        for task in (a_task(each, run) for each in range(number)):
            stores.tasks.add(lease_of(run), task)
        if owner == ANN:
            expected = [a_task(each, run).id for each in range(number)] + expected
    found: list[str] = []
    place: TaskCursor | None = None
    while page := stores.tasks.all_of(ANN, size, place):
        assert len(page) <= size
        place = page[-1][0]
        found += [task.id for _, task in page]
    assert found == expected
    assert [task.id for _, task in stores.tasks.all_of(ANN, 9, None, "run-000003")] == expected[4:7]
    assert stores.tasks.all_of(ANN, 9, None, "run-000002") == []


def reused(task: Task, key: str = "k", state: TaskState = TaskState.COMPLETE) -> Task:
    return replace(task, state=state, reuse_key=key, reused_from=TaskOfRun(run_id="r", task_id="t"))


def test_what_a_task_reused_comes_back(stores: Stores) -> None:
    run = claimed(stores)
    stores.tasks.add(lease_of(run), a_task(1, run))
    stores.tasks.update(lease_of(run), reused(a_task(1, run)))
    assert stores.tasks.get(run.id, a_task(1, run).id) == reused(a_task(1, run))


def test_tasks_that_may_be_reused_are_those_of_the_owner_with_the_key_that_ended_well(stores: Stores) -> None:
    first, second, bobs = claimed(stores, 1), claimed(stores, 2), claimed(stores, 3, BOB)
    for run in (first, second, bobs):
        stores.tasks.add(lease_of(run), reused(a_task(int(run.id[-1]), run)))
    for number, (key, state) in enumerate(
        [("other", TaskState.COMPLETE), *(("k", state) for state in TaskState if state is not TaskState.COMPLETE)]
    ):
        stores.tasks.add(lease_of(first), reused(a_task(10 + number, first), key, state))
    found = stores.tasks.reusable(ANN, "k", None, 10)
    assert [task.run_id for task in found] == [second.id, first.id]
    assert [task.run_id for task in stores.tasks.reusable(ANN, "k", [first.id, bobs.id], 10)] == [first.id]
    assert len(stores.tasks.reusable(ANN, "k", None, 1)) == 1
    (same_step,) = stores.tasks.reusable(ANN, "k", None, 1, a_task(1, first).key)
    assert same_step.run_id == first.id
    assert [task.run_id for task in stores.tasks.reusable(BOB, "k", None, 10)] == [bobs.id]
    assert not stores.tasks.reusable(BOB, "k", [first.id], 10)


def test_tasks_of_a_deleted_run_are_not_reused(stores: Stores) -> None:
    run = claimed(stores)
    stores.tasks.add(lease_of(run), reused(a_task(1, run)))
    stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    stores.runs.delete(ANN, run.id)
    assert not stores.tasks.reusable(ANN, "k", None, 10)
