"""TES 1.1 as types: tesTask with its parts and views, and a task of a run as the gateway records it.

A task stays the JSON that it was: fields that the standard does not have (of a newer one, or of one server's dialect)
are kept, so that what is forwarded is whole. What comes from outside is checked once, where it comes in.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from common.errors import InvalidField
from common.json_types import JsonObject

MOST_PROBLEMS = 100
"""Wrong fields of one document that are looked at one by one."""
MOST_ROUNDS = 16
PROBLEMS = {
    "string_type": "must be a string",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "int_type": "must be a 32-bit integer",
    "int_from_float": "must be a 32-bit integer",
    "less_than": "must be a 32-bit integer",
    "greater_than_equal": "must not be negative",
}
"""In words, by pydantic's name for it."""
_OPEN = ConfigDict(extra="allow")


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


class FileType(StrEnum):
    """TES 1.1.0, schema tesFileType."""

    FILE = "FILE"
    DIRECTORY = "DIRECTORY"


class View(StrEnum):
    """How much of a task is shown (TES 1.1.0, GetTask)."""

    MINIMAL = "MINIMAL"
    """`id` and `state`."""
    BASIC = "BASIC"
    """All but the content of inputs, system logs, and stdout and stderr of executors."""
    FULL = "FULL"


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[str, Field(coerce_numbers_to_str=True)]
Texts = Annotated[list[Text], Field(fail_fast=True)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**31), BeforeValidator(_whole)]


@with_config(_OPEN)
class TesInput(TypedDict, total=False):
    """TES 1.1.0, schema tesInput."""

    name: str | None
    description: str | None
    url: str | None
    path: str
    type: str | None
    content: str | None
    streamable: bool | None


@with_config(_OPEN)
class TesOutput(TypedDict, total=False):
    """TES 1.1.0, schema tesOutput."""

    name: str | None
    description: str | None
    url: str
    path: str
    path_prefix: str | None
    type: str | None


@with_config(_OPEN)
class TesExecutor(TypedDict, total=False):
    """TES 1.1.0, schema tesExecutor."""

    image: str
    command: Texts
    workdir: str | None
    stdin: str | None
    stdout: str | None
    stderr: str | None
    env: dict[str, Text] | None
    ignore_error: bool | None


@with_config(_OPEN)
class TesResources(TypedDict, total=False):
    """TES 1.1.0, schema tesResources. `ram_gb` and `disk_gb` are in gigabytes (10^9 bytes)."""

    cpu_cores: Count | None
    preemptible: bool | None
    ram_gb: Number | None
    disk_gb: Number | None
    zones: Texts | None
    backend_parameters: dict[str, Any] | None
    backend_parameters_strict: bool | None


@with_config(_OPEN)
class TesExecutorLog(TypedDict, total=False):
    """TES 1.1.0, schema tesExecutorLog."""

    start_time: str | None
    end_time: str | None
    stdout: str | None
    stderr: str | None
    exit_code: int | None


@with_config(_OPEN)
class TesOutputFileLog(TypedDict, total=False):
    """TES 1.1.0, schema tesOutputFileLog; `size_bytes` is a number of some servers."""

    url: str
    path: str
    size_bytes: Text


@with_config(_OPEN)
class TesTaskLog(TypedDict, total=False):
    """TES 1.1.0, schema tesTaskLog: one attempt at a task."""

    logs: Annotated[list[TesExecutorLog], Field(fail_fast=True)] | None
    metadata: dict[str, Any] | None
    start_time: str | None
    end_time: str | None
    outputs: Annotated[list[TesOutputFileLog], Field(fail_fast=True)] | None
    system_logs: Texts | None


@with_config(_OPEN)
class TesTask(TypedDict, total=False):
    """TES 1.1.0, schema tesTask. A `state` may be one that the standard does not have."""

    id: str
    state: str
    name: str | None
    description: str | None
    inputs: Annotated[list[TesInput], Field(fail_fast=True)] | None
    outputs: Annotated[list[TesOutput], Field(fail_fast=True)] | None
    resources: TesResources | None
    executors: Annotated[list[TesExecutor], Field(fail_fast=True)]
    volumes: Texts | None
    tags: dict[str, Text] | None
    logs: Annotated[list[TesTaskLog], Field(fail_fast=True)] | None
    creation_time: str | None


_TASK: TypeAdapter[TesTask] = TypeAdapter(TesTask)


def checked_task(document: object, *, strict: bool = False) -> TesTask:
    """What a client sent as a new task. `InvalidField` names the first field that is not of the standard's type.

    Not `strict`: a number may stand for its text, and the other way round.
    """
    try:
        task = _TASK.validate_python(document, strict=strict)
    except ValidationError as error:
        if error.error_count() > MOST_PROBLEMS:
            raise InvalidField("task", f"more than {MOST_PROBLEMS} fields have a wrong type") from None
        first = error.errors(include_url=False)[0]
        raise InvalidField(_field(first["loc"]), PROBLEMS.get(first["type"], first["msg"])) from None
    if not task.get("executors"):
        raise InvalidField("executors", "a list of at least one executor is needed")
    return task


def readable_task(document: JsonObject) -> TesTask:
    """What a TES answered, without what is not of the standard's type: servers disagree about it, and a step that ran
    for hours is not lost because one of them wrote a number as a word."""
    for _ in range(MOST_ROUNDS):
        try:
            return _TASK.validate_python(document)
        except ValidationError as error:
            if error.error_count() > MOST_PROBLEMS:
                break
            wrong = [problem["loc"] for problem in error.errors(include_url=False)]
            # The last of a list first, as what follows one moves up.
            for path in reversed(wrong):
                document = _without(document, path)
    state = document.get("state")
    return {"state": state} if isinstance(state, str) else {}


def stored_task(text: str) -> TesTask:
    """A task from its JSON, which an earlier version may have stored as a TES wrote it."""
    try:
        return _TASK.validate_json(text)
    except ValidationError:
        return readable_task(json.loads(text))


def _field(path: Sequence[int | str]) -> str:
    """As in `executors[0].command[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "task"


def _without(document: Any, path: Sequence[int | str]) -> Any:
    """A copy that lacks what is at the path."""
    first, *rest = path
    if isinstance(document, list):
        index = int(first)
        return [*document[:index], *([_without(document[index], rest)] if rest else []), *document[index + 1 :]]
    others = {name: value for name, value in document.items() if name != first}
    return {**others, first: _without(document[first], rest)} if rest else others


def task_view(task: TesTask, view: View) -> TesTask:
    """`task` is the FULL view."""
    if view == View.FULL:
        return task
    if view == View.MINIMAL:
        return {"id": task["id"], "state": task["state"]}
    basic: TesTask = {**task}
    if inputs := task.get("inputs"):
        basic["inputs"] = [_hiding(item, "content") for item in inputs]
    if logs := task.get("logs"):
        basic["logs"] = [_basic_log(log) for log in logs]
    return basic


def _basic_log(log: TesTaskLog) -> TesTaskLog:
    shown: TesTaskLog = _hiding(log, "system_logs")
    if executors := shown.get("logs"):
        shown["logs"] = [_hiding(executor, "stdout", "stderr") for executor in executors]
    return shown


def _hiding(item: Mapping[str, Any], *names: str) -> Any:
    return {name: value for name, value in item.items() if name not in names}


NETWORK = "network"
"""The backend parameter by which a task says whether it wants a network, `true` or `false`; servers that don't know it
ignore it."""

# Tags that the gateway and our executors put on every TES task.
TAG_RUN = "wes.run_id"
TAG_TASK = "wes_task"
"""The gateway's own id of the task: by it a task is found on a TES whose answer was lost. What lists are filtered by
has no dot in its name: Funnel and poiesis, on MongoDB, take that for a path and then find nothing."""
TAG_GATEWAY = "wes_gateway"
"""The gateway that recorded the task, until its process ends: by it a TES lists what one worker has there."""
TAG_OWNER = "wes.owner"
TAG_STEP = "wes.step"
TAG_KEY = "wes.step_key"
TAG_ATTEMPT = "wes.attempt"
TAG_OUTPUTS = "wes.outputs"
"""How an engine takes what a task leaves in a store, where it is not whole and at once."""
TAG_RESOURCES = "wes.resources"
"""In words, what a task was given in place of what its workflow asks for."""
TAG_SUBMISSION = "wes.submission"
"""Which of its TES tasks one is, from 1, where the same task was sent more than once. A tag of the TES task, and in the
`metadata` of each log of those that were lost."""


def submissions(task: TesTask) -> int:
    """How many TES tasks of a task were lost before the one that it has now."""
    return max((submission_of(log) for log in task.get("logs") or []), default=0)


def submission_of(log: TesTaskLog) -> int:
    """Of which lost submission a log is, from 1; 0 where it is that of the present one."""
    number = str((log.get("metadata") or {}).get(TAG_SUBMISSION) or "0")
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
class TaskOfRun:
    """Names a task of another run."""

    run_id: str
    task_id: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of a run, one step that an engine handed to the gateway, as the gateway recorded it.

    `id` is the gateway's own id, the one an engine sees; `tes_url` and `tes_id` name the task on the TES that runs it
    and are None until that TES has answered. `body` is the task as it was sent, `document` the newest view of it that
    the TES gave (the FULL view once the task is terminal). `route` says why it is that TES, where there are several.
    `reuse_key` is the same for the same work on the same contents, in any run; `reused_from` is the task of an earlier
    run whose outputs are this one's.
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
    body: TesTask
    document: TesTask = field(default_factory=TesTask)
    reason: str | None = None
    route: str | None = None
    reuse_key: str | None = None
    reused_from: TaskOfRun | None = None

    @property
    def terminal(self) -> bool:
        """Whether its state is the last one."""
        return self.state in TASK_TERMINAL

    @property
    def submission(self) -> int:
        """Which TES task of this task is its present one, from 1."""
        return submissions(self.document) + 1

    @property
    def creation_time(self) -> str:
        """RFC 3339 in UTC (TES 1.1.0, tesTask.creation_time)."""
        return self.created.isoformat().replace("+00:00", "Z")
