from dataclasses import replace

from tests.contract.store.stores import Stores
from tests.fakes.clock import FakeClock
from wes_service.core.ports import WorkerInfo

WORKER = WorkerInfo(
    id="w1", host="alpha", engines={"cwltool": ("3.1", "3.2"), "empty": ()}, sandbox="bubblewrap", slots=4
)


def test_a_worker_that_beats_is_alive_with_what_it_said(stores: Stores, clock: FakeClock) -> None:
    stores.workers.beat(WORKER)
    assert list(stores.workers.alive(10)) == [replace(WORKER, seen=clock.now())]


def test_a_worker_that_fell_silent_is_not_alive(stores: Stores, clock: FakeClock) -> None:
    stores.workers.beat(WORKER)
    clock.advance(8)
    stores.workers.beat(replace(WORKER, id="w2"))
    clock.advance(2)
    assert [worker.id for worker in stores.workers.alive(10)] == ["w1", "w2"]
    clock.advance(0.000_001)
    assert [worker.id for worker in stores.workers.alive(10)] == ["w2"]


def test_the_last_beat_counts(stores: Stores, clock: FakeClock) -> None:
    stores.workers.beat(WORKER)
    clock.advance(20)
    changed = replace(WORKER, engines={}, host="beta", owner_slots=2, hindrance="the disk is full")
    stores.workers.beat(changed)
    assert list(stores.workers.alive(10)) == [replace(changed, seen=clock.now())]


def test_a_removed_worker_is_gone_and_may_come_back(stores: Stores) -> None:
    stores.workers.beat(WORKER)
    stores.workers.remove("w1")
    stores.workers.remove("w1")
    assert list(stores.workers.alive(10)) == []
    stores.workers.beat(WORKER)
    assert [worker.id for worker in stores.workers.alive(10)] == ["w1"]
