"""Many listeners, one question; what each hears, and when it is over."""

import asyncio
from collections.abc import Mapping, Sequence

from common.errors import StoreUnavailable
from tests.contract.store.stores import ANN, claimed, lease_of
from tests.fakes.stores import FakeStores
from wes_service.core.ports import RunEvent, RunStore
from wes_service.core.run import RunState
from wes_service.services.event_feed import RunEventFeed


class CountedRuns:
    """A store that counts the questions, and fails the first `failures` of them."""

    def __init__(self, runs: RunStore, failures: int = 0) -> None:
        self._runs = runs
        self.failures = failures
        self.questions = 0

    def events_after(self, after: Mapping[str, int]) -> Mapping[str, Sequence[RunEvent]]:
        self.questions += 1
        if self.questions <= self.failures:
            raise StoreUnavailable
        return self._runs.events_after(after)


def feed_of(stores: FakeStores, heartbeat: float = 60.0, failures: int = 0) -> tuple[RunEventFeed, CountedRuns]:
    counted = CountedRuns(stores.runs, failures)
    return RunEventFeed(counted, 0.02, heartbeat), counted  # type: ignore[arg-type]


async def heard(feed: RunEventFeed, stores: FakeStores, run_id: str, after: int = 0) -> list[str | None]:
    known = stores.runs.events(ANN, run_id)
    return [None if event is None else event.state.value async for event in feed.follow(run_id, after, known)]


async def listening(feed: RunEventFeed, number: int) -> None:
    while feed.listeners < number:
        await asyncio.sleep(0.01)


def test_all_hear_everything_by_one_question_at_a_time() -> None:
    stores = FakeStores()
    feed, counted = feed_of(stores)
    runs = [claimed(stores, number) for number in (1, 2, 3)]

    async def scenario() -> list[list[str | None]]:
        began = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(heard(feed, stores, run.id)) for run in runs for _ in range(100)]
        await listening(feed, 300)
        for run in runs:
            stores.runs.move(lease_of(run), RunState.RUNNING)
        await asyncio.sleep(0.1)
        for run in runs:
            stores.runs.move(lease_of(run), RunState.COMPLETE)
        ends = await asyncio.gather(*tasks)
        assert counted.questions <= (asyncio.get_running_loop().time() - began) / 0.02 + 1
        return ends

    assert asyncio.run(scenario()) == [["QUEUED", "INITIALIZING", "RUNNING", "COMPLETE"]] * 300
    assert feed.listeners == 0


def test_nobody_is_asked_when_nobody_listens() -> None:
    stores = FakeStores()
    feed, counted = feed_of(stores)
    run = claimed(stores)

    async def scenario() -> None:
        task = asyncio.create_task(heard(feed, stores, run.id))
        await listening(feed, 1)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        asked = counted.questions
        await asyncio.sleep(0.1)
        assert (counted.questions, feed.listeners) == (asked, 0)
        assert asked

    asyncio.run(scenario())


def test_a_listener_goes_on_behind_what_it_has_and_an_id_of_the_future_is_no_trap() -> None:
    stores = FakeStores()
    feed, _ = feed_of(stores)
    run = claimed(stores)
    numbers = [event.number for event in stores.runs.events(ANN, run.id)]

    async def scenario() -> list[list[str | None]]:
        tasks = [asyncio.create_task(heard(feed, stores, run.id, after)) for after in (numbers[0], 10**17, 0)]
        await listening(feed, 3)
        stores.runs.cancel(ANN, run.id)
        stores.runs.move(lease_of(run), RunState.CANCELED)
        return await asyncio.gather(*tasks)

    behind, future, all_of_it = asyncio.run(scenario())
    assert behind == ["INITIALIZING", "CANCELING", "CANCELED"]
    assert future == ["CANCELING", "CANCELED"]
    assert all_of_it == ["QUEUED", "INITIALIZING", "CANCELING", "CANCELED"]


def test_a_silent_run_has_heartbeats_and_a_database_that_is_away_is_waited_for() -> None:
    stores = FakeStores()
    feed, _ = feed_of(stores, heartbeat=0.05, failures=5)
    run = claimed(stores)

    async def scenario() -> list[str | None]:
        task = asyncio.create_task(heard(feed, stores, run.id))
        await listening(feed, 1)
        await asyncio.sleep(0.3)
        stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
        return await task

    told = asyncio.run(scenario())
    assert told[:2] == ["QUEUED", "INITIALIZING"]
    assert told[-1] == "SYSTEM_ERROR"
    assert told[2:-1] == [None] * len(told[2:-1])
    assert None in told


def test_a_run_that_is_deleted_before_anybody_looked_ends_its_streams() -> None:
    stores = FakeStores()
    feed, _ = feed_of(stores)
    run = claimed(stores)

    async def scenario() -> list[str | None]:
        task = asyncio.create_task(heard(feed, stores, run.id))
        await listening(feed, 1)
        stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
        stores.runs.delete(ANN, run.id)
        return await asyncio.wait_for(task, 10)

    assert asyncio.run(scenario()) == ["QUEUED", "INITIALIZING"]
