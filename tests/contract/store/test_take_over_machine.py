"""Workers that claim, beat, fall silent, leave and take over, in any order: each run has one holder, and each attempt a
number of its own."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from common.errors import MoveRefused, StaleClaim
from tests.contract.store.stores import ANN, ENGINES, Stores, a_run, lease_of
from wes_service.core.liveness import MOST_LOSSES, only_ends
from wes_service.core.ports import Lease, RunChange, WorkerInfo
from wes_service.core.run import TERMINAL, Run, RunState

WORKERS = ("w1", "w2", "w3")
RUNS = 4
STEPS = 150


class Machine:
    """What has happened to the stores, and what must hold of it at any moment."""

    def __init__(self, stores: Stores, seed: int) -> None:
        self.stores = stores
        self.random = random.Random(seed)
        self.leases: list[Lease] = []
        self.losses: dict[str, int] = {}
        for number in range(RUNS):
            self.stores.runs.add(a_run(number), None)

    def step(self) -> None:
        worker = self.random.choice(WORKERS)
        of_worker = (self.claim, self.beat, self.take_over, self.leave)
        actions: list[Callable[[], None]] = [partial(action, worker) for action in of_worker]
        self.random.choice([*actions, self.move, self.note, self.cancel])()
        self.check()

    def beat(self, worker: str) -> None:
        self.stores.workers.beat(WorkerInfo(id=worker, host="h"))

    def leave(self, worker: str) -> None:
        self.stores.workers.remove(worker)

    def claim(self, worker: str) -> None:
        run = self.stores.runs.claim(worker, ENGINES)
        if run is not None:
            assert (run.epoch, run.losses) == (1, 0)
            self.leases.append(lease_of(run))

    def take_over(self, worker: str) -> None:
        """By what was seen a while ago, as it may be."""
        seen = dict(self.stores.runs.holders())
        seen.pop(worker, None)
        changed = self.random.choice(WORKERS)
        if self.random.random() < 0.3:
            self.beat(changed)
        engines = self.random.choice([ENGINES, {}])
        run = self.stores.runs.take_over(worker, seen, engines)
        if run is None:
            return
        before = max((lease for lease in self.leases if lease.run_id == run.id), key=lambda lease: lease.epoch)
        assert (run.epoch, run.worker) == (before.epoch + 1, worker)
        assert engines or only_ends(run.state, run.losses)
        self.losses[run.id] = self.losses.get(run.id, 0) + (seen[before.worker] is not None)
        assert run.losses == self.losses[run.id]
        assert f"attempt {run.epoch}" in run.system_logs[-1]
        self.leases.append(lease_of(run))

    def move(self) -> None:
        if not self.leases:
            return
        lease = self.random.choice(self.leases)
        before = self.run(lease.run_id)
        after = self.random.choice(list(RunState))
        try:
            moved = self.stores.runs.move(lease, after)
        except MoveRefused:
            return
        except StaleClaim:
            assert (before.worker, before.epoch) != (lease.worker, lease.epoch)
            return
        assert (before.worker, before.epoch) == (lease.worker, lease.epoch)
        assert moved.state is after

    def note(self) -> None:
        """Only the newest claim writes."""
        for lease in self.leases:
            before = self.run(lease.run_id)
            holds = (before.worker, before.epoch) == (lease.worker, lease.epoch)
            try:
                self.stores.runs.note(lease, RunChange(lines=("line",)))
                assert holds
            except StaleClaim:
                assert not holds

    def cancel(self) -> None:
        if self.random.random() < 0.1:
            self.stores.runs.cancel(ANN, a_run(self.random.randrange(RUNS)).id)

    def run(self, run_id: str) -> Run:
        return self.stores.runs.get(ANN, run_id)

    def check(self) -> None:
        runs = [self.run(a_run(number).id) for number in range(RUNS)]
        held = {run_id: worker for worker in WORKERS for run_id in self.stores.runs.held(worker)}
        assert held == {run.id: run.worker for run in runs if run.worker is not None}
        for run in runs:
            assert (run.worker is None) == (run.state in TERMINAL | {RunState.QUEUED})
            assert run.losses <= MOST_LOSSES + run.epoch
            assert self.stores.runs.events(ANN, run.id)[-1].state is run.state
        assert sum(self.stores.runs.counts().values()) == RUNS


@pytest.mark.parametrize("seed", range(3))
def test_workers_in_any_order_leave_each_run_with_one_holder(stores: Stores, seed: int) -> None:
    machine = Machine(stores, seed)
    for _ in range(STEPS):
        machine.step()
