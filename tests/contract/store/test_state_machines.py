"""The state machines of a run and of a task, by Hypothesis: clients, workers and reconcilers act in any order, and two
of them at the same moment; whatever they do, what is said here of each run and task holds.

`WES_TEST_EXAMPLES=2000` looks for longer, each time elsewhere; without it the examples are always the same.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection

from common.errors import IdempotencyConflict, MoveRefused, StaleClaim
from tes.task import Task, TaskState
from tests.contract.store.opening import KINDS, new_database
from tests.contract.store.stores import ANN, ENGINES, Stores, a_run, a_task, lease_of
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeStores
from wes_service.core.liveness import MOST_LOSSES, Beats, only_ends
from wes_service.core.ports import IdempotencyKey, Lease, RunChange, WorkerInfo
from wes_service.core.run import TERMINAL, Run, RunState, may_move
from wes_service.store.database import Database, open_database
from wes_service.store.schema import METADATA

WORKERS = ("w1", "w2", "w3")
MOST_SUBMISSIONS = 6
KEYS = ("sample-1", "sample-2")
EXAMPLES = os.environ.get("WES_TEST_EXAMPLES")
SETTINGS = settings(
    max_examples=int(EXAMPLES or 8),
    stateful_step_count=30,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CANCEL_WISH = frozenset({RunState.CANCELING, RunState.CANCELED})
ENDS = (RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR)

worker = st.sampled_from(WORKERS)
some = st.integers(min_value=0, max_value=1000)
"""Which of those that there are, counted round."""


@dataclass(kw_only=True)
class Known:
    """What was told of a run, and so must stay true of it."""

    leases: list[Lease] = field(default_factory=list)
    losses: int = 0
    cancel_wished: bool = False
    ended: RunState | None = None


class StoreMachine(RuleBasedStateMachine):
    """Every rule is one call of a store, or two at the same moment, and judges what it returned by what was known."""

    def __init__(self, stores: Stores, empty: Callable[[], None], pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self.stores, self.empty, self.pool = stores, empty, pool
        self.known: dict[str, Known] = defaultdict(Known)
        self.keys: dict[str, tuple[str, str]] = {}
        self.seen: dict[str, dict[str, Beats]] = {}
        self.tasks: dict[str, Task] = {}
        self.submitted = 0

    def teardown(self) -> None:
        self.empty()

    def new_run(self) -> Run:
        self.submitted += 1
        return a_run(self.submitted)

    def lease(self, number: int) -> Lease:
        leases = [lease for run in self.known.values() for lease in run.leases]
        return leases[number % len(leases)]

    def get(self, run_id: str) -> Run:
        return self.stores.runs.get(ANN, run_id)

    def holds(self, lease: Lease) -> bool:
        run = self.get(lease.run_id)
        return (run.worker, run.epoch) == (lease.worker, lease.epoch)

    def has_leases(self) -> bool:
        return any(run.leases for run in self.known.values())

    # Clients.

    @precondition(lambda self: self.submitted < MOST_SUBMISSIONS)
    @rule(key=st.sampled_from((None, *KEYS)), digest=st.sampled_from("ab"))
    def submit(self, key: str | None, digest: str) -> None:
        run = self.new_run()
        self.note_submitted(run, key, digest, self.attempt_submit(run, key, digest))

    def attempt_submit(self, run: Run, key: str | None, digest: str) -> str | None:
        try:
            return self.stores.runs.add(run, IdempotencyKey(key=key, digest=digest) if key else None).id
        except IdempotencyConflict:
            return None

    def note_submitted(self, run: Run, key: str | None, digest: str, answer: str | None) -> None:
        """The first request with a key makes the run; the same one gets it again, another one is refused."""
        if key is None:
            assert answer == run.id
        else:
            made, first = self.keys.setdefault(key, (run.id, digest))
            assert answer == (made if digest == first else None)
        if answer is not None:
            self.known[answer]

    @precondition(lambda self: self.known)
    @rule(number=some)
    def cancel(self, number: int) -> None:
        run_id = self.run_id(number)
        self.note_cancelled(self.stores.runs.cancel(ANN, run_id))

    def run_id(self, number: int) -> str:
        return sorted(self.known)[number % len(self.known)]

    def note_cancelled(self, run: Run) -> None:
        if run.state in TERMINAL:
            self.note_end(run)
        self.known[run.id].cancel_wished |= run.state in CANCEL_WISH

    # Workers and their heartbeats.

    @rule(name=worker)
    def beat(self, name: str) -> None:
        self.stores.workers.beat(WorkerInfo(id=name, host="h"))

    @rule(name=worker)
    def leave(self, name: str) -> None:
        self.stores.workers.remove(name)

    @rule(name=worker)
    def watch(self, name: str) -> None:
        """What is seen now may be what is acted on much later."""
        self.seen[name] = {other: beats for other, beats in self.stores.runs.holders().items() if other != name}

    @rule(name=worker)
    def claim(self, name: str) -> None:
        self.note_claimed(name, self.stores.runs.claim(name, ENGINES))

    def note_claimed(self, name: str, run: Run | None) -> None:
        if run is not None:
            assert (run.state, run.worker, run.epoch, run.losses) == (RunState.INITIALIZING, name, 1, 0)
            self.take(run)

    def take(self, run: Run) -> None:
        """Each attempt has a number of its own, and what has ended or was given to another is nobody's to take."""
        known = self.known[run.id]
        assert known.ended is None
        assert run.epoch == len(known.leases) + 1
        known.leases.append(lease_of(run))

    @precondition(lambda self: self.seen)
    @rule(number=some, engines=st.sampled_from((ENGINES, {})))
    def take_over(self, number: int, engines: Mapping[str, tuple[str, ...]]) -> None:
        name = sorted(self.seen)[number % len(self.seen)]
        self.note_taken_over(name, engines, self.stores.runs.take_over(name, self.seen[name], engines))

    def note_taken_over(self, name: str, engines: Mapping[str, tuple[str, ...]], run: Run | None) -> None:
        if run is None:
            return
        known, before = self.known[run.id], self.known[run.id].leases[-1]
        known.losses += self.seen[name][before.worker] is not None
        assert (run.worker, run.losses) == (name, known.losses)
        assert only_ends(run.state, run.losses) or (engines and run.losses < MOST_LOSSES)
        self.take(run)

    # What holders of a lease write, and who held one once.

    @precondition(has_leases)
    @rule(number=some, after=st.sampled_from(RunState))
    def move(self, number: int, after: RunState) -> None:
        lease = self.lease(number)
        held, before = self.holds(lease), self.get(lease.run_id).state
        moved = self.attempt_move(lease, after)
        assert moved == (StaleClaim if not held else after if may_move(before, after) else MoveRefused)
        if after in TERMINAL and moved is after:
            self.note_end(self.get(lease.run_id))

    def attempt_move(self, lease: Lease, after: RunState) -> RunState | type[Exception]:
        try:
            return self.stores.runs.move(lease, after).state
        except (StaleClaim, MoveRefused) as error:
            return type(error)

    def note_end(self, run: Run) -> None:
        known = self.known[run.id]
        assert known.ended in {None, run.state}
        known.ended = run.state

    @precondition(has_leases)
    @rule(number=some, what=st.sampled_from(("note", "add", "update")), state=st.sampled_from(TaskState))
    def write(self, number: int, what: str, state: TaskState) -> None:
        """Of a stale epoch nothing is stored; a task that has ended stays as it is."""
        lease = self.lease(number)
        mine = [task for task in self.tasks.values() if task.run_id == lease.run_id]
        task = mine[number % len(mine)] if mine else None
        if what == "note":
            self.refused(lease, lambda: self.stores.runs.note(lease, RunChange(lines=("line",))))
        elif what == "add" or task is None:
            new = a_task(len(self.tasks), self.get(lease.run_id))
            if not self.refused(lease, lambda: self.stores.tasks.add(lease, new)):
                self.tasks[new.id] = new
        else:
            changed = replace(task, state=state)
            if not self.refused(lease, lambda: self.stores.tasks.update(lease, changed)) and not task.terminal:
                self.tasks[task.id] = changed

    def refused(self, lease: Lease, store: Callable[[], None]) -> bool:
        held = self.holds(lease)
        try:
            store()
        except StaleClaim:
            assert not held
            return True
        assert held
        return False

    # Two at the same moment.

    def at_once(self, *works: Callable[[], Any]) -> list[Any]:
        together = Barrier(len(works))

        def begin(work: Callable[[], Any]) -> Any:
            together.wait(10)
            return work()

        return [done.result(60) for done in [self.pool.submit(begin, work) for work in works]]

    @precondition(lambda self: self.submitted < MOST_SUBMISSIONS)
    @rule(key=st.sampled_from(KEYS))
    def two_submit_with_one_key(self, key: str) -> None:
        digest = self.keys.get(key, ("", "a"))[1]
        runs = [self.new_run(), self.new_run()]
        answers = self.at_once(*(lambda run=run: self.attempt_submit(run, key, digest) for run in runs))
        assert answers[0] == answers[1]
        made = next((run for run in runs if run.id == answers[0]), runs[0])
        self.note_submitted(made, key, digest, answers[0])

    @rule(names=st.permutations(WORKERS))
    def two_claim(self, names: list[str]) -> None:
        claimed = self.at_once(*(lambda name=name: self.stores.runs.claim(name, ENGINES) for name in names[:2]))
        for name, run in zip(names, claimed, strict=False):
            self.note_claimed(name, run)

    @precondition(lambda self: self.known)
    @rule(name=worker, number=some)
    def claim_and_cancel(self, name: str, number: int) -> None:
        run_id = self.run_id(number)
        cancelled, claimed = self.at_once(
            lambda: self.stores.runs.cancel(ANN, run_id), lambda: self.stores.runs.claim(name, ENGINES)
        )
        self.note_claimed(name, claimed)
        self.note_cancelled(cancelled)

    @precondition(has_leases)
    @rule(number=some, after=st.sampled_from(ENDS))
    def end_and_cancel(self, number: int, after: RunState) -> None:
        lease = self.lease(number)
        held, before = self.holds(lease), self.get(lease.run_id).state
        moved, cancelled = self.at_once(
            lambda: self.attempt_move(lease, after), lambda: self.stores.runs.cancel(ANN, lease.run_id)
        )
        if moved is after:
            assert held
            assert may_move(before, after)
            assert cancelled.state is after
        self.note_cancelled(cancelled)

    @precondition(lambda self: self.has_leases() and self.seen)
    @rule(number=some, after=st.sampled_from(ENDS))
    def end_and_take_over(self, number: int, after: RunState) -> None:
        lease, name = self.lease(number), sorted(self.seen)[number % len(self.seen)]
        moved, taken = self.at_once(
            lambda: self.attempt_move(lease, after),
            lambda: self.stores.runs.take_over(name, self.seen[name], ENGINES),
        )
        self.note_taken_over(name, ENGINES, taken)
        if moved is after:
            assert taken is None or taken.id != lease.run_id
            self.note_end(self.get(lease.run_id))

    @precondition(lambda self: len(self.seen) > 1)
    @rule()
    def two_take_over(self) -> None:
        names = sorted(self.seen)[:2]
        taken = self.at_once(
            *(lambda name=name: self.stores.runs.take_over(name, self.seen[name], ENGINES) for name in names)
        )
        found = [(run.epoch, name, run) for name, run in zip(names, taken, strict=True) if run is not None]
        for _, name, run in sorted(found, key=lambda one: one[:2]):
            self.note_taken_over(name, ENGINES, run)

    @invariant()
    def what_is_stored_is_right(self) -> None:
        """Read once for all that must hold of it."""
        runs = [self.get(run_id) for run_id in self.known]
        self.check_holders(runs)
        for run in runs:
            self.check_history(run, [event.state for event in self.stores.runs.events(ANN, run.id)])
        ended = {run.id for run in runs if run.state in TERMINAL}
        for task in self.tasks.values():
            stored = self.stores.tasks.get(task.run_id, task.id).state
            given_up = task.run_id in ended and not task.terminal
            assert stored is (TaskState.SYSTEM_ERROR if given_up else task.state)

    def check_holders(self, runs: list[Run]) -> None:
        """No run is lost or made twice, and each has one holder at most."""
        page = self.stores.runs.page(ANN, 1000, None).items
        assert sorted(run.id for run in page) == sorted(self.known)
        assert sum(self.stores.runs.counts().values()) == len(self.known)
        held = [(run_id, name) for name in WORKERS for run_id in self.stores.runs.held(name)]
        assert sorted(held) == sorted((run.id, run.worker) for run in runs if run.worker is not None)
        for run in runs:
            leases = self.known[run.id].leases
            assert (run.worker is None) == (run.state in TERMINAL | {RunState.QUEUED})
            assert run.epoch == len(leases)
            assert run.worker is None or leases[-1] == lease_of(run)

    def check_history(self, run: Run, states: list[RunState]) -> None:
        """It moved as the table says, stays where it ended, and a wish to cancel it is not lost."""
        known = self.known[run.id]
        assert (states[0], states[-1]) == (RunState.QUEUED, run.state)
        assert all(after is before or may_move(before, after) for before, after in pairwise(states))
        assert known.ended in {None, run.state}
        assert not known.cancel_wished or run.state in CANCEL_WISH


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], StoreMachine]]:
    """Makes machines on stores that are empty each time."""
    with ThreadPoolExecutor(2) as pool:
        if request.param == "fake":
            yield lambda: StoreMachine(FakeStores(FakeClock()), lambda: None, pool)
            return
        with new_database(request, request.param, tmp_path, ready=True) as url:
            database = open_database(url, FakeClock())
            yield lambda: StoreMachine(database, lambda: emptied(database), pool)
            database.close()


def emptied(database: Database) -> None:
    for table in reversed(METADATA.sorted_tables):
        database.transactions.write(partial(Connection.execute, statement=table.delete()))


def test_whatever_happens_in_any_order_each_run_has_one_holder_and_one_end(machine: Callable[[], StoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)  # type: ignore[arg-type]
