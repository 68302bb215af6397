"""The stores in memory: `FakeStores(clock)` has `.runs`, `.tasks` and `.workers` over one shared state.

They pass the same contract suite as the database (tests/contract/store), so a test may trust them.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import TypeVar

from common.errors import (
    IdempotencyConflict,
    KeyOfDeletedRun,
    MoveRefused,
    RunNotEnded,
    RunNotFound,
    StaleClaim,
    TaskNotFound,
)
from common.paging import Cursor, Page, TaskCursor
from common.times import wes_time
from tes.task import PendingCancel, Task, TaskState
from tests.fakes.clock import FakeClock
from tests.fakes.notifications import FakeNotificationStore
from tests.fakes.queue import FakeQueue
from wes_service.core.liveness import Beats, only_ends, take_over_line
from wes_service.core.ports import ClaimStatus, Clock, EndedRun, IdempotencyKey, Lease, RunChange, RunEvent, WorkerInfo
from wes_service.core.run import (
    EVERY_RUN,
    HELD,
    TERMINAL,
    Owner,
    Run,
    RunFilter,
    RunState,
    RunSummary,
    Tombstone,
    may_move,
    tombstone_of,
)

__all__ = [
    "FakeClock",
    "FakeQueue",
    "FakeRunStore",
    "FakeStores",
    "FakeTaskStore",
    "FakeTombstoneStore",
    "FakeWorkerStore",
]

Item = TypeVar("Item")
Key = tuple[datetime, str]
CancelKey = tuple[str, int, str]
NO_CHANGE = RunChange()


@dataclass(kw_only=True)
class Shelf:
    """What the fakes share; every access holds the lock."""

    clock: Clock
    lock: threading.RLock = field(default_factory=threading.RLock)
    runs: dict[str, Run] = field(default_factory=dict)
    keys: dict[tuple[Owner, str], tuple[str, str]] = field(default_factory=dict)
    events: dict[str, list[RunEvent]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    tasks: dict[str, Task] = field(default_factory=dict)
    workers: dict[str, WorkerInfo] = field(default_factory=dict)
    beats: Counter[str] = field(default_factory=Counter)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    cancels: dict[CancelKey, tuple[datetime, PendingCancel]] = field(default_factory=dict)
    """Each with the time when it is due."""
    notifications: FakeNotificationStore = field(default_factory=FakeNotificationStore)

    def event(self, time: datetime, state: RunState, reason: str | None = None) -> RunEvent:
        return RunEvent(time=time, state=state, reason=reason, number=next(self.numbers))

    def owned(self, owner: Owner, run_id: str) -> Run:
        run = self.runs.get(run_id)
        if run is None or run.owner != owner:
            raise RunNotFound
        return run

    def held(self, lease: Lease) -> Run:
        run = self.runs.get(lease.run_id)
        if run is None or (run.worker, run.epoch) != (lease.worker, lease.epoch):
            raise StaleClaim(lease.run_id)
        return run

    def put(self, before: Run, after: RunState, reason: str | None = None) -> Run:
        """Stores `before` in its new state, with times, lease and event."""
        now = self.clock.now()
        run = replace(before, state=after)
        if after in {RunState.INITIALIZING, RunState.RUNNING} and run.started is None:
            run = replace(run, started=now)
        if after in TERMINAL:
            run = replace(run, ended=now, worker=None)
            self.notifications.note_end(replace(run, reason=reason), now)
            self.end_tasks(run.id, now)
        self.runs[run.id] = run
        self.events[run.id].append(self.event(time=now, state=after, reason=reason))
        return run

    def owe(self, cancels: Iterable[PendingCancel]) -> None:
        for cancel in cancels:
            self.cancels.setdefault(_cancel_key(cancel), (cancel.since, cancel))

    def end_tasks(self, run_id: str, now: datetime) -> None:
        """A run that ends has no open task, and a TES that may have one is to be told."""
        for task in [task for task in self.tasks.values() if task.run_id == run_id and not task.terminal]:
            cancel = PendingCancel(
                run_id=run_id,
                task_id=task.id,
                submission=task.submission,
                tes_url=task.tes_url or "",
                tes_id=task.tes_id,
                since=now,
            )
            self.owe([cancel])
            self.tasks[task.id] = replace(task, state=TaskState.SYSTEM_ERROR, reason="The run ended before.")

    def beats_of(self, worker: str) -> Beats:
        return self.beats.get(worker) if worker in self.workers else None


class FakeRunStore:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def add(self, run: Run, key: IdempotencyKey | None) -> Run:
        with self._shelf.lock:
            known = None if key is None else self._known(run.owner, key)
            if known is not None:
                return known
            if key is not None:
                self._shelf.keys[run.owner, key.key] = (run.id, key.digest)
            queued = replace(run, state=RunState.QUEUED)
            self._shelf.runs[run.id] = queued
            self._shelf.events[run.id] = [self._shelf.event(time=run.created, state=RunState.QUEUED)]
            return queued

    def get(self, owner: Owner, run_id: str) -> Run:
        with self._shelf.lock:
            return self._shelf.owned(owner, run_id)

    def ancestors(self, owner: Owner, run_id: str) -> Sequence[str]:
        with self._shelf.lock:
            run, found = self._shelf.runs.get(run_id), list[str]()
            while run is not None and run.parent is not None and len(found) < 100 and run.parent not in found:
                run = self._shelf.runs.get(run.parent)
                if run is None or run.owner != owner:
                    break
                found.append(run.id)
            return found

    def summary(self, owner: Owner, run_id: str) -> RunSummary:
        return _summary(self.get(owner, run_id))

    def page(self, owner: Owner, size: int, after: Cursor | None, wanted: RunFilter = EVERY_RUN) -> Page[RunSummary]:
        with self._shelf.lock:
            mine = [run for run in self._shelf.runs.values() if run.owner == owner and wanted.matches(run)]
        mine.sort(key=_run_key, reverse=True)
        if after is not None:
            mine = [run for run in mine if _run_key(run) < (after.created, after.id)]
        return _page([_summary(run) for run in mine], size, _summary_cursor)

    def events(self, owner: Owner, run_id: str) -> Sequence[RunEvent]:
        with self._shelf.lock:
            return tuple(self._shelf.events[self._shelf.owned(owner, run_id).id])

    def events_after(self, after: Mapping[str, int]) -> Mapping[str, Sequence[RunEvent]]:
        with self._shelf.lock:
            found = {run_id: self._shelf.events.get(run_id, []) for run_id in after}
            return {
                run_id: [event for event in events if event.number > after[run_id]]
                for run_id, events in found.items()
                if not events or events[-1].number > after[run_id]
            }

    def counts(self, owner: Owner | None = None) -> Mapping[RunState, int]:
        with self._shelf.lock:
            return Counter(run.state for run in self._shelf.runs.values() if owner in {None, run.owner})

    def oldest_queued(self) -> datetime | None:
        with self._shelf.lock:
            return min((run.created for run in self._shelf.runs.values() if run.state == RunState.QUEUED), default=None)

    def cancel(self, owner: Owner, run_id: str) -> Run:
        with self._shelf.lock:
            run = self._shelf.owned(owner, run_id)
            if run.state in TERMINAL or run.state == RunState.CANCELING:
                return run
            run = self._shelf.put(run, RunState.CANCELING)
            return self._shelf.put(run, RunState.CANCELED) if run.worker is None else run

    def delete(self, owner: Owner, run_id: str) -> None:
        with self._shelf.lock:
            stone = self._shelf.tombstones.get(run_id)
            if stone is not None and stone.owner == owner:
                return
            run = self._shelf.owned(owner, run_id)
            if run.state not in TERMINAL:
                raise RunNotEnded(run_id, run.state)
            tasks = [task.id for task in self._shelf.tasks.values() if task.run_id == run_id]
            self._shelf.tombstones[run_id] = tombstone_of(run, len(tasks), self._shelf.clock.now())
            for task_id in tasks:
                del self._shelf.tasks[task_id]
            del self._shelf.runs[run_id], self._shelf.events[run_id]
            self._shelf.notifications.forget(run_id)

    def claim(self, worker: str, engines: Mapping[str, tuple[str, ...]], owner_slots: int | None = None) -> Run | None:
        with self._shelf.lock:
            runs = self._shelf.runs.values()
            fit = [run for run in runs if run.state == RunState.QUEUED and _runnable(run, engines)]
            held = Counter(run.owner for run in runs if run.state in HELD)
            first: dict[Owner, Run] = {}
            for run in sorted(fit, key=lambda run: (-run.request.priority, *_run_key(run))):
                if owner_slots is None or held[run.owner] < owner_slots:
                    first.setdefault(run.owner, run)
            if not first:
                return None
            run = min(first.values(), key=lambda run: (held[run.owner], *_run_key(run)))
            return self._shelf.put(_lent(run, worker), RunState.INITIALIZING)

    def held(self, worker: str) -> Mapping[str, ClaimStatus]:
        with self._shelf.lock:
            mine = [run for run in self._shelf.runs.values() if run.worker == worker]
            return {run.id: ClaimStatus(epoch=run.epoch, state=run.state) for run in mine}

    def held_run(self, lease: Lease) -> Run:
        with self._shelf.lock:
            return self._shelf.held(lease)

    def holders(self) -> Mapping[str, Beats]:
        with self._shelf.lock:
            found = {run.worker for run in self._shelf.runs.values() if run.worker is not None}
            return {worker: self._shelf.beats_of(worker) for worker in found}

    def move(self, lease: Lease, after: RunState, change: RunChange = NO_CHANGE) -> Run:
        with self._shelf.lock:
            run = self._shelf.held(lease)
            if not may_move(run.state, after):
                raise MoveRefused(f"{run.state} → {after}")
            return self._shelf.put(_changed(run, change), after, change.reason)

    def note(self, lease: Lease, change: RunChange) -> None:
        with self._shelf.lock:
            run = self._shelf.held(lease)
            self._shelf.runs[run.id] = _changed(run, change)

    def take_over(self, worker: str, lost: Mapping[str, Beats], engines: Mapping[str, tuple[str, ...]]) -> Run | None:
        with self._shelf.lock:
            gone = {other: beats for other, beats in lost.items() if self._shelf.beats_of(other) == beats}
            left = [_left(run, gone) for run in self._shelf.runs.values() if run.worker in gone]
            fit = [run for run in left if only_ends(run.state, run.losses) or _runnable(run, engines)]
            if not fit:
                return None
            before = min(fit, key=lambda run: (run.worker or "", run.id))
            run = _lent(before, worker)
            line = take_over_line(before.worker or "", gone[before.worker or ""], worker, run.epoch)
            self._shelf.runs[run.id] = _changed(run, RunChange(lines=(line,)))
            self._shelf.events[run.id].append(
                self._shelf.event(time=self._shelf.clock.now(), state=run.state, reason=line)
            )
            return self._shelf.runs[run.id]

    def _known(self, owner: Owner, key: IdempotencyKey) -> Run | None:
        run_id, digest = self._shelf.keys.get((owner, key.key), (None, None))
        if run_id is None:
            return None
        if run_id in self._shelf.tombstones:
            raise KeyOfDeletedRun(run_id, wes_time(self._shelf.tombstones[run_id].deleted))
        if digest != key.digest:
            raise IdempotencyConflict
        return self._shelf.runs[run_id]


class FakeTombstoneStore:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def page(self, size: int, after: Cursor | None) -> Page[Tombstone]:
        with self._shelf.lock:
            stones = sorted(self._shelf.tombstones.values(), key=_stone_key, reverse=True)
        if after is not None:
            stones = [stone for stone in stones if _stone_key(stone) < (after.created, after.id)]
        return _page(stones, size, lambda stone: Cursor(created=stone.deleted, id=stone.id))

    def unpurged(self) -> Sequence[str]:
        with self._shelf.lock:
            return sorted(stone.id for stone in self._shelf.tombstones.values() if stone.purged is None)[:1000]

    def is_unpurged(self, run_id: str) -> bool:
        return run_id in self.unpurged()

    def purged(self, run_id: str) -> None:
        with self._shelf.lock:
            stone = self._shelf.tombstones.get(run_id)
            if stone is not None and stone.purged is None:
                self._shelf.tombstones[run_id] = replace(stone, purged=self._shelf.clock.now())

    def unknown_runs(self, run_ids: Collection[str]) -> set[str]:
        with self._shelf.lock:
            return set(run_ids) - self._shelf.runs.keys() - self._shelf.tombstones.keys()


class FakeRetentionStore:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def ended_before(self, moment: datetime, size: int, after: Cursor | None) -> Page[EndedRun]:
        with self._shelf.lock:
            needed = {run.parent for run in self._shelf.runs.values() if run.ended is None}
            runs = [run for run in self._shelf.runs.values() if run.work_removed is None and run.id not in needed]
        ended = [EndedRun(id=run.id, ended=run.ended, outputs=run.outputs) for run in runs if run.ended]
        ended = sorted((run for run in ended if run.ended < moment), key=lambda run: (run.ended, run.id))
        if after is not None:
            ended = [run for run in ended if (run.ended, run.id) > (after.created, after.id)]
        return _page(ended, size, lambda run: Cursor(created=run.ended, id=run.id))

    def work_removed(self, run_id: str, line: str) -> bool:
        with self._shelf.lock:
            run = self._shelf.runs.get(run_id)
            if run is None or run.ended is None or run.work_removed is not None:
                return False
            lines = (*run.system_logs, line)
            self._shelf.runs[run_id] = replace(run, work_removed=self._shelf.clock.now(), system_logs=lines)
            return True


class FakeTaskStore:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def add(self, lease: Lease, task: Task) -> None:
        with self._shelf.lock:
            self._shelf.held(lease)
            self._shelf.tasks[task.id] = task

    def update(self, lease: Lease, task: Task, cancels: Sequence[PendingCancel] = ()) -> None:
        with self._shelf.lock:
            self._shelf.held(lease)
            self._shelf.owe(cancels)
            stored = self.get(task.run_id, task.id)
            if stored.terminal:
                return
            self._shelf.tasks[task.id] = replace(
                stored,
                state=task.state,
                tes_url=task.tes_url,
                tes_id=task.tes_id,
                document=task.document,
                reason=task.reason,
                route=task.route,
                reuse_key=task.reuse_key,
                reused_from=task.reused_from,
            )

    def get(self, run_id: str, task_id: str) -> Task:
        with self._shelf.lock:
            task = self._shelf.tasks.get(task_id)
        if task is None or task.run_id != run_id:
            raise TaskNotFound
        return task

    def find(self, owner: Owner, task_id: str) -> Task:
        with self._shelf.lock:
            task = self._shelf.tasks.get(task_id)
            if task is None or self._shelf.runs[task.run_id].owner != owner:
                raise TaskNotFound
            return task

    def page(self, run_id: str, size: int, after: Cursor | None) -> Page[Task]:
        tasks = self._of(run_id)
        if after is not None:
            tasks = [task for task in tasks if (task.created, task.id) > (after.created, after.id)]
        return _page(tasks, size, lambda task: Cursor(created=task.created, id=task.id))

    def all_of(
        self, owner: Owner, size: int, after: TaskCursor | None, run_id: str | None = None
    ) -> Sequence[tuple[TaskCursor, Task]]:
        with self._shelf.lock:
            runs = [run for run in self._shelf.runs.values() if run.owner == owner and run_id in {None, run.id}]
        listed = [
            (
                TaskCursor(run=Cursor(created=run.created, id=run.id), task=Cursor(created=task.created, id=task.id)),
                task,
            )
            for run in sorted(runs, key=lambda run: (run.created, run.id), reverse=True)
            for task in self._of(run.id)
        ]
        begin = 0 if after is None else [place for place, _ in listed].index(after) + 1
        return listed[begin : begin + size]

    def open(self, run_id: str) -> Sequence[Task]:
        return [task for task in self._of(run_id) if not task.terminal]

    def counts(self, run_id: str) -> Mapping[str, int]:
        return Counter(str(task.state) for task in self._of(run_id))

    def reusable(
        self, owner: Owner, key: str, runs: Collection[str] | None, most: int, step_key: str | None = None
    ) -> Sequence[Task]:
        with self._shelf.lock:
            tasks = sorted(
                self._shelf.tasks.values(),
                key=lambda task: (step_key is not None and task.key == step_key, task.created, task.id),
                reverse=True,
            )
            return [
                task
                for task in tasks
                if (task.reuse_key, task.state) == (key, TaskState.COMPLETE)
                and self._shelf.runs[task.run_id].owner == owner
                and (runs is None or task.run_id in runs)
            ][:most]

    def due_cancels(self, now: datetime, most: int) -> Sequence[PendingCancel]:
        with self._shelf.lock:
            due = sorted((when, key) for key, (when, _) in self._shelf.cancels.items() if when <= now)[:most]
            found = [self._shelf.cancels[key][1] for _, key in due]
            for cancel in found:
                wait = min(max((now - cancel.since) / 5, timedelta(seconds=5)), timedelta(minutes=10))
                self._shelf.cancels[_cancel_key(cancel)] = (now + wait, cancel)
            return found

    def name_cancel(self, cancel: PendingCancel) -> None:
        with self._shelf.lock:
            due, _ = self._shelf.cancels[_cancel_key(cancel)]
            self._shelf.cancels[_cancel_key(cancel)] = (due, cancel)

    def remove_cancel(self, cancel: PendingCancel) -> None:
        with self._shelf.lock:
            self._shelf.cancels.pop(_cancel_key(cancel), None)

    def rename_tes(self, before: str, now: str) -> None:
        with self._shelf.lock:
            for key, task in self._shelf.tasks.items():
                if task.tes_url == before:
                    self._shelf.tasks[key] = replace(task, tes_url=now)
            for due, cancel in list(self._shelf.cancels.values()):
                if cancel.tes_url == before:
                    self.remove_cancel(cancel)
                    renamed = replace(cancel, tes_url=now)
                    self._shelf.cancels[_cancel_key(renamed)] = (due, renamed)

    def _of(self, run_id: str) -> list[Task]:
        with self._shelf.lock:
            tasks = [task for task in self._shelf.tasks.values() if task.run_id == run_id]
        return sorted(tasks, key=lambda task: (task.created, task.id))


class FakeWorkerStore:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def beat(self, worker: WorkerInfo) -> None:
        with self._shelf.lock:
            self._shelf.workers[worker.id] = replace(worker, seen=self._shelf.clock.now())
            self._shelf.beats[worker.id] += 1

    def alive(self, within_seconds: float) -> Sequence[WorkerInfo]:
        since = self._shelf.clock.now() - timedelta(seconds=within_seconds)
        with self._shelf.lock:
            workers = sorted(self._shelf.workers.values(), key=lambda worker: worker.id)
        return [worker for worker in workers if worker.seen is not None and worker.seen >= since]

    def remove(self, worker_id: str) -> None:
        with self._shelf.lock:
            self._shelf.workers.pop(worker_id, None)
            self._shelf.beats.pop(worker_id, None)


class FakeStores:
    """The stores of one imagined database."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.shelf = shelf = Shelf(clock=self.clock)
        self.runs = FakeRunStore(shelf)
        self.tasks = FakeTaskStore(shelf)
        self.workers = FakeWorkerStore(shelf)
        self.tombstones = FakeTombstoneStore(shelf)
        self.notifications = shelf.notifications
        self.retention = FakeRetentionStore(shelf)


def _run_key(run: Run) -> Key:
    return run.created, run.id


def _stone_key(stone: Tombstone) -> Key:
    return stone.deleted, stone.id


def _summary(run: Run) -> RunSummary:
    return RunSummary(
        id=run.id,
        state=run.state,
        created=run.created,
        started=run.started,
        ended=run.ended,
        tags=run.request.tags,
    )


def _summary_cursor(run: RunSummary) -> Cursor:
    return Cursor(created=run.created, id=run.id)


def _page(rest: Iterable[Item], size: int, cursor: Callable[[Item], Cursor]) -> Page[Item]:
    items = list(rest)
    return Page(items=items[:size], next=cursor(items[size - 1]) if len(items) > size else None)


def _runnable(run: Run, engines: Mapping[str, tuple[str, ...]]) -> bool:
    versions = engines.get(run.engine, ())
    return bool(versions) if run.engine_version is None else run.engine_version in versions


def _left(run: Run, gone: Mapping[str, Beats]) -> Run:
    """The run with one loss more, where its worker did not leave in order."""
    return replace(run, losses=run.losses + int(gone[run.worker or ""] is not None))


def _lent(run: Run, worker: str) -> Run:
    return replace(run, worker=worker, epoch=run.epoch + 1)


def _changed(run: Run, change: RunChange) -> Run:
    return replace(
        run,
        reason=run.reason if change.reason is None else change.reason,
        system_logs=run.system_logs + change.lines,
        process=run.process if change.process is None else change.process,
        outputs=run.outputs if change.outputs is None else change.outputs,
        engine_version=change.engine_version or run.engine_version,
        fetched_document=change.fetched_document or run.fetched_document,
    )


def _cancel_key(cancel: PendingCancel) -> CancelKey:
    return cancel.task_id, cancel.submission, cancel.tes_url
