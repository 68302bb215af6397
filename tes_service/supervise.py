"""Starts waiting tasks as there is room, stops those that are canceled, and writes how each one ended."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

import structlog

from tes_service.admission import Share, admitted, need, too_much
from tes_service.attempt import LOST, Attempt, Desk, Folders
from tes_service.control import Control
from tes_service.journal import Journal, log_from, now
from tes_service.leftovers import remove
from tes_service.parse import parse_task
from tes_service.runners.choose import TOLD
from tes_service.store import HELD, RUNNING, Change, Record, Store
from tes_service.task import TaskRequest
from wes_service.core.json_types import JsonObject
from wes_service.core.task import TaskState

log = structlog.get_logger()

SHUT_DOWN = "the server was shut down while this task ran"
CLEAN_SECONDS = 600.0
MOST_AT_ONCE = 64
WRITE_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What tasks may take of this machine; `free_disk` looks at it now, in GB."""

    share: Share
    free_disk: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Held:
    """A task that runs here."""

    thread: threading.Thread
    control: Control
    share: Share


class Supervisor:
    def __init__(self, store: Store, desk: Desk, machine: Machine, tasks: Path, keep: timedelta) -> None:
        self._store = store
        self._desk = desk
        self._machine = machine
        self._tasks = tasks
        self._keep = keep
        self._lock = threading.Condition()
        self._waiting: OrderedDict[str, Share] = OrderedDict()
        self._held: dict[str, Held] = {}
        self._closing = False
        self._loop = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._cleaner = threading.Thread(target=self._clean, name="cleaner", daemon=True)

    def start(self) -> None:
        """Takes up what an earlier server left, then goes on in threads."""
        self._recover()
        self._loop.start()
        self._cleaner.start()

    def submit(self, task_id: str, request: TaskRequest) -> None:
        """Takes a stored task into the line; one that could never run ends at once."""
        share = need(request.resources)
        problem = too_much(share, self._machine.share)
        if problem is not None:
            self._refuse(task_id, problem)
            return
        with self._lock:
            self._waiting[task_id] = share
            self._lock.notify_all()

    def cancel(self, task_id: str) -> None:
        """Idempotent; `NoSuchTask`. A task that has not started is CANCELED at once."""
        if self._store.move(task_id, {TaskState.QUEUED}, TaskState.CANCELED):
            with self._lock:
                self._waiting.pop(task_id, None)
                self._lock.notify_all()
            return
        self._store.move(task_id, RUNNING, TaskState.CANCELING)
        if self._store.state(task_id) is not TaskState.CANCELING:
            return
        with self._lock:
            held = self._held.get(task_id)
        if held is not None:
            held.control.stop()

    def folders(self, task_id: str) -> Folders:
        return Folders(top=self._tasks / task_id)

    def close(self) -> None:
        """Ends all that runs; returns when nothing is left of it."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._loop.ident is not None:
            self._loop.join()
            self._cleaner.join()
        with self._lock:
            held = list(self._held.values())
        for one in held:
            one.control.stop()
        for one in held:
            one.thread.join()

    def _recover(self) -> None:
        for record in self._store.open(*HELD):
            if record.state is TaskState.RUNNING and record.handle:
                self._launch(record.id, need(parse_task(record.document).resources), record.handle)
            else:
                self._lose(record)
        for folder in self._tasks.iterdir():
            if folder.name not in self._held:
                remove(folder)
        for record in self._store.open(TaskState.QUEUED):
            self._waiting[record.id] = need(parse_task(record.document).resources)

    def _lose(self, record: Record) -> None:
        journal = Journal(log_from(record.log), _keep)
        journal.note(LOST)
        journal.end()
        self._discard(record.id, journal)
        after = TaskState.CANCELED if record.state is TaskState.CANCELING else TaskState.SYSTEM_ERROR
        self._store.move(record.id, HELD, after, Change(log=journal.document(), handle=""))

    def _discard(self, task_id: str, journal: Journal) -> None:
        runner = self._desk.runners.named(journal.log.metadata.get(TOLD))
        if runner is not None:
            runner.discard(task_id)

    def _run(self) -> None:
        with self._lock:
            while True:
                self._lock.wait_for(lambda: self._closing or self._startable() > 0 or self._hopeless() is not None)
                if self._closing:
                    return
                problem = self._hopeless()
                if problem is not None:
                    self._refuse(self._waiting.popitem(last=False)[0], problem)
                for _ in range(self._startable()):
                    self._launch(*self._waiting.popitem(last=False))

    def _startable(self) -> int:
        """How many from the head of the line."""
        taken = sum((held.share for held in self._held.values()), Share())
        return admitted(list(islice(self._waiting.values(), MOST_AT_ONCE)), taken, self._machine_now())

    def _hopeless(self) -> str | None:
        """Why the first in the line can't start, even though it has the whole machine for itself."""
        if self._held or not self._waiting:
            return None
        return too_much(next(iter(self._waiting.values())), self._machine_now())

    def _machine_now(self) -> Share:
        return replace(self._machine.share, disk=self._machine.free_disk())

    def _refuse(self, task_id: str, problem: str) -> None:
        journal = Journal(log_from(self._store.get(task_id).log), _keep)
        journal.begin()
        journal.note(problem)
        journal.end()
        self._store.move(task_id, {TaskState.QUEUED}, TaskState.SYSTEM_ERROR, Change(log=journal.document()))

    def _launch(self, task_id: str, share: Share, handle: str = "") -> None:
        control = Control()
        thread = threading.Thread(target=self._attempt, args=(task_id, control, handle), name=f"task-{task_id}")
        self._held[task_id] = Held(thread=thread, control=control, share=share)
        thread.start()

    def _attempt(self, task_id: str, control: Control, handle: str) -> None:
        try:
            if handle or self._store.move(task_id, {TaskState.QUEUED}, TaskState.INITIALIZING):
                self._supervised(self._store.get(task_id), control)
            remove(self.folders(task_id).top)
        finally:
            with self._lock:
                self._held.pop(task_id, None)
                self._lock.notify_all()

    def _supervised(self, record: Record, control: Control) -> None:
        journal = Journal(log_from(record.log), lambda log: self._store.write(record.id, Change(log=log)))
        state = self._outcome(record, control, journal)
        if record.handle:
            self._discard(record.id, journal)
        journal.end()
        state = self._write_end(record.id, state, Change(log=journal.document(), handle=""))
        log.info("task.ended", task_id=record.id, action="end", state=state.value)

    def _write_end(self, task_id: str, state: TaskState, change: Change) -> TaskState:
        """Tried again while the disk is full: what has ended must not stay RUNNING."""
        while True:
            try:
                if self._store.move(task_id, RUNNING, state, change):
                    return state
                self._store.move(task_id, {TaskState.CANCELING}, TaskState.CANCELED, change)
            except sqlite3.OperationalError:
                log.exception("task.end-not-written", task_id=task_id, action="end")
                with self._lock:
                    if self._lock.wait_for(lambda: self._closing, timeout=WRITE_AGAIN_SECONDS):
                        raise
            else:
                return TaskState.CANCELED

    def _outcome(self, record: Record, control: Control, journal: Journal) -> TaskState:
        try:
            state = self._begun(record, control, journal).run()
        except Exception as error:
            log.exception("task.failed", task_id=record.id, action="run")
            journal.note(f"the server failed at this task: {type(error).__name__}: {error}")
            return TaskState.SYSTEM_ERROR
        if state is TaskState.CANCELED and self._closing:
            journal.note(SHUT_DOWN)
            return TaskState.SYSTEM_ERROR
        return state

    def _begun(self, record: Record, control: Control, journal: Journal) -> Attempt:
        return Attempt(
            task_id=record.id,
            request=parse_task(record.document),
            folders=self.folders(record.id),
            control=control,
            journal=journal,
            desk=self._desk,
            running=lambda: self._announce(record.id, control, journal),
            handled=lambda handle: self._store.write(record.id, Change(handle=handle)),
            handle=record.handle,
        )

    def _announce(self, task_id: str, control: Control, journal: Journal) -> None:
        moved = self._store.move(task_id, {TaskState.INITIALIZING}, TaskState.RUNNING, Change(log=journal.document()))
        if not moved:
            control.stop()
        control.check()

    def _clean(self) -> None:
        while True:
            self._store.forget(now() - self._keep)
            with self._lock:
                if self._lock.wait_for(lambda: self._closing, timeout=CLEAN_SECONDS):
                    return


def _keep(_log: JsonObject) -> None:
    """For a journal that is written once, at its end."""
