"""Threads of one process, on every implementation, and processes on one database."""

import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from threading import Barrier
from typing import TypeVar

from common.errors import IdempotencyConflict, StaleClaim
from common.paging import Cursor
from tests.contract.store.stores import ANN, BOB, ENGINES, Stores, a_run, a_task, claimed, lease_of
from wes_service.core.ports import IdempotencyKey
from wes_service.core.run import Owner, RunState
from wes_service.store.database import open_database, upgrade

Result = TypeVar("Result")
THREADS = 8
PATIENCE = 60


def test_eight_threads_claim_forty_runs_each_once(stores: Stores) -> None:
    for number in range(40):
        stores.runs.add(a_run(number, (ANN, BOB)[number % 2]), None)

    def claim_all(thread: int) -> list[str]:
        taken = []
        while (run := stores.runs.claim(f"w{thread}", ENGINES)) is not None:
            taken.append(run.id)
        return taken

    taken = chain.from_iterable(_in_threads(claim_all))
    assert Counter(taken) == {a_run(number).id: 1 for number in range(40)}
    assert {state: number for state, number in stores.runs.counts().items() if number} == {RunState.INITIALIZING: 40}


def test_workers_that_claim_at_once_give_no_owner_more_than_the_limit(stores: Stores) -> None:
    for number in range(24):
        stores.runs.add(a_run(number, (ANN, BOB)[number % 2]), None)

    def claim_all(thread: int) -> list[Owner]:
        taken = []
        while (run := stores.runs.claim(f"w{thread}", ENGINES, 3)) is not None:
            taken.append(run.owner)
        return taken

    assert Counter(chain.from_iterable(_in_threads(claim_all))) == {ANN: 3, BOB: 3}


def test_the_same_key_at_the_same_time_gives_one_run(stores: Stores) -> None:
    key = IdempotencyKey(key="k", digest="d")
    added = _in_threads(lambda thread: stores.runs.add(a_run(thread), key).id)
    assert len(set(added)) == 1
    assert len(stores.runs.page(ANN, 10, None).items) == 1


def test_of_many_runs_that_come_at_once_each_gets_its_own_answer(stores: Stores) -> None:
    def submit(number: int) -> str:
        key = IdempotencyKey(key=f"k{number % 10}", digest=f"d{number % 20 // 10}") if number % 3 == 0 else None
        try:
            return stores.runs.add(a_run(number), key).id
        except IdempotencyConflict:
            return "conflict"

    with ThreadPoolExecutor(THREADS * 2) as pool:
        answers = list(pool.map(submit, range(200), timeout=PATIENCE))
    plain = [number for number in range(200) if number % 3]
    assert [answers[number] for number in plain] == [a_run(number).id for number in plain]
    for key in range(10):
        given = [answers[number] for number in range(0, 200, 3) if number % 10 == key]
        assert "conflict" in given
        assert len({answer for answer in given if answer != "conflict"}) == 1
    kept = {answer for answer in answers if answer != "conflict"}
    assert sorted(item.id for item in stores.runs.page(ANN, 1000, None).items) == sorted(kept)
    assert sum(stores.runs.counts().values()) == len(kept)


def test_one_of_many_workers_takes_a_lost_run_over(stores: Stores) -> None:
    claimed(stores, worker="gone")
    taken = _in_threads(lambda thread: stores.runs.take_over(f"w{thread}", {"gone": None}, ENGINES))
    assert [run.epoch for run in taken if run is not None] == [2]


def test_one_of_two_ends_is_written(stores: Stores) -> None:
    run = claimed(stores)
    stores.runs.move(lease_of(run), RunState.RUNNING)
    ends = [RunState.COMPLETE, RunState.EXECUTOR_ERROR] * (THREADS // 2)

    def end(thread: int) -> RunState | None:
        try:
            return stores.runs.move(lease_of(run), ends[thread]).state
        except StaleClaim:
            return None

    written = [state for state in _in_threads(end) if state is not None]
    assert [stores.runs.get(ANN, run.id).state] == written


def test_a_cancellation_and_a_claim_at_once_leave_a_run_that_somebody_will_end(stores: Stores) -> None:
    for number in range(THREADS):
        stores.runs.add(a_run(number), None)

    def cancel_or_claim(thread: int) -> None:
        if thread % 2:
            stores.runs.claim(f"w{thread}", ENGINES)
        else:
            stores.runs.cancel(ANN, a_run(thread // 2).id)

    _in_threads(cancel_or_claim)
    for number in range(THREADS):
        run = stores.runs.get(ANN, a_run(number).id)
        unheld = run.state in {RunState.QUEUED, RunState.CANCELED}
        assert (run.worker is None) == unheld, run


def test_pages_are_filled_and_stable_while_runs_are_added(stores: Stores) -> None:
    for number in range(50):
        stores.runs.add(a_run(number), None)

    def add_or_read(thread: int) -> list[str]:
        if thread % 2:
            for number in range(10):
                stores.runs.add(a_run(1000 * (thread + 1) + number), None)
            return []
        return _old_runs(stores)

    for read in _in_threads(add_or_read)[::2]:
        assert read == [a_run(number).id for number in reversed(range(50))]
    assert stores.runs.counts()[RunState.QUEUED] == 50 + 10 * THREADS // 2


def test_tasks_added_at_once_are_all_there(stores: Stores) -> None:
    run = claimed(stores)

    def add_five(thread: int) -> None:
        for number in range(5):
            stores.tasks.add(lease_of(run), a_task(10 * thread + number, run))

    _in_threads(add_five)
    assert stores.tasks.counts(run.id) == {"QUEUED": THREADS * 5}


def test_processes_that_start_at_once_make_the_tables_once_and_share_the_runs(empty_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        added = processes.starmap_async(_upgrade_and_add, [(empty_url, n) for n in range(3)], chunksize=1)
        added.get(PATIENCE)
        taken = processes.starmap_async(_claim_everything, [(empty_url, f"w{n}") for n in range(3)], chunksize=1)
        claimed_ids = chain.from_iterable(taken.get(PATIENCE))
    assert Counter(claimed_ids) == {a_run(100 * n + number).id: 1 for n in range(3) for number in range(20)}


def test_what_one_has_been_told_another_reads_at_once(empty_url: str) -> None:
    upgrade(empty_url)
    here, there = open_database(empty_url), open_database(empty_url)
    try:
        for number in range(20):
            here.runs.add(a_run(number), None)
            assert there.runs.get(ANN, a_run(number).id).state == RunState.QUEUED
            there.runs.cancel(ANN, a_run(number).id)
            assert here.runs.get(ANN, a_run(number).id).state == RunState.CANCELED
    finally:
        here.close()
        there.close()


def test_a_run_is_read_while_another_process_writes(empty_url: str) -> None:
    upgrade(empty_url)
    here, there = open_database(empty_url), open_database(empty_url)
    try:
        here.runs.add(a_run(1), None)
        seen = here.transactions.write(lambda _: there.runs.get(ANN, a_run(1).id))
        assert seen.state == RunState.QUEUED
        assert here.transactions.write(lambda _: here.runs.counts()) == {RunState.QUEUED: 1}
    finally:
        here.close()
        there.close()


def test_a_write_that_fails_leaves_nothing_and_harms_no_other(stores: Stores) -> None:
    run = claimed(stores)

    def work(thread: int) -> bool:
        lease = lease_of(run)
        try:
            stores.tasks.add(lease if thread % 2 else replace(lease, epoch=0), a_task(thread, run))
        except StaleClaim:
            return False
        return True

    assert _in_threads(work) == [bool(thread % 2) for thread in range(THREADS)]
    assert stores.tasks.counts(run.id) == {"QUEUED": THREADS // 2}


def _in_threads(work: Callable[[int], Result]) -> list[Result]:
    """Lets eight threads do `work` with their number, all from the same moment on."""
    start = Barrier(THREADS)

    def run(thread: int) -> Result:
        start.wait(PATIENCE)
        return work(thread)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def _old_runs(stores: Stores) -> list[str]:
    ids: list[str] = []
    after: Cursor | None = None
    for _ in range(1000):
        page = stores.runs.page(ANN, 7, after)
        assert len(page.items) == 7 or page.next is None
        ids += [run.id for run in page.items if run.id < a_run(1000).id]
        after = page.next
        if after is None:
            return ids
    raise AssertionError("there is no last page")


def _upgrade_and_add(url: str, process: int) -> None:
    upgrade(url)
    database = open_database(url)
    for number in range(20):
        database.runs.add(a_run(100 * process + number), None)
    database.close()


def _claim_everything(url: str, worker: str) -> list[str]:
    database = open_database(url)
    taken = []
    while (run := database.runs.claim(worker, ENGINES)) is not None:
        taken.append(run.id)
    database.close()
    return taken
