"""A task of a run: one step that an engine handed to the gateway, which sent it to a TES."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wes_service.core.json_types import JsonObject


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
