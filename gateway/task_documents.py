"""What the answers of TES servers, which disagree about them, tell of a task. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from tes.task import (
    TAG_SUBMISSION,
    TASK_TERMINAL,
    Task,
    TaskState,
    TesExecutorLog,
    TesTask,
    TesTaskLog,
    View,
    submission_of,
    task_view,
)

_ORDER = (
    TaskState.UNKNOWN,
    TaskState.QUEUED,
    TaskState.INITIALIZING,
    TaskState.PAUSED,
    TaskState.RUNNING,
    TaskState.CANCELING,
)


def state_of(document: TesTask) -> TaskState:
    """The state that a TES reports; UNKNOWN where the standard does not have it."""
    try:
        return TaskState(str(document.get("state")))
    except ValueError:
        return TaskState.UNKNOWN


def next_state(before: TaskState, reported: TaskState) -> TaskState:
    """Never one before (TESK's RUNNING can become QUEUED), and never out of a terminal one."""
    if before in TASK_TERMINAL:
        return before
    if reported in TASK_TERMINAL:
        return reported
    return max(before, reported, key=_ORDER.index)


def without_early_exit_codes(document: TesTask) -> TesTask:
    """An executor's exit code is there only if it has ended (Funnel: 0 while RUNNING)."""
    logs: list[TesTaskLog] = [
        {**log, "logs": [_without_early_exit_code(entry) for entry in log.get("logs") or []]}
        for log in document.get("logs") or []
    ]
    return {**document, "logs": logs}


def _without_early_exit_code(entry: TesExecutorLog) -> TesExecutorLog:
    if entry.get("end_time") or "exit_code" not in entry:
        return entry
    open_entry = entry.copy()
    del open_entry["exit_code"]
    return open_entry


def executor_logs(document: TesTask) -> list[TesExecutorLog]:
    """The logs of the last attempt's executors."""
    return _last_attempt(document).get("logs") or []


def running_output(document: TesTask) -> tuple[int, Mapping[str, Any]]:
    """The number of the executor that follows those which have a log, and `stdout` and `stderr` of it so far: a TES
    whose answers fit the standard at any moment tells them in the attempt's metadata, as a log needs an exit code."""
    return len(executor_logs(document)), _last_attempt(document).get("metadata") or {}


def exit_code(document: TesTask) -> int | None:
    """The first exit code that is not 0, else the last one; None while none has ended."""
    codes = [code for entry in executor_logs(document) if (code := entry.get("exit_code")) is not None]
    return next((code for code in codes if code), codes[-1] if codes else None)


def system_logs(document: TesTask) -> list[str]:
    """The system log lines of the last attempt."""
    return _last_attempt(document).get("system_logs") or []


def _last_attempt(document: TesTask) -> TesTaskLog:
    attempts = document.get("logs")
    return attempts[-1] if attempts else {}


def engine_view(task: Task, view: View) -> TesTask:
    """The task as an engine sees it: under the gateway's id, in the gateway's state (TES 1.1.0, GetTask)."""
    whole: TesTask = {"id": task.id, "state": task.state.value}
    if view != View.MINIMAL:
        whole = {**task.body, **task.document, **whole, "creation_time": task.creation_time}
    if view != View.MINIMAL and task.reason and task.terminal:
        whole["logs"] = _with_line(whole.get("logs") or [], task.reason)
    return task_view(whole, view)


def _with_line(logs: Sequence[TesTaskLog], line: str) -> list[TesTaskLog]:
    """The logs of attempts with one more line in the system log of the last."""
    *before, last = logs or [_empty_log()]
    return [*before, {**last, "system_logs": [*(last.get("system_logs") or []), line]}]


def _empty_log() -> TesTaskLog:
    return {"logs": [], "outputs": []}


class FailureCause(StrEnum):
    """Why a TES ended a task that did not fail by itself."""

    TASK = "task"
    """The task: it would end the same way again."""
    UNKNOWN = "unknown"
    """Nothing of it ran yet, so it costs little to send it again, and the TES may know why it never will."""
    SERVICE = "service"
    """What ran it is gone: it may end well elsewhere, or later."""


def failure_cause(task: Task, state: TaskState, document: TesTask) -> FailureCause:
    """For a task that its TES ended in SYSTEM_ERROR or PREEMPTED, by its FULL view; `task` is as it was before that."""
    if state is TaskState.PREEMPTED:
        return FailureCause.SERVICE
    ran = executor_logs(document)
    ended = [entry for entry in ran if entry.get("end_time")]
    if any(entry.get("exit_code") for entry in ended) or len(ended) >= len(task.body.get("executors") or []):
        return FailureCause.TASK
    if task.state is TaskState.RUNNING or any(entry.get("start_time") for entry in ran):
        return FailureCause.SERVICE
    return FailureCause.TASK if _ended_so_before(task, document) else FailureCause.UNKNOWN


def _ended_so_before(task: Task, document: TesTask) -> bool:
    """Whether the TES gave the same reasons the time before."""
    before = earlier_logs(task.document)
    return bool(before) and system_logs({"logs": before})[:-1] == system_logs(document)


def lost_logs(document: TesTask, number: int, reason: str) -> list[TesTaskLog]:
    """The logs of a TES task that was lost as submission `number`, marked so that they are known for what they are."""
    logs = document.get("logs") or [_empty_log()]
    marked: list[TesTaskLog] = [
        {**log, "metadata": {**(log.get("metadata") or {}), TAG_SUBMISSION: str(number)}} for log in logs
    ]
    return _with_line(marked, reason)


def earlier_logs(document: TesTask) -> list[TesTaskLog]:
    """The logs of all TES tasks of this one that were lost."""
    return [log for log in document.get("logs") or [] if submission_of(log)]


def newest_logs(document: TesTask) -> TesTask:
    """What is known of the newest TES task of this one alone."""
    return {"logs": [log for log in document.get("logs") or [] if not submission_of(log)]}


def with_earlier(earlier: Sequence[TesTaskLog], document: TesTask) -> TesTask:
    """The document of the newest TES task as one of the gateway's task, whose earlier attempts it shows too."""
    if not earlier:
        return document
    return {**document, "logs": [*earlier, *(document.get("logs") or [_empty_log()])]}
