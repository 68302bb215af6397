"""TES servers that do not answer, and tasks that they no longer know."""

import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import structlog

from common.json_types import Json, JsonObject
from gateway.documents import executor_logs, objects, system_logs
from tes.task import TAG_SUBMISSION, Task, TaskState, submissions

log = structlog.get_logger(__name__)

QUIET_SECONDS = 3.0
"""What is over sooner is not told."""


class Outages:
    """Of one run, whichever and however many of its tasks meet them; `note` adds a line to its system log."""

    def __init__(self, run_id: str, note: Callable[[str], None], quiet_seconds: float = QUIET_SECONDS) -> None:
        self._run_id = run_id
        self._note = note
        self._quiet_seconds = quiet_seconds
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def begin(self, what: str, problem: str) -> None:
        """`what` does not answer, or goes on not to."""
        since = self._since.setdefault(what, time.monotonic())
        if what not in self._told and time.monotonic() - since >= self._quiet_seconds:
            self._told.add(what)
            log.warning("waiting", action="outage", run_id=self._run_id, what=what, problem=problem)
            self._note(f"waiting for {what}: {problem}")

    def end(self, what: str) -> None:
        """`what` answers."""
        since = self._since.pop(what, None)
        if since is not None and what in self._told:
            self._told.remove(what)
            seconds = time.monotonic() - since
            log.info("answers again", action="outage_over", run_id=self._run_id, what=what, seconds=round(seconds))
            self._note(f"{what} answers again, after {seconds:.0f} s")


EMPTY_LOG: Mapping[str, Json] = {"logs": [], "outputs": []}


class Blame(StrEnum):
    """Whose fault the end of a task was."""

    TASK = "task"
    """It is over: the task would end the same way again."""
    UNKNOWN = "unknown"
    """Nothing of it ran yet, so it costs little to send it again, and the TES may know why it never will."""
    SERVICE = "service"
    """What ran it is gone: it may end well elsewhere, or later."""


def blame(task: Task, state: TaskState, document: JsonObject) -> Blame:
    """For a task that its TES ended in SYSTEM_ERROR or PREEMPTED, by its FULL view; `task` is as it was before that."""
    if state is TaskState.PREEMPTED:
        return Blame.SERVICE
    ran = executor_logs(document)
    ended = [entry for entry in ran if entry.get("end_time")]
    if any(_failed(entry) for entry in ran) or len(ended) >= len(objects(task.body.get("executors"))):
        return Blame.TASK
    if task.state is TaskState.RUNNING or any(entry.get("start_time") for entry in ran):
        return Blame.SERVICE
    return Blame.TASK if _said_before(task, document) else Blame.UNKNOWN


def lost_logs(document: JsonObject, number: int, reason: str) -> list[dict[str, Any]]:
    """The logs of a TES task that was lost as submission `number`, marked so that they are known for what they are."""
    logs = [dict(log) for log in objects(document.get("logs"))] or [dict(EMPTY_LOG)]
    for log in logs:
        told = log.get("metadata")
        log["metadata"] = {**(told if isinstance(told, Mapping) else {}), TAG_SUBMISSION: str(number)}
    before = logs[-1].get("system_logs")
    logs[-1]["system_logs"] = [*(before if isinstance(before, list) else []), reason]
    return logs


def earlier_logs(document: JsonObject) -> list[Mapping[str, Json]]:
    """The logs of all TES tasks of this one that were lost."""
    return [log for log in objects(document.get("logs")) if submissions({"logs": [log]})]


def with_earlier(earlier: Sequence[Mapping[str, Json]], document: JsonObject) -> dict[str, Any]:
    """The document of the newest TES task as one of the gateway's task, whose earlier attempts it shows too."""
    if not earlier:
        return dict(document)
    return {**document, "logs": [*earlier, *(objects(document.get("logs")) or [dict(EMPTY_LOG)])]}


def as_submitted(body: JsonObject, number: int) -> dict[str, Any]:
    """The task for its TES: what is sent again is told apart by a tag from what was sent before."""
    tags = body.get("tags")
    if number == 1:
        return dict(body)
    return {**body, "tags": {**(tags if isinstance(tags, Mapping) else {}), TAG_SUBMISSION: str(number)}}


def _failed(entry: Mapping[str, Json]) -> bool:
    return bool(entry.get("exit_code")) and bool(entry.get("end_time"))


def _said_before(task: Task, document: JsonObject) -> bool:
    """Whether the TES ended it with the same words as the time before."""
    before = earlier_logs(task.document)
    return bool(before) and system_logs({"logs": before})[:-1] == system_logs(document)
