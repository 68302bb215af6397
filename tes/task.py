"""A task of a run: one step that an engine handed to the gateway, which sent it to a TES."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from common.json_types import JsonObject


class TaskState(StrEnum):
    """TES 1.1.0, schema tesState."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    PREEMPTED = "PREEMPTED"
    CANCELING = "CANCELING"


TASK_TERMINAL = frozenset(
    {
        TaskState.COMPLETE,
        TaskState.EXECUTOR_ERROR,
        TaskState.SYSTEM_ERROR,
        TaskState.CANCELED,
        TaskState.PREEMPTED,
    }
)

# Tags that the gateway and our executors put on every TES task.
TAG_RUN = "wes.run_id"
TAG_TASK = "wes.task"
"""The gateway's own id of the task: by it a task is found on a TES whose answer was lost."""
TAG_OWNER = "wes.owner"
TAG_STEP = "wes.step"
TAG_KEY = "wes.step_key"
TAG_ATTEMPT = "wes.attempt"


# Of a gateway's task that was lost with its TES task, and sent again.
TAG_SUBMISSION = "wes.submission"
"""Which of its TES tasks one is, from 1, where the same task was sent more than once. A tag of the TES task, and in the
`metadata` of each log of those that were lost."""


def submissions(document: JsonObject) -> int:
    """How many TES tasks of a task were lost before the one that it has now."""
    logs = document.get("logs")
    return max((_submission(log) for log in logs), default=0) if isinstance(logs, (list, tuple)) else 0


def _submission(log: object) -> int:
    metadata = log.get("metadata") if isinstance(log, Mapping) else None
    number = str(metadata.get(TAG_SUBMISSION) or "0") if isinstance(metadata, Mapping) else "0"
    return int(number) if number.isascii() and number.isdigit() else 0


@dataclass(frozen=True, kw_only=True)
class PendingCancel:
    """A TES task that nobody waits for any more, but that its TES may still have: to be cancelled there.

    `tes_url` is empty where any configured TES may have it; without a `tes_id` it is looked for by its tags.
    """

    run_id: str
    task_id: str
    submission: int = 1
    tes_url: str
    tes_id: str | None = None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task as the gateway recorded it.

    `id` is the gateway's own id, the one an engine sees; `tes_url` and `tes_id` name the task on the TES that runs it
    and are None until that TES has answered. `body` is the tesTask document as it was sent, `document` the newest
    view of it that the TES gave (the FULL view once the task is terminal).
    """

    id: str
    run_id: str
    name: str
    key: str | None = None
    attempt: int = 1
    state: TaskState = TaskState.QUEUED
    tes_url: str | None = None
    tes_id: str | None = None
    created: datetime
    body: JsonObject
    document: JsonObject = field(default_factory=dict)
    reason: str | None = None

    @property
    def terminal(self) -> bool:
        return self.state in TASK_TERMINAL
