"""A run, what was asked for, and who asked (WES 1.1.0, schemas RunRequest, RunSummary, RunLog)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from common.json_types import Json, JsonObject
from wes_service.core.state import RunState


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Issuer and subject of the user; every query of a store is scoped by it."""

    issuer: str
    subject: str


ANONYMOUS = Owner(issuer="local", subject="anonymous")


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What was submitted (WES 1.1.0, schema RunRequest); absent optional fields are None."""

    workflow_type: str
    workflow_type_version: str
    workflow_url: str
    workflow_params: JsonObject = field(default_factory=dict)
    workflow_engine: str | None = None
    workflow_engine_version: str | None = None
    workflow_engine_parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """The document of the standard, without the fields that were not submitted."""
        document: dict[str, Json] = {
            "workflow_type": self.workflow_type,
            "workflow_type_version": self.workflow_type_version,
            "workflow_url": self.workflow_url,
            "workflow_params": dict(self.workflow_params),
            "tags": dict(self.tags),
            "workflow_engine_parameters": dict(self.workflow_engine_parameters),
        }
        if self.workflow_engine is not None:
            document["workflow_engine"] = self.workflow_engine
        if self.workflow_engine_version is not None:
            document["workflow_engine_version"] = self.workflow_engine_version
        return document


@dataclass(frozen=True, kw_only=True)
class EngineProcess:
    """The engine as a process of this run: argv, times (UTC) and exit code, as far as they are known."""

    argv: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row of the truth.

    `engine` is the resolved engine's name, `engine_version` the wanted version or None for the newest installed.
    `epoch` counts claims; `worker` is set while a worker holds the run. `reason` is one
    sentence for a person on how it ended, `system_logs` further lines.
    """

    id: str
    owner: Owner
    state: RunState
    request: RunRequest
    attachments: tuple[str, ...] = ()
    engine: str
    engine_version: str | None = None
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    epoch: int = 0
    worker: str | None = None
    process: EngineProcess = EngineProcess()
    reason: str | None = None
    system_logs: tuple[str, ...] = ()
    outputs: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What GET /runs lists of a run."""

    id: str
    state: RunState
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
