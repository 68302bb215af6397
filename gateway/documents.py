"""Reading tesTask documents of servers that disagree about them. Pure."""

from collections.abc import Mapping
from typing import Any

from common.json_types import Json, JsonObject
from tes.task import TASK_TERMINAL, Task, TaskState

_ORDER = (
    TaskState.UNKNOWN,
    TaskState.QUEUED,
    TaskState.INITIALIZING,
    TaskState.PAUSED,
    TaskState.RUNNING,
    TaskState.CANCELING,
)


def state_of(document: JsonObject) -> TaskState:
    """The state a TES tells; UNKNOWN where it tells none that the standard has."""
    try:
        return TaskState(str(document.get("state")))
    except ValueError:
        return TaskState.UNKNOWN


def forward(before: TaskState, told: TaskState) -> TaskState:
    """The state after a TES told `told`: never back (TESK's RUNNING can become QUEUED), never out of a terminal one."""
    if before in TASK_TERMINAL:
        return before
    if told in TASK_TERMINAL:
        return told
    return max(before, told, key=_ORDER.index)


def cleaned(document: JsonObject) -> dict[str, Any]:
    """The document in which an executor's exit code is there only if it has ended (Funnel: 0 while RUNNING)."""
    return {**document, "logs": [_clean_log(log) for log in objects(document.get("logs"))]}


def _clean_log(log: Mapping[str, Json]) -> dict[str, Any]:
    executors = [
        entry if entry.get("end_time") else {name: value for name, value in entry.items() if name != "exit_code"}
        for entry in objects(log.get("logs"))
    ]
    return {**log, "logs": executors}


def executor_logs(document: JsonObject) -> list[Mapping[str, Json]]:
    """The logs of the last attempt's executors."""
    attempts = objects(document.get("logs"))
    return objects(attempts[-1].get("logs")) if attempts else []


def running_output(document: JsonObject) -> tuple[int, Mapping[str, Json]]:
    """The number of the executor that follows those which have a log, and `stdout` and `stderr` of it so far: a TES
    whose answers fit the standard at any moment tells them in the attempt's metadata, as a log needs an exit code."""
    attempts = objects(document.get("logs"))
    metadata = attempts[-1].get("metadata") if attempts else None
    return len(executor_logs(document)), metadata if isinstance(metadata, Mapping) else {}


def exit_code(document: JsonObject) -> int | None:
    """The first exit code that is not 0, else the last one; None while none has ended."""
    codes = [entry["exit_code"] for entry in executor_logs(document) if isinstance(entry.get("exit_code"), int)]
    numbers = [code for code in codes if isinstance(code, int)]
    return next((code for code in numbers if code), numbers[-1] if numbers else None)


def system_logs(document: JsonObject) -> list[str]:
    """The system log lines of the last attempt."""
    attempts = objects(document.get("logs"))
    told = attempts[-1].get("system_logs") if attempts else None
    return [str(line) for line in told] if isinstance(told, list) else []


def engine_view(task: Task, view: str) -> dict[str, Any]:
    """The task as an engine sees it: under the gateway's id, in the gateway's state (TES 1.1.0, views)."""
    if view == "MINIMAL":
        return {"id": task.id, "state": task.state.value}
    whole: dict[str, Any] = {**task.body, **task.document, "id": task.id, "state": task.state.value}
    whole["creation_time"] = task.created.isoformat().replace("+00:00", "Z")
    if task.reason and task.terminal:
        whole["logs"] = _with_reason(objects(whole.get("logs")), task.reason)
    return whole if view == "FULL" else _basic(whole)


def _with_reason(logs: list[Mapping[str, Json]], reason: str) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = [dict(log) for log in logs] or [{"logs": [], "outputs": []}]
    told = attempts[-1].get("system_logs")
    attempts[-1]["system_logs"] = [*(told if isinstance(told, list) else []), reason]
    return attempts


def _basic(whole: dict[str, Any]) -> dict[str, Any]:
    inputs = [{k: v for k, v in item.items() if k != "content"} for item in objects(whole.get("inputs"))]
    logs = [
        {
            **{k: v for k, v in log.items() if k != "system_logs"},
            "logs": [{k: v for k, v in e.items() if k not in {"stdout", "stderr"}} for e in objects(log.get("logs"))],
        }
        for log in objects(whole.get("logs"))
    ]
    return {**whole, "inputs": inputs, "logs": logs}


def objects(value: Json) -> list[Mapping[str, Json]]:
    """The objects in what should be a list of objects."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
