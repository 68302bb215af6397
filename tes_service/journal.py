"""The log of one task while it runs (TES 1.1.0, tesTaskLog), written to the store at every step worth keeping."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from common.json_types import Json, JsonObject


def now() -> datetime:
    return datetime.now(UTC)


def tes_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


EXECUTOR_STARTED = "executor_start_time"
"""The entry of a log's metadata that tells since when the executor runs that is not yet in the log."""


@dataclass(frozen=True, kw_only=True)
class ExecutorLog:
    """Of an executor that has ended; the standard has no log without an exit code."""

    start_time: datetime
    end_time: datetime
    exit_code: int
    stdout: str = ""
    stderr: str = ""

    def document(self) -> JsonObject:
        return {
            "start_time": tes_time(self.start_time),
            "end_time": tes_time(self.end_time),
            "stdout": self.stdout,
            "stderr": self.stderr,
            "exit_code": self.exit_code,
        }


@dataclass(frozen=True, kw_only=True)
class OutputLog:
    url: str
    path: str
    size_bytes: int

    def document(self) -> JsonObject:
        return {"url": self.url, "path": self.path, "size_bytes": str(self.size_bytes)}


@dataclass(frozen=True, kw_only=True)
class TaskLog:
    """`running_since`: when the executor started that follows those in `executors`; None where none runs."""

    executors: tuple[ExecutorLog, ...] = ()
    running_since: datetime | None = None
    outputs: tuple[OutputLog, ...] = ()
    system: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None

    def document(self) -> JsonObject:
        shown: dict[str, Json] = {"logs": [one.document() for one in self.executors]}
        metadata = dict(self.metadata)
        if self.running_since is not None:
            metadata[EXECUTOR_STARTED] = tes_time(self.running_since)
        if metadata:
            shown["metadata"] = dict(metadata)
        if self.start_time is not None:
            shown["start_time"] = tes_time(self.start_time)
        if self.end_time is not None:
            shown["end_time"] = tes_time(self.end_time)
        shown["outputs"] = [one.document() for one in self.outputs]
        shown["system_logs"] = list(self.system)
        return shown


class Journal:
    """The log of one task, kept by the thread that runs it; `save` gives it to the store."""

    def __init__(self, log: TaskLog, save: Callable[[JsonObject], None]) -> None:
        self.log = log
        self._save = save

    def document(self) -> JsonObject:
        return self.log.document()

    def save(self) -> None:
        self._save(self.document())

    def begin(self) -> None:
        self.log = replace(self.log, start_time=now())

    def end(self) -> None:
        self.log = replace(self.log, end_time=now())

    def note(self, line: str) -> None:
        """Adds a line to the system logs, once."""
        if line not in self.log.system:
            self.log = replace(self.log, system=(*self.log.system, line))

    def tell(self, name: str, value: str) -> None:
        self.log = replace(self.log, metadata={**self.log.metadata, name: value})

    def executor_started(self) -> None:
        self.log = replace(self.log, running_since=now())
        self.save()

    def executor_ended(self, exit_code: int | None, stdout: str, stderr: str) -> None:
        """`exit_code` None: it never came to run, and has no log."""
        since = self.log.running_since or now()
        self.log = replace(self.log, running_since=None)
        if exit_code is not None:
            ended = ExecutorLog(start_time=since, end_time=now(), exit_code=exit_code, stdout=stdout, stderr=stderr)
            self.log = replace(self.log, executors=(*self.log.executors, ended))

    def outputs(self, files: tuple[OutputLog, ...]) -> None:
        self.log = replace(self.log, outputs=files)


def log_from(document: JsonObject) -> TaskLog:
    """What a log that was stored says, to go on with it after a restart."""
    executors = document.get("logs")
    stored = document.get("metadata")
    system = document.get("system_logs")
    metadata = {name: str(value) for name, value in stored.items()} if isinstance(stored, Mapping) else {}
    running_since = metadata.pop(EXECUTOR_STARTED, None)
    logs = executors if isinstance(executors, list) else []
    return TaskLog(
        executors=tuple(_executor(one) for one in logs if isinstance(one, Mapping) and "exit_code" in one),
        running_since=_time(running_since),
        system=tuple(str(line) for line in system) if isinstance(system, list) else (),
        metadata=metadata,
        start_time=_time(document.get("start_time")),
        end_time=_time(document.get("end_time")),
    )


def _executor(document: JsonObject) -> ExecutorLog:
    started = _time(document.get("start_time")) or now()
    return ExecutorLog(
        start_time=started,
        end_time=_time(document.get("end_time")) or started,
        exit_code=int(str(document.get("exit_code"))),
        stdout=str(document.get("stdout", "")),
        stderr=str(document.get("stderr", "")),
    )


def _time(value: Json) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
