"""Starts waiting tasks as there is room, stops those that are canceled, and writes how each one ended."""

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from common.errors import InvalidRequest
from tes.task import TaskState, TesTaskLog
from tes_service.admission import (
    Capacity,
    TaskQueue,
    WaitingTask,
    has_room,
    requested_capacity,
    task_group,
    unsatisfiable,
)
from tes_service.errors import AttemptLost, TaskFault
from tes_service.processes import TaskControl
from tes_service.runners.choose import RUNNER_ENTRY
from tes_service.runners.port import AWAY_SECONDS
from tes_service.store import ACTIVE, RUNNING, StoredTask, TaskChange, TaskDatabase
from tes_service.task_attempt import AttemptContext, TaskAttempt, TaskFolders, remove_folder
from tes_service.task_log import TaskLog, TaskLogWriter, log_from, now
from tes_service.task_request import TaskRequest, task_request, writes_where_it_reads

log = structlog.get_logger()
T = TypeVar("T")

SHUT_DOWN = "the server was shut down while this task ran"
ATTEMPTS = 3
"""How often a task is begun that is lost with the server each time: perhaps it is the task that ends the server."""
LOST = "lost"
"""The entry of an attempt's metadata that says that it ended because the server did, untold."""
DELIVERIES = "deliveries again"
"""The entry of an attempt's metadata that says how often that was done, as a server had ended meanwhile."""
CLEAN_SECONDS = 60.0
CLOSE_SECONDS = 12.0
"""For all that runs to end at a shutdown; what a container engine that is away keeps is taken up at the next start."""
AGAIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class MachineCapacity:
    """What tasks may take of this machine; `free_disk` looks at it now, in GB."""

    capacity: Capacity
    free_disk: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class RunningTask:
    """A task that runs here."""

    thread: threading.Thread
    control: TaskControl
    admitted: WaitingTask


class TaskScheduler:
    """One thread starts tasks in turn as there is room, each task has a thread, and one more cleans up."""

    def __init__(
        self, store: TaskDatabase, context: AttemptContext, machine: MachineCapacity, tasks: Path, keep: timedelta
    ) -> None:
        self._store = store
        self._context = context
        self._machine = machine
        self._tasks = tasks
        self._keep = keep
        self._lock = threading.Condition()
        self._waiting = TaskQueue()
        self._running: dict[str, RunningTask] = {}
        self._closing = False
        self._loop = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._cleaner = threading.Thread(target=self._clean, name="cleaner", daemon=True)

    def start(self) -> None:
        """Takes up what an earlier server left, then goes on in threads."""
        self._recover()
        self._loop.start()
        self._cleaner.start()

    def submit(self, task_id: str, request: TaskRequest) -> None:
        """Takes a stored task into the line; one that could never run ends at once."""
        task = _waiting_task(task_id, request)
        problem = unsatisfiable(task.capacity, self._machine.capacity)
        if problem is not None and self._refused_now(task_id, problem):
            return
        with self._lock:
            self._waiting.add(task)
            self._lock.notify_all()

    def cancel(self, task_id: str) -> None:
        """Idempotent; `NoSuchTask`. A task that has not started is CANCELED at once."""
        if self._store.move(task_id, {TaskState.QUEUED}, TaskState.CANCELED):
            with self._lock:
                self._waiting.remove(task_id)
                self._lock.notify_all()
            return
        self._store.move(task_id, RUNNING, TaskState.CANCELING)
        if self._store.state(task_id) is not TaskState.CANCELING:
            return
        with self._lock:
            held = self._running.get(task_id)
        if held is not None:
            held.control.stop()

    def folders(self, task_id: str) -> TaskFolders:
        """The folders of a task, whether it runs or not."""
        return TaskFolders(top=self._tasks / task_id)

    def close(self) -> None:
        """Ends all that runs; returns when nothing is left of it, or after `CLOSE_SECONDS`."""
        end = time.monotonic() + CLOSE_SECONDS
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._loop.ident is not None:
            self._loop.join()
            self._cleaner.join(max(0, end - time.monotonic()))
        with self._lock:
            held = dict(self._running)
        for one in held.values():
            one.control.stop()
        for one in held.values():
            one.thread.join(max(0, end - time.monotonic()))
        left = [task_id for task_id, one in held.items() if one.thread.is_alive()]
        if left:
            log.warning("tasks.left", action="stop", task_ids=left)

    def _recover(self) -> None:
        """Every task that an earlier server held gets a thread, which finds out what there is left of it."""
        held = self._store.open(*ACTIVE)
        queued = self._store.open(TaskState.QUEUED)
        left = {record.id for record in held}
        for folder in self._tasks.iterdir():
            if folder.name not in left:
                remove_folder(folder)
        for record in queued:
            if (task := self._admissible(record)) is not None:
                self._waiting.add(task)
        with self._lock:
            for record in held:
                unknown = WaitingTask(id=record.id, capacity=Capacity(), group=task_group({}))
                self._launch(self._admissible(record) or unknown, taken_over=True)

    def _admissible(self, record: StoredTask) -> WaitingTask | None:
        """None for a task that this version does not take any more; one that waits is refused then."""
        try:
            return _waiting_task(record.id, _request(record))
        except InvalidRequest as error:
            if record.state is TaskState.QUEUED:
                self._refuse(record.id, str(error))
            return None

    def _run(self) -> None:
        """Whatever fails in a round, there is another one: without this thread nothing would start any more."""
        while not self._closing:
            try:
                self._start_some()
            except Exception:
                log.exception("scheduler.failed", action="schedule")
                self._closes_within(AGAIN_SECONDS)

    def _start_some(self) -> None:
        """Waits until there is something to do. A task leaves the line when it is known to be held or refused."""
        with self._lock:
            self._lock.wait_for(lambda: self._closing or self._startable() or self._unsatisfiable())
            if self._closing:
                return
            if (refused := self._unsatisfiable()) is not None:
                task, problem = refused
                self._refuse(task.id, problem)
                self._waiting.remove(task.id)
            while (following := self._startable()) is not None:
                self._launch(following)
                self._waiting.remove(following.id)

    def _closes_within(self, seconds: float) -> bool:
        with self._lock:
            return self._lock.wait_for(lambda: self._closing, timeout=seconds)

    def _first(self) -> WaitingTask | None:
        """Whose turn it is."""
        return self._waiting.first((held.admitted.group, held.admitted.capacity) for held in self._running.values())

    def _startable(self) -> WaitingTask | None:
        """The next, where there is room for it now."""
        taken = sum((held.admitted.capacity for held in self._running.values()), Capacity())
        first = self._first()
        return first if first is not None and has_room(first.capacity, taken, self._machine_now()) else None

    def _unsatisfiable(self) -> tuple[WaitingTask, str] | None:
        """The next, with why it can't start even though it has the whole machine for itself."""
        first = None if self._running else self._first()
        problem = None if first is None else unsatisfiable(first.capacity, self._machine_now())
        return None if first is None or problem is None else (first, problem)

    def _machine_now(self) -> Capacity:
        return replace(self._machine.capacity, disk=self._machine.free_disk())

    def _refused_now(self, task_id: str, problem: str) -> bool:
        """False where the database can't be written to: the task waits in the line, to be refused there."""
        try:
            self._refuse(task_id, problem)
        except sqlite3.Error:
            log.exception("task.not-written", task_id=task_id, action="refuse")
            return False
        return True

    def _refuse(self, task_id: str, problem: str) -> None:
        task_log = TaskLogWriter(log_from(self._store.get(task_id).log), _keep)
        task_log.begin()
        task_log.note(problem)
        task_log.end()
        self._store.move(task_id, {TaskState.QUEUED}, TaskState.SYSTEM_ERROR, TaskChange(log=task_log.document()))

    def _launch(self, task: WaitingTask, *, taken_over: bool = False) -> None:
        task_id, control = task.id, TaskControl()
        # A daemon: one that waits for a container engine must not keep a server that is told to end.
        thread = threading.Thread(
            target=self._run_task, args=(task_id, control, taken_over), name=f"task-{task_id}", daemon=True
        )
        self._running[task_id] = RunningTask(thread=thread, control=control, admitted=task)
        try:
            thread.start()
        except BaseException:
            del self._running[task_id]
            raise

    def _run_task(self, task_id: str, control: TaskControl, taken_over: bool) -> None:
        state = None
        try:
            if taken_over or self._retried(lambda: self._begins(task_id)):
                state = self._run_recorded(self._store.get(task_id), control, taken_over)
            if state is not None:
                remove_folder(self.folders(task_id).top)
        except Exception:
            log.exception("task.left", task_id=task_id, action="run")
        finally:
            with self._lock:
                held = self._running.pop(task_id)
                if state is TaskState.QUEUED:
                    self._waiting.add_first(held.admitted)
                self._lock.notify_all()

    def _begins(self, task_id: str) -> bool:
        return self._store.move(task_id, {TaskState.QUEUED}, TaskState.INITIALIZING)

    def _run_recorded(self, record: StoredTask, control: TaskControl, taken_over: bool) -> TaskState | None:
        """The state that the task is in then; None where the next server has to go on with it."""
        task_log = TaskLogWriter(log_from(record.log), lambda log: self._update(record.id, TaskChange(log=log)))
        state = self._outcome(record, control, task_log, taken_over)
        if state is None or (taken_over and not self._discarded(record.id, task_log, state)):
            return None
        task_log.end()
        ended = self._retried(lambda: self._end(record, state, task_log.document()))
        log.info("task.ended", task_id=record.id, action="end", state=ended.value)
        return ended

    def _discarded(self, task_id: str, task_log: TaskLogWriter, outcome: TaskState) -> bool:
        """Ends what an earlier server left, as soon as the container engine answers; False where this one is to end."""
        runner = self._context.runners.named(task_log.log.metadata.get(RUNNER_ENTRY))
        end = time.monotonic() + AWAY_SECONDS
        while runner is not None:
            try:
                runner.discard(task_id)
            except TaskFault as fault:
                log.warning("task.not-discarded", task_id=task_id, action="discard", problem=str(fault))
                if self._closes_within(AGAIN_SECONDS):
                    return False
                if outcome is not TaskState.CANCELED and time.monotonic() > end:
                    task_log.note(f"its container could not be removed: {fault}")
                    return True
            else:
                return True
        return True

    def _end(self, record: StoredTask, state: TaskState, ended: TesTaskLog) -> TaskState:
        """The state in which the task is then; QUEUED: it is to be begun again, with a log of its own."""
        change = TaskChange(log=ended, handle="")
        again = TaskChange(log=TaskLog().document(), handle="", earlier=(*record.earlier, ended), delivering=False)
        if self._store.move(record.id, RUNNING, state, again if state is TaskState.QUEUED else change):
            return state
        self._store.move(record.id, {TaskState.CANCELING}, TaskState.CANCELED, change)
        return TaskState.CANCELED

    def _update(self, task_id: str, change: TaskChange) -> None:
        self._retried(lambda: self._store.write(task_id, change))

    def _retried(self, write: Callable[[], T]) -> T:
        """Tried again while the disk is full: what has ended must not stay RUNNING."""
        while True:
            try:
                return write()
            except sqlite3.Error:
                log.exception("task.not-written", action="write")
                if self._closes_within(AGAIN_SECONDS):
                    raise

    def _outcome(
        self, record: StoredTask, control: TaskControl, task_log: TaskLogWriter, taken_over: bool
    ) -> TaskState | None:
        try:
            state = self._run_attempt(record, control, task_log, taken_over)
        except AttemptLost as error:
            task_log.add_metadata(LOST, "true")
            return self._after_loss(record, task_log, str(error))
        except Exception as error:
            log.exception("task.failed", task_id=record.id, action="run")
            task_log.note(f"the server failed at this task: {type(error).__name__}: {error}")
            return TaskState.SYSTEM_ERROR
        if state is TaskState.CANCELED and self._closing:
            return self._after_loss(record, task_log, SHUT_DOWN)
        return state

    def _run_attempt(
        self, record: StoredTask, control: TaskControl, task_log: TaskLogWriter, taken_over: bool
    ) -> TaskState:
        if not taken_over:
            return self._new_attempt(record, control, task_log).run()
        if record.state is TaskState.CANCELING:
            return TaskState.CANCELED
        if record.state is TaskState.RUNNING and self._delivers_again(record, task_log):
            return self._new_attempt(record, control, task_log, delivers_again=True).run()
        if record.state is TaskState.RUNNING and record.handle:
            return self._new_attempt(record, control, task_log).run()
        raise AttemptLost

    def _delivers_again(self, record: StoredTask, task_log: TaskLogWriter) -> bool:
        """Whether what an earlier server had begun to deliver is delivered now; not where that has ended several."""
        times = int(task_log.log.metadata.get(DELIVERIES, "0")) + 1
        if not record.delivering or times > ATTEMPTS or record.damaged or not _may_read_its_outputs(record):
            return False
        task_log.add_metadata(DELIVERIES, str(times))
        task_log.note("the server was started again while the outputs were delivered, and delivered them again")
        return True

    def _after_loss(self, record: StoredTask, task_log: TaskLogWriter, reason: str) -> TaskState | None:
        """It is run again, unless what it reads may have changed since: by its own outputs, which it had begun to
        deliver. None where the next server goes on with that."""
        lost = sum(1 for one in (*record.earlier, task_log.document()) if _was_lost(one))
        if self._store.get(record.id).delivering and _may_read_its_outputs(record):
            if self._closing:
                return None
            task_log.note(f"{reason}, and a part of its outputs may have been delivered: it is not run again")
            return TaskState.SYSTEM_ERROR
        if lost >= ATTEMPTS:
            task_log.note(f"{reason}, {lost} times now: it is not run again")
            return TaskState.SYSTEM_ERROR
        task_log.note(f"{reason}: it is run again from its beginning")
        return TaskState.QUEUED

    def _new_attempt(
        self, record: StoredTask, control: TaskControl, task_log: TaskLogWriter, *, delivers_again: bool = False
    ) -> TaskAttempt:
        return TaskAttempt(
            task_id=record.id,
            number=len(record.earlier),
            request=_request(record),
            folders=self.folders(record.id),
            control=control,
            task_log=task_log,
            context=self._context,
            running=lambda: self._retried(lambda: self._announce(record.id, control, task_log)),
            started=lambda handle: self._store.write(record.id, TaskChange(handle=handle)),
            ended=lambda: self._update(record.id, TaskChange(log=task_log.document(), handle="")),
            delivering=lambda: self._update(record.id, TaskChange(delivering=True)),
            handle=record.handle,
            delivers_again=delivers_again,
        )

    def _announce(self, task_id: str, control: TaskControl, task_log: TaskLogWriter) -> None:
        moved = self._store.move(
            task_id, {TaskState.INITIALIZING}, TaskState.RUNNING, TaskChange(log=task_log.document())
        )
        if not moved:
            control.stop()
        control.check()

    def _clean(self) -> None:
        while True:
            for act in (self._forget, self._sweep):
                try:
                    act()
                except Exception:
                    log.exception("cleaning.failed", action="clean")
            if self._closes_within(CLEAN_SECONDS):
                return

    def _forget(self) -> None:
        self._store.forget(now() - self._keep)

    def _sweep(self) -> None:
        """Containers that nobody could remove when their task ended."""
        try:
            self._context.runners.sweep(self._is_held)
        except TaskFault as fault:
            log.warning("containers.not-swept", action="clean", problem=str(fault))

    def _is_held(self, task_id: str) -> bool:
        with self._lock:
            return task_id in self._running


def _waiting_task(task_id: str, request: TaskRequest) -> WaitingTask:
    return WaitingTask(id=task_id, capacity=requested_capacity(request.resources), group=task_group(request.tags))


def _request(record: StoredTask) -> TaskRequest:
    """`InvalidRequest` where it can't be run any more."""
    if record.damaged:
        raise InvalidRequest("what this server had stored of the task can't be read any more")
    return task_request(record.document)


def _may_read_its_outputs(record: StoredTask) -> bool:
    try:
        return writes_where_it_reads(_request(record))
    except InvalidRequest:
        return True


def _was_lost(attempt: TesTaskLog) -> bool:
    return LOST in (attempt.get("metadata") or {})


def _keep(_log: TesTaskLog) -> None:
    """For a log that is written once, at its end."""
