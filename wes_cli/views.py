"""Answers of a WES server as typed values, read leniently: any server of the standard will do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from common.json_types import Json, JsonObject
from common.times import parse_time
from wes_service.core.run_log import SENT_TO, WARNING

SUCCESS = "COMPLETE"
ENDED = frozenset({"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"})
IMAGE_NOT_USED = "was not used"
"""So the log of a run tells of an image."""
Phase = Literal["waiting", "running", "done", "failed", "canceled"]


@dataclass(frozen=True, kw_only=True)
class LogView:
    """A log of the standard (WES 1.1.0, schemas Log and TaskLog); `id` is empty for the run's own."""

    id: str = ""
    name: str = ""
    cmd: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    system_logs: tuple[str, ...] = ()
    tes_uri: str = ""
    reused_from: str = ""
    """Our servers' addition: the run whose task has done the work."""

    @property
    def phase(self) -> Phase:
        """The standard gives a task no state: it follows from its times, its exit code and what the server says."""
        if self.exit_code is not None:
            return "done" if self.exit_code == 0 else "failed"
        # A task that ended before it began has no times: our servers tell its state in a line.
        lines = [line for line in self.system_logs if self.ended is not None or line.startswith(TES_STATE)]
        bad = next((word for line in lines for word in FAILED_TES_STATES if word in line), None)
        if bad is not None:
            return "canceled" if bad in CANCELED_TES_STATES else "failed"
        if self.ended is not None:
            return "done"
        return "running" if self.started is not None else "waiting"

    @property
    def route(self) -> str:
        """The TES of a task and why it is that one, where the server says so."""
        lines = (line for line in self.system_logs if line.startswith(SENT_TO))
        return next(lines, "").removeprefix(SENT_TO)

    def at_end(self) -> Phase:
        """The phase in a run that has ended: nothing waits or runs any more."""
        return "canceled" if self.phase in {"waiting", "running"} else self.phase


TES_STATE = "TES state: "
CANCELED_TES_STATES = ("CANCELED", "PREEMPTED")
FAILED_TES_STATES = ("EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED")


@dataclass(frozen=True, kw_only=True)
class StepCounts:
    """Our servers' addition `progress`: numbers of steps, None where the server does not tell."""

    known: int | None = None
    running: int | None = None
    done: int | None = None
    failed: int | None = None
    cached: int | None = None

    def __str__(self) -> str:
        """`3 of 5 steps done, 1 running, 1 from before`; empty where nothing is known."""
        if self.done is None:
            return ""
        total = f" of {self.known}" if self.known else ""
        more = [(self.running, "running"), (self.failed, "failed"), (self.cached, "from an earlier run")]
        return ", ".join([f"{self.done}{total} steps done", *(f"{number} {word}" for number, word in more if number)])


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run as GET /runs/{id} shows it."""

    id: str
    state: str
    log: LogView = LogView()
    request: JsonObject = field(default_factory=dict)
    outputs: JsonObject = field(default_factory=dict)
    task_logs: tuple[LogView, ...] = ()
    steps: StepCounts = StepCounts()
    resumed_from: str = ""

    @property
    def reason(self) -> str:
        """Why it ended as it did, in the server's words; empty where it says nothing."""
        return self.log.system_logs[0] if self.log.system_logs else ""

    @property
    def cautions(self) -> tuple[str, ...]:
        """What of the system log a person should know even of a run that went well."""
        lines = (line for line in self.log.system_logs if line.startswith(WARNING) or IMAGE_NOT_USED in line)
        return tuple(line.removeprefix(WARNING) for line in lines)


@dataclass(frozen=True, kw_only=True)
class RunListItem:
    """A run as GET /runs lists it."""

    id: str
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    steps: StepCounts = StepCounts()


@dataclass(frozen=True, kw_only=True)
class RunEventView:
    """Our servers' addition: a state that a run came to."""

    time: datetime | None
    state: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """What the command line needs of GET /service-info: names to versions."""

    name: str
    version: str
    types: Mapping[str, tuple[str, ...]]
    engines: Mapping[str, tuple[str, ...]]


def read_run(document: Json) -> RunView:
    """From GET /runs/{id} (WES 1.1, schema RunLog)."""
    body = _object(document)
    return RunView(
        id=_text(body.get("run_id")),
        state=_text(body.get("state")) or "UNKNOWN",
        log=read_log(body.get("run_log")),
        request=_object(body.get("request")),
        outputs=_object(body.get("outputs")),
        task_logs=tuple(read_log(item) for item in _list(body.get("task_logs"))),
        steps=_steps(body),
        resumed_from=_text(body.get("resumed_from")),
    )


def read_list_item(document: Json) -> RunListItem:
    """From an item of GET /runs (schema RunSummary), or from GET /runs/{id}/status (schema RunStatus)."""
    body = _object(document)
    return RunListItem(
        id=_text(body.get("run_id")),
        state=_text(body.get("state")) or "UNKNOWN",
        started=parse_time(body.get("start_time")),
        ended=parse_time(body.get("end_time")),
        tags={name: _text(value) for name, value in _object(body.get("tags")).items()},
        steps=_steps(body),
    )


def read_events(document: Json) -> list[RunEventView]:
    """From GET /runs/{id}/events, which only our servers have."""
    return [
        RunEventView(
            time=parse_time(body.get("time")), state=_text(body.get("state")), reason=_text(body.get("reason"))
        )
        for body in map(_object, _list(_object(document).get("events")))
    ]


def _steps(body: JsonObject) -> StepCounts:
    """None of them runs in a run that has ended."""
    steps = read_steps(body.get("progress"))
    return replace(steps, running=None) if body.get("state") in ENDED else steps


def read_steps(document: Json) -> StepCounts:
    """From our servers' addition `progress`."""
    body = _object(document)
    numbers = {name: value for name in StepCounts.__dataclass_fields__ if isinstance(value := body.get(name), int)}
    return StepCounts(**numbers)


def read_log(document: Json) -> LogView:
    """From the schemas Log and TaskLog; `cmd` may be one string, as WES 1.0 had it."""
    body = _object(document)
    cmd = body.get("cmd")
    code = body.get("exit_code")
    return LogView(
        id=_text(body.get("id")),
        name=_text(body.get("name")),
        cmd=(cmd,) if isinstance(cmd, str) else _texts(cmd),
        started=parse_time(body.get("start_time")),
        ended=parse_time(body.get("end_time")),
        exit_code=code if isinstance(code, int) else None,
        stdout=_text(body.get("stdout")),
        stderr=_text(body.get("stderr")),
        system_logs=_texts(body.get("system_logs")),
        tes_uri=_text(body.get("tes_uri")),
        reused_from=_text(_object(body.get("reused_from")).get("run_id")),
    )


def read_service(document: Json) -> ServiceView:
    """From GET /service-info; versions may be lists or objects, as servers differ."""
    body = _object(document)
    return ServiceView(
        name=_text(body.get("name")),
        version=_text(body.get("version")),
        types=_versions(body.get("workflow_type_versions"), "workflow_type_version"),
        engines=_versions(body.get("workflow_engine_versions"), "workflow_engine_version"),
    )


def _versions(document: Json, key: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in _object(document).items():
        listed = value.get(key) if isinstance(value, Mapping) else value
        found[name] = (listed,) if isinstance(listed, str) else _texts(listed)
    return found


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in _list(value) if item is not None)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
