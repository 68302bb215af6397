from dataclasses import replace
from datetime import timedelta

import pytest

from common.errors import IdempotencyConflict, RunNotFound, TaskNotFound
from common.paging import Cursor
from tests.contract.store.stores import ANN, BOB, ENGINES, NOON, Stores, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.ports import IdempotencyKey, RunChange
from wes_service.core.run import EngineProcess, Owner, RunState

KEY = IdempotencyKey(key="k", digest="d")


def test_an_added_run_is_queued_and_comes_back_as_it_was(stores: Stores) -> None:
    added = stores.runs.add(a_run(1, version="3.1"), None)
    assert added == a_run(1, version="3.1")
    assert stores.runs.get(ANN, added.id) == added


def test_a_request_without_optional_fields_comes_back_without_them(stores: Stores) -> None:
    bare = a_run(1)
    bare = replace(
        bare,
        request=replace(bare.request, workflow_params={}, workflow_engine_parameters={}, tags={}),
        attachments=(),
    )
    stores.runs.add(bare, None)
    assert stores.runs.get(ANN, bare.id) == bare


def test_a_request_that_names_its_engine_keeps_the_name(stores: Stores) -> None:
    run = a_run(1)
    request = replace(run.request, workflow_engine="CWL-TES", workflow_engine_version="3.1")
    stores.runs.add(replace(run, request=request), None)
    assert stores.runs.get(ANN, run.id).request == request


def test_times_are_kept_to_the_microsecond(stores: Stores) -> None:
    run = replace(a_run(1), created=NOON.replace(microsecond=999_999))
    stores.runs.add(run, None)
    assert stores.runs.get(ANN, run.id).created.microsecond == 999_999
    assert stores.runs.page(ANN, 1, None).items[0].created == run.created


def test_a_summary_is_what_a_list_shows_of_the_run(stores: Stores) -> None:
    run = claimed(stores)
    assert stores.runs.summary(ANN, run.id) == stores.runs.page(ANN, 1, None).items[0]
    assert stores.runs.summary(ANN, run.id).state == RunState.INITIALIZING


def test_a_run_of_another_is_as_good_as_none(stores: Stores) -> None:
    run = stores.runs.add(a_run(1), None)
    for stranger in (BOB, Owner(issuer="elsewhere", subject=ANN.subject)):
        with pytest.raises(RunNotFound):
            stores.runs.get(stranger, run.id)
        with pytest.raises(RunNotFound):
            stores.runs.summary(stranger, run.id)
        with pytest.raises(RunNotFound):
            stores.runs.events(stranger, run.id)
        with pytest.raises(RunNotFound):
            stores.runs.cancel(stranger, run.id)
        assert stores.runs.page(stranger, 10, None).items == []
    assert stores.runs.get(ANN, run.id).state == RunState.QUEUED


def test_an_unknown_run_is_not_found(stores: Stores) -> None:
    for ask in (stores.runs.get, stores.runs.events, stores.runs.cancel):
        with pytest.raises(RunNotFound):
            ask(ANN, "nowhere")


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 5000])
def test_what_can_be_no_id_is_not_found(stores: Stores, text: str) -> None:
    run = stores.runs.add(a_run(1), None)
    with pytest.raises(RunNotFound):
        stores.runs.get(ANN, text)
    with pytest.raises(TaskNotFound):
        stores.tasks.get(run.id, text)
    with pytest.raises(TaskNotFound):
        stores.tasks.find(ANN, text)
    before = Cursor(created=NOON - timedelta(days=1), id=text)
    assert stores.runs.page(ANN, 1, before).items == []
    assert stores.tasks.page(text, 1, None).items == []


def test_the_same_key_and_digest_give_the_first_run_and_store_nothing(stores: Stores) -> None:
    first = stores.runs.add(a_run(1), KEY)
    again = stores.runs.add(a_run(2), KEY)
    assert again == first
    assert [run.id for run in stores.runs.page(ANN, 10, None).items] == [first.id]
    assert stores.runs.counts() == {RunState.QUEUED: 1}


def test_the_same_key_gives_the_first_run_as_it_is_by_now(stores: Stores) -> None:
    first = stores.runs.add(a_run(1), KEY)
    stores.runs.cancel(ANN, first.id)
    assert stores.runs.add(a_run(2), KEY).state == RunState.CANCELED


def test_the_same_key_with_another_digest_is_a_conflict(stores: Stores) -> None:
    stores.runs.add(a_run(1), KEY)
    with pytest.raises(IdempotencyConflict):
        stores.runs.add(a_run(2), replace(KEY, digest="other"))
    assert stores.runs.counts() == {RunState.QUEUED: 1}


def test_keys_of_two_owners_have_nothing_to_do_with_each_other(stores: Stores) -> None:
    stores.runs.add(a_run(1), KEY)
    assert stores.runs.add(a_run(2, BOB), replace(KEY, digest="other")).id == a_run(2).id


def test_a_first_page_is_empty_where_there_are_no_runs(stores: Stores) -> None:
    page = stores.runs.page(ANN, 10, None)
    assert (page.items, page.next) == ([], None)


def test_pages_hold_every_run_once_newest_first(stores: Stores) -> None:
    for number in range(7):
        stores.runs.add(a_run(number), None)
        stores.runs.add(a_run(100 + number, BOB), None)
    assert _walk(stores, 3) == [[6, 5, 4], [3, 2, 1], [0]]


def test_no_cursor_leads_to_an_empty_page(stores: Stores) -> None:
    for number in range(6):
        stores.runs.add(a_run(number), None)
    assert _walk(stores, 3) == [[5, 4, 3], [2, 1, 0]]


def test_runs_of_one_microsecond_are_paged_by_id(stores: Stores) -> None:
    for number in (3, 1, 4, 0, 2):
        stores.runs.add(replace(a_run(number), created=NOON), None)
    assert _walk(stores, 2) == [[4, 3], [2, 1], [0]]


def test_a_run_added_between_two_pages_neither_repeats_nor_hides_another(stores: Stores) -> None:
    for number in range(4):
        stores.runs.add(a_run(number), None)
    first = stores.runs.page(ANN, 2, None)
    stores.runs.add(a_run(9), None)
    second = stores.runs.page(ANN, 2, first.next)
    assert [run.id for run in (*first.items, *second.items)] == [a_run(number).id for number in (3, 2, 1, 0)]
    assert second.next is None


def test_a_cursor_need_not_name_a_run_that_exists(stores: Stores) -> None:
    stores.runs.add(a_run(1), None)
    between = Cursor(created=NOON + timedelta(seconds=1.5), id="gone")
    assert [run.id for run in stores.runs.page(ANN, 5, between).items] == [a_run(1).id]


def test_a_summary_says_what_the_run_says(stores: Stores, clock: FakeClock) -> None:
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.EXECUTOR_ERROR)
    (summary,) = stores.runs.page(ANN, 1, None).items
    whole = stores.runs.get(ANN, run.id)
    assert (summary.id, summary.state, summary.tags) == (run.id, RunState.EXECUTOR_ERROR, {"number": "1"})
    assert (summary.created, summary.started, summary.ended) == (whole.created, whole.started, whole.ended)


def test_counts_follow_every_move(stores: Stores) -> None:
    assert not any(stores.runs.counts().values())
    for number in range(3):
        stores.runs.add(a_run(number), None)
    stores.runs.add(a_run(3, BOB), None)
    run = stores.runs.claim("w1", ENGINES)
    assert run is not None
    assert _counts(stores) == {RunState.QUEUED: 3, RunState.INITIALIZING: 1}
    stores.runs.move(lease_of(run), RunState.RUNNING)
    stores.runs.cancel(BOB, a_run(3).id)
    assert _counts(stores) == {RunState.QUEUED: 2, RunState.RUNNING: 1, RunState.CANCELED: 1}


def test_the_oldest_run_that_waits_is_known_whoever_owns_it(stores: Stores) -> None:
    assert stores.runs.oldest_queued() is None
    for number, owner in ((3, ANN), (2, BOB), (5, ANN)):
        stores.runs.add(a_run(number, owner), None)
    assert stores.runs.oldest_queued() == a_run(2).created
    stores.runs.cancel(BOB, a_run(2).id)
    assert stores.runs.oldest_queued() == a_run(3).created


def test_history_tells_every_move_with_time_and_reason(stores: Stores, clock: FakeClock) -> None:
    run = stores.runs.add(a_run(1), None)
    times = []
    clock.advance(1)
    taken = stores.runs.claim("w1", ENGINES)
    assert taken is not None
    times.append(clock.now())
    clock.advance(1)
    stores.runs.move(lease_of(taken), RunState.EXECUTOR_ERROR, RunChange(reason="Step a failed."))
    times.append(clock.now())
    assert [(event.time, event.state, event.reason) for event in stores.runs.events(ANN, run.id)] == [
        (run.created, RunState.QUEUED, None),
        (times[0], RunState.INITIALIZING, None),
        (times[1], RunState.EXECUTOR_ERROR, "Step a failed."),
    ]


def test_an_engine_process_comes_back_as_it_was(stores: Stores) -> None:
    run = claimed(stores)
    process = EngineProcess(argv=("cwl", "a b"), started=NOON, ended=NOON + timedelta(microseconds=1), exit_code=-9)
    stores.runs.note(lease_of(run), RunChange(process=process))
    assert stores.runs.get(ANN, run.id).process == process


def _walk(stores: Stores, size: int) -> list[list[int]]:
    """The numbers of ANN's runs, page by page."""
    pages, after = [], None
    for _ in range(1000):
        page = stores.runs.page(ANN, size, after)
        pages.append([int(run.id.removeprefix("run-")) for run in page.items])
        after = page.next
        if after is None:
            return pages
    raise AssertionError("there is no last page")


def _counts(stores: Stores) -> dict[RunState, int]:
    return {state: number for state, number in stores.runs.counts().items() if number}


def test_the_ancestors_of_a_run_are_those_of_its_owner_that_are_there_the_nearest_first(stores: Stores) -> None:
    for number, owner, parent in ((1, BOB, None), (2, ANN, 1), (3, ANN, 2), (4, ANN, 3), (5, ANN, 9)):
        run = replace(a_run(number, owner), parent=None if parent is None else f"run-{parent:06}")
        assert stores.runs.add(run, None) == run
    ids = [[int(one[-1]) for one in stores.runs.ancestors(ANN, f"run-{number:06}")] for number in range(1, 6)]
    assert ids == [[], [], [2], [3, 2], []]
