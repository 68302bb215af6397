"""The run log, computed from the row of the run and from its tasks (WES 1.1.0, schemas RunLog, Log, TaskLog). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.json_types import BadJson, Json, read_json
from common.masking import bare_url, masked, masked_text
from common.times import exact_time, parse_time, wes_time
from tes.task import (
    TAG_RESOURCES,
    TASK_TERMINAL,
    Task,
    TaskState,
    TesExecutor,
    TesExecutorLog,
    TesTaskLog,
    submission_of,
)
from wes_service.core.links import Links, linked
from wes_service.core.ports import RunEvent
from wes_service.core.run import Run, RunState, RunSummary
from wes_service.core.workflow import document_name

MAX_PROGRESS_BYTES = 4096
PROGRESS_FIELDS = ("known", "running", "done", "failed", "cached")

WARNING = "Warning: "
"""A line of the system log that begins with this is for a person to read also where the run is COMPLETE."""
SENT_TO = "sent to "
"""A line of a task's system log that begins with this says which TES has it, and why."""
REUSED_FROM = "outputs of the run "
"""A line of a task's system log that begins with this says which earlier task did its work."""
HOST_KEYS = ("host", "hostname", "node", "nodename")
DEFAULT_REASONS = {
    RunState.EXECUTOR_ERROR: "The workflow failed, and the engine gave no reason; see stderr.",
    RunState.SYSTEM_ERROR: "The service failed, and left no reason.",
    RunState.CANCELED: "The run was canceled.",
    RunState.CANCELING: "The run is being canceled.",
}


@dataclass(frozen=True, kw_only=True)
class TaskLogId:
    """Which executor of which attempt a TaskLog is about; both count from 0. The last attempt's streams are files."""

    task_id: str
    attempt: int = 0
    executor: int = 0


def summary(run: RunSummary) -> dict[str, Json]:
    """Schema RunSummary."""
    times = _times(run.started, run.ended)
    return {"run_id": run.id, "state": run.state.value, **times, "tags": masked(dict(run.tags))}


def event(entry: RunEvent) -> dict[str, Json]:
    """Schema Event."""
    document: dict[str, Json] = {"time": exact_time(entry.time), "state": entry.state.value}
    return {**document, "reason": masked_text(entry.reason)} if entry.reason else document


def run_log(run: Run, tasks: Sequence[Task], links: Links, most_logs: int) -> dict[str, Json]:
    """Schema RunLog; at most `most_logs` entries in the deprecated `task_logs`."""
    logs = [log for task in tasks for log in task_logs(task, links)]
    return {
        "run_id": run.id,
        "request": masked(run.request.as_json()),
        "state": run.state.value,
        "run_log": engine_log(run, links),
        "task_logs_url": links.tasks(run.id),
        "task_logs": list[Json](logs[:most_logs]),
        "outputs": linked(run.outputs, links.outputs(run.id)),
        **({} if run.parent is None else {"resumed_from": run.parent}),
    }


def engine_log(run: Run, links: Links) -> dict[str, Json]:
    """Schema Log for the engine's process; what is not known yet is left out."""
    log: dict[str, Json] = {"name": document_name(run.request.workflow_url) or run.engine}
    if run.process.argv:
        log["cmd"] = [masked_text(word) for word in run.process.argv]
    log.update(_times(run.process.started or run.started, run.ended or run.process.ended))
    log["stdout"] = links.engine_log(run.id, "stdout")
    log["stderr"] = links.engine_log(run.id, "stderr")
    if run.process.exit_code is not None:
        log["exit_code"] = run.process.exit_code
    reason = run.reason or DEFAULT_REASONS.get(run.state)
    lines = [*([reason] if reason else []), *run.system_logs]
    if lines:
        log["system_logs"] = [masked_text(line) for line in lines]
    return log


def task_logs(task: Task, links: Links) -> list[dict[str, Json]]:
    """Schema TaskLog, one per attempt and executor; under the plain task id where there is one of each."""
    return [task_log(task, log, links) for log in log_ids(task)]


def log_ids(task: Task) -> list[TaskLogId]:
    """What the task has logs of; an executor that has not started yet is among them."""
    return [
        TaskLogId(task_id=task.id, attempt=attempt, executor=executor)
        for attempt in range(max(1, len(_attempts(task))))
        for executor in range(max(1, len(_executors(task))))
    ]


def log_name(task: Task, log: TaskLogId) -> str:
    """The id of a TaskLog: the task's own, or `<task>.<attempt>.<executor>` where it has several."""
    alone = len(_attempts(task)) <= 1 and len(_executors(task)) <= 1
    return task.id if alone else f"{log.task_id}.{log.attempt}.{log.executor}"


def parse_log_name(name: str) -> TaskLogId:
    """The reverse of `log_name`; any other text is taken for a task's id."""
    task_id, *numbers = name.rsplit(".", 2)
    if len(numbers) == 2 and all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        return TaskLogId(task_id=task_id, attempt=int(numbers[0]), executor=int(numbers[1]))
    return TaskLogId(task_id=name)


def is_last_attempt(task: Task, log: TaskLogId) -> bool:
    """Whether its streams are in the task's log files."""
    return log.attempt >= len(_attempts(task)) - 1


def tes_stream(task: Task, log: TaskLogId, stream: str) -> str:
    """What the TES itself kept of a stream, mostly its tail; empty where it kept nothing."""
    ran = _executor_log(_attempt(task, log.attempt), log.executor)
    return (ran.get("stdout") if stream == "stdout" else ran.get("stderr")) or ""


def task_log(task: Task, log: TaskLogId, links: Links) -> dict[str, Json]:
    """Schema TaskLog for one executor of one attempt."""
    name, executors, attempt = log_name(task, log), _executors(task), _attempt(task, log.attempt)
    ran = _executor_log(attempt, log.executor)
    document: dict[str, Json] = {"id": name, "name": task.name or task.id}
    command = executors[log.executor].get("command") if log.executor < len(executors) else None
    if command:
        document["cmd"] = [masked_text(word) for word in command]
    whole: TesTaskLog = attempt if len(executors) <= 1 else {}
    started = parse_time(ran.get("start_time")) or parse_time(whole.get("start_time"))
    ended = parse_time(ran.get("end_time")) or parse_time(whole.get("end_time"))
    document.update(_times(started, ended))
    document["stdout"], document["stderr"] = links.task_logs(task.run_id, name)
    code = _exit_code(task, ran)
    if code is not None:
        document["exit_code"] = code
    document["system_logs"] = _task_lines(task, attempt)
    document["tes_uri"] = links.tes_task(task.id)
    if task.reused_from is not None:
        document["reused_from"] = {"run_id": task.reused_from.run_id, "task_id": task.reused_from.task_id}
    return document


def _task_lines(task: Task, attempt: TesTaskLog) -> list[str]:
    """Without credentials, as all that is shown. Of an attempt that was lost with its TES task its own lines tell how:
    reason, state and TES of the task are those of its last attempt."""
    is_present = not submission_of(attempt)
    lines = _state_lines(task) if is_present else []
    metadata = attempt.get("metadata") or {}
    host = next((metadata[key] for key in HOST_KEYS if metadata.get(key)), None)
    if host:
        lines.append(masked_text(f"host: {host}"))
    if is_present and task.tes_url and task.tes_id:
        lines.append(f"task on its TES: {bare_url(task.tes_url).rstrip('/')}/tasks/{task.tes_id}")
    return lines + [masked_text(line) for line in attempt.get("system_logs") or [] if line]


def _state_lines(task: Task) -> list[str]:
    resources = (task.body.get("tags") or {}).get(TAG_RESOURCES)
    lines = [masked_text(text) for text in (task.reason, task.route, resources) if text]
    if task.reused_from is not None:
        lines.append(f"{REUSED_FROM}{task.reused_from.run_id}, task {task.reused_from.task_id}: it was not run again")
    if task.attempt > 1:
        lines.append(f"attempt {task.attempt} at this step")
    return [*lines, f"TES state: {task.state.value}"]


def _exit_code(task: Task, ran: TesExecutorLog) -> int | None:
    # Funnel tells 0 while an executor runs: a code counts once its executor has an end, or the task has ended by it.
    code = ran.get("exit_code")
    by_task = task.state is TaskState.COMPLETE or (task.state is TaskState.EXECUTOR_ERROR and code)
    return code if ran.get("end_time") or by_task else None


def _attempts(task: Task) -> Sequence[TesTaskLog]:
    return task.document.get("logs") or []


def _executors(task: Task) -> Sequence[TesExecutor]:
    return task.document.get("executors") or task.body.get("executors") or []


def _attempt(task: Task, number: int) -> TesTaskLog:
    attempts = _attempts(task)
    return attempts[number] if number < len(attempts) else {}


def _executor_log(attempt: TesTaskLog, number: int) -> TesExecutorLog:
    logs = attempt.get("logs") or []
    return logs[number] if number < len(logs) else {}


def _times(started: datetime | None, ended: datetime | None) -> dict[str, Json]:
    times: dict[str, Json] = {}
    if started is not None:
        times["start_time"] = wes_time(started)
    if ended is not None:
        times["end_time"] = wes_time(ended)
    return times


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """Numbers of steps. `known` is None while the engine can't tell; `cached` are those taken from an earlier run."""

    known: int | None = None
    running: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0

    def as_json(self) -> dict[str, Json]:
        """The extension field; `known` is left out while it is unknown."""
        counts: dict[str, Json] = {"running": self.running, "done": self.done, "failed": self.failed}
        known: dict[str, Json] = {} if self.known is None else {"known": self.known}
        return {**known, **counts, "cached": self.cached}


def parse_progress(raw: bytes) -> RunProgress | None:
    """What an engine wrote; None for anything that is not such a document, as the file is foreign code's."""
    try:
        document = read_json(raw)
    except BadJson:
        return None
    if not isinstance(document, dict):
        return None
    numbers: dict[str, Any] = {name: value for name in PROGRESS_FIELDS if _is_count(value := document.get(name))}
    return RunProgress(**numbers) if {"running", "done"} <= numbers.keys() else None


def progress_of_tasks(counts: Mapping[str, int]) -> RunProgress:
    """From the number of tasks in each TES state."""
    ended = {state.value for state in TASK_TERMINAL}
    done = counts.get(TaskState.COMPLETE.value, 0)
    running = sum(number for state, number in counts.items() if state not in ended)
    failed = sum(counts.values()) - done - running - counts.get(TaskState.CANCELED.value, 0)
    return RunProgress(running=running, done=done, failed=failed)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
