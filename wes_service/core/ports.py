"""The ports: each contract is documented here once; adapters are silent unless they surprise."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from common.json_types import JsonObject
from common.paging import Cursor, Page, TaskCursor
from tes.task import PendingCancel, Task
from wes_service.core.liveness import Beats
from wes_service.core.run import EVERY_RUN, EngineProcess, Owner, Run, RunFilter, RunState, RunSummary, Tombstone


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """The caller's key and a digest of the whole request it came with."""

    key: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class RunChange:
    """What a move writes besides the state; None leaves a field as it is. Lines are added to `system_logs`."""

    reason: str | None = None
    lines: tuple[str, ...] = ()
    process: EngineProcess | None = None
    outputs: JsonObject | None = None
    engine_version: str | None = None
    fetched_document: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A claim on a run: the worker that holds it, and the claim's number."""

    run_id: str
    worker: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class ClaimStatus:
    """What a worker learns of a run that it holds: the claim's number, and the state."""

    epoch: int
    state: RunState


@dataclass(frozen=True, kw_only=True)
class WorkerInfo:
    """A worker as it advertises itself: engine name to installed versions, and warnings for the operator."""

    id: str
    host: str
    engines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sandbox: str = ""
    slots: int | None = None
    """How many runs it takes at once; None where it does not say."""
    owner_slots: int | None = None
    """How many of one owner, on all workers together; None: as many as there are slots."""
    hindrance: str = ""
    """Why it takes no run at present, but that it has no free slot; empty where it does."""
    seen: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """One line of a run's history; `number` grows in it, and no other event of the service has the same."""

    time: datetime
    state: RunState
    reason: str | None = None
    number: int = field(default=0, compare=False)


class RunStore(Protocol):
    """Runs, every query of a user scoped by the owner. All times are UTC. Nothing ever leaves a terminal state.

    Every method of a store raises `StoreUnavailable` where the database is away (what it was to write may be there all
    the same) and `DiskFull` where its disk is full.
    """

    def add(self, run: Run, key: IdempotencyKey | None) -> Run:
        """Stores a run in QUEUED, durable on return. With a key seen before: the run of that time, nothing stored;
        `IdempotencyConflict` where its digest differs, `KeyOfDeletedRun` where that run was deleted."""

    def get(self, owner: Owner, run_id: str) -> Run:
        """`RunNotFound` where there is none, or it is another's."""

    def ancestors(self, owner: Owner, run_id: str) -> Sequence[str]:
        """The run that this one resumes, the one which that resumes, and so on, as far as they are there and the
        owner's, the nearest first; 100 at most."""

    def summary(self, owner: Owner, run_id: str) -> RunSummary:
        """What a list shows of a run: neither request nor outputs, which may be large. `RunNotFound` as in `get`."""

    def page(self, owner: Owner, size: int, after: Cursor | None, filter_: RunFilter = EVERY_RUN) -> Page[RunSummary]:
        """Those that are wanted, newest first; pages but the last are full."""

    def events(self, owner: Owner, run_id: str) -> Sequence[RunEvent]:
        """The history, oldest first; `RunNotFound` as in `get`."""

    def events_after(self, after: Mapping[str, int]) -> Mapping[str, Sequence[RunEvent]]:
        """Of each run with events above the number given for it, those events; of one that is not there any more, none.
        The caller has checked the owners."""

    def counts(self, owner: Owner | None = None) -> Mapping[RunState, int]:
        """How many runs there are in each state, of all or of one owner; deleted ones are not."""

    def oldest_queued(self) -> datetime | None:
        """When the run was submitted that waits longest; None where none waits."""

    def cancel(self, owner: Owner, run_id: str) -> Run:
        """Moves a run that is not terminal to CANCELING, and on to CANCELED where no worker holds it; idempotent."""

    def delete(self, owner: Owner, run_id: str) -> None:
        """Removes a terminal run, its tasks and its history; a tombstone stays. `RunNotEnded` where it goes on,
        `RunNotFound` as in `get`, but not where this owner deleted it before: then nothing changes."""

    def claim(self, worker: str, engines: Mapping[str, tuple[str, ...]], owner_slots: int | None = None) -> Run | None:
        """Takes the next QUEUED run whose engine (and version) is in `engines`: of each owner the one with the highest
        priority, then the oldest; of these the one whose owner has the fewest held runs, then the oldest. Who has
        `owner_slots` of them gets none. INITIALIZING, epoch + 1. None where there is none."""

    def held(self, worker: str) -> Mapping[str, ClaimStatus]:
        """The runs that this worker holds, by id."""

    def held_run(self, lease: Lease) -> Run:
        """The run of a lease; `StaleClaim` as in `move`."""

    def holders(self) -> Mapping[str, Beats]:
        """The workers that hold any run, with the number of their heartbeats."""

    def move(self, lease: Lease, after: RunState, change: RunChange = RunChange()) -> Run:
        """Compare-and-set: `StaleClaim` where the lease's epoch or worker is not the row's, `MoveRefused` where the
        table does not allow it. In a terminal state nobody holds the run."""

    def note(self, lease: Lease, change: RunChange) -> None:
        """Writes without a move; `StaleClaim` as in `move`."""

    def take_over(self, worker: str, lost: Mapping[str, Beats], engines: Mapping[str, tuple[str, ...]]) -> Run | None:
        """Takes a run of one of the `lost` workers: one that its engine (and version) in `engines` can go on with, or
        one that is only to be ended (`only_ends`). Epoch + 1, its state as it is, with an event and a line that say so;
        a loss more, but not where the worker has left in order (None). None where there is none. A worker whose
        heartbeats are not the number given here is alive after all, and keeps its runs."""


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """What is asked of a run that has ended before its work folder is removed."""

    id: str
    ended: datetime
    outputs: JsonObject


class RetentionStore(Protocol):
    """Runs of all owners that have ended and have their work folder still, but those that a run resumes which has not
    ended itself. Nobody works on a run that has ended."""

    def ended_before(self, moment: datetime, size: int, after: Cursor | None) -> Page[EndedRun]:
        """Those that ended first first; a cursor's `created` is the time of the end."""

    def work_removed(self, run_id: str, line: str) -> bool:
        """The folder is gone: the time and the line are noted once; whether that was now."""


class TombstoneStore(Protocol):
    """Tombstones of deleted runs. A tombstone is there before the run's folder is removed, so that a crash in between
    leaves nothing behind for good: whoever finds it unpurged removes the folder."""

    def page(self, size: int, after: Cursor | None) -> Page[Tombstone]:
        """Of all owners, those deleted last first; a cursor's `created` is the time of deletion."""

    def unpurged(self) -> Sequence[str]:
        """Ids of deleted runs whose folders may still be there, at most 1,000."""

    def is_unpurged(self, run_id: str) -> bool:
        """Whether this run was deleted and its folder may still be there."""

    def purged(self, run_id: str) -> None:
        """The folder is gone; the time is noted once."""

    def unknown_runs(self, run_ids: Collection[str]) -> set[str]:
        """Those ids that no run and no tombstone has."""


class TaskStore(Protocol):
    """Tasks of runs."""

    def add(self, lease: Lease, task: Task) -> None:
        """Durable on return; `StaleClaim` where the run is another worker's by now."""

    def update(self, lease: Lease, task: Task, cancels: Sequence[PendingCancel] = ()) -> None:
        """Writes state, TES, document and reason, and what is to be cancelled on a TES; a terminal task stays as it
        is. Durable on return; `StaleClaim` as in `add`. That a run ends is written with the end of its open tasks:
        they are SYSTEM_ERROR then, and each is to be cancelled."""

    def get(self, run_id: str, task_id: str) -> Task:
        """`TaskNotFound` where there is none in this run. The caller has checked the run's owner."""

    def find(self, owner: Owner, task_id: str) -> Task:
        """A task by its id alone; `TaskNotFound` where there is none in a run of this owner."""

    def page(self, run_id: str, size: int, after: Cursor | None) -> Page[Task]:
        """Oldest first."""

    def all_of(
        self, owner: Owner, size: int, after: TaskCursor | None, run_id: str | None = None
    ) -> Sequence[tuple[TaskCursor, Task]]:
        """Up to `size` tasks of all runs of an owner, or of that one run, with their places: the newest run first, and
        its oldest task first."""

    def open(self, run_id: str) -> Sequence[Task]:
        """Those that are not terminal."""

    def counts(self, run_id: str) -> Mapping[str, int]:
        """How many tasks of the run are in each TES state."""

    def reusable(
        self, owner: Owner, key: str, runs: Collection[str] | None, most: int, step_key: str | None = None
    ) -> Sequence[Task]:
        """Tasks of the owner's that are COMPLETE and have this reuse key, of these `runs`, or of all where it is None:
        first those with the step key, and the newest first."""

    def due_cancels(self, now: datetime, most: int) -> Sequence[PendingCancel]:
        """Takes those that are due, oldest first; nobody else is given them for a while, the longer the older."""

    def name_cancel(self, cancel: PendingCancel) -> None:
        """Keeps the `tes_id` that it was found under."""

    def remove_cancel(self, cancel: PendingCancel) -> None:
        """It is gone from its TES, or has ended there."""

    def rename_tes(self, before: str, now: str) -> None:
        """A TES is reached by another URL now: tasks and cancels that are stored with its old one get the new one."""


class WorkerStore(Protocol):
    """Who is alive, and with which engines."""

    def beat(self, worker: WorkerInfo) -> None:
        """One more heartbeat of this worker, and what it says of itself. It renews the worker's claims, as nobody may
        take over the runs of a worker that beats."""

    def alive(self, within_seconds: float) -> Sequence[WorkerInfo]:
        """Those that had a heartbeat in the last `within_seconds`, by id."""

    def remove(self, worker_id: str) -> None:
        """It has left: what it still holds may be taken over at once."""


class RunQueue(Protocol):
    """Asks workers for what is to be done. A lost message loses nothing: workers find it in the store by themselves."""

    def wake(self, run_id: str) -> None:
        """Asks every worker to look for a run to claim or to cancel; never raises."""

    def remove_folder(self, run_id: str) -> None:
        """Asks one worker to remove the folder of a deleted run; never raises."""

    def deliver_notifications(self, run_id: str) -> None:
        """Asks one worker to deliver what is due, as this run has ended; never raises."""

    def check(self) -> None:
        """Returns where messages can be sent; raises any error where not, after some seconds at worst."""


class Clock(Protocol):
    """What time it is; tests set their own."""

    def now(self) -> datetime:
        """UTC, with microseconds."""
