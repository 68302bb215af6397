"""Runs: their states and transitions (WES 1.1.0, schema State), requests and owners, and which of them a list shows."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from common.json_types import Json, JsonObject
from common.step_resources import STEP_CHANGES, StepChange, StepLimits, limits_of, step_changes


class RunState(StrEnum):
    """Every state of the standard; this server never answers UNKNOWN, PAUSED or PREEMPTED."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    PREEMPTED = "PREEMPTED"


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.INITIALIZING, RunState.CANCELING, RunState.SYSTEM_ERROR}),
    RunState.INITIALIZING: frozenset(
        {RunState.RUNNING, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELING}
    ),
    RunState.RUNNING: frozenset(
        {RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELING}
    ),
    RunState.CANCELING: frozenset({RunState.CANCELED}),
}

TERMINAL = frozenset({RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELED})
"""Nothing ever leaves these."""

HELD = frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.CANCELING})
"""A worker may hold a lease on a run in one of these."""


def may_move(before: RunState, after: RunState) -> bool:
    """Whether the table allows it."""
    return after in TRANSITIONS.get(before, frozenset())


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Issuer and subject of the user; every query of a store is scoped by it."""

    issuer: str
    subject: str


TES = "tes"
"""Name of the engine parameter, and of the tag, by which a run asks for a TES."""
PRIORITY = "priority"
"""Name of the engine parameter that orders an owner's queued runs."""
MAX_TIME = "max_time"
"""Name of the engine parameter by which a run limits its own time."""
REUSE = "reuse"
"""Name of the engine parameter by which a run takes what other runs of its owner's have done."""
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

    @property
    def tes(self) -> str:
        """The TES that all tasks are to go to, by its name or a label of it: the engine parameter `tes`, else the tag
        of that name; empty where none is asked for."""
        return (self.workflow_engine_parameters.get(TES) or self.tags.get(TES) or "").strip()

    @property
    def priority(self) -> int:
        """Of an owner's queued runs, those with a higher one are begun first; -100 to 100."""
        return int(self.workflow_engine_parameters.get(PRIORITY) or 0)

    @property
    def max_time(self) -> str:
        """The longest time that it is to take, from its first start, as `12h`; empty where it does not say."""
        return self.workflow_engine_parameters.get(MAX_TIME) or ""

    @property
    def reuse(self) -> bool | None:
        """Whether steps are to be taken from any run of the owner's (True), or from none, not even from one that is
        resumed (False); None where it does not say."""
        asked = self.workflow_engine_parameters.get(REUSE)
        return asked == "true" if asked else None

    @property
    def step_changes(self) -> tuple[StepChange, ...]:
        """What steps get whatever the workflow says; `ValueError` says what can't be understood."""
        return step_changes(self.workflow_engine_parameters.get(STEP_CHANGES) or "")

    @property
    def step_limits(self) -> StepLimits:
        """The most that a step gets, as the run asks for it; `ValueError` as for `step_changes`."""
        return limits_of(self.workflow_engine_parameters)

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

    `engine` is the resolved engine's name, `engine_version` the version that ran it first; before that the wanted
    one, or None for the newest installed. `epoch` counts claims, and so attempts; `worker` is set while a worker holds
    the run, and `losses` counts the workers that it lost. `fetched_document`: the workflow document, below the
    attachments, once it was fetched. `parent`: the run that this one resumes, if any. `reason` is one sentence for a
    person on how it ended, `system_logs` are further lines. `work_removed`: when all but the outputs went from its work
    folder.
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
    losses: int = 0
    fetched_document: str | None = None
    parent: str | None = None
    work_removed: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What GET /runs lists of a run."""

    id: str
    state: RunState
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """All that is given must hold; what is empty or None holds for every run.

    `states`, `engines`: one of them. `tags`: each of them, as `tag_texts` writes them. `since` (inclusive) and `until`
    (exclusive), UTC: when the run was created. `search`: casefolded; the beginning of the run's id, or a part of its
    `search_text`.
    """

    states: frozenset[RunState] = frozenset()
    engines: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    search: str = ""

    def matches(self, run: Run) -> bool:
        """What the stores decide by their indexes, for one run."""
        return (
            (not self.states or run.state in self.states)
            and (not self.engines or run.engine in self.engines)
            and self.tags <= tag_texts(run.request.tags)
            and (self.since is None or run.created >= self.since)
            and (self.until is None or run.created < self.until)
            and (run.id.casefold().startswith(self.search) or self.search in search_text(run.request))
        )

    @property
    def digest(self) -> str:
        """Short, and another one for another filter; empty where every run is wanted."""
        if self == EVERY_RUN:
            return ""
        parts = [sorted(self.states), sorted(self.engines), sorted(self.tags), self.since, self.until, self.search]
        return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()[:12]


EVERY_RUN = RunFilter()


def tag_texts(tags: Mapping[str, str]) -> frozenset[str]:
    """Each tag as `key:value`; a key or value that holds a colon itself needs no other way to be written."""
    return frozenset(f"{key}:{value}" for key, value in tags.items())


def search_text(request: RunRequest) -> str:
    """What a search looks into: where the workflow lies, and the tags; casefolded, a line each."""
    return "\n".join([request.workflow_url, *sorted(tag_texts(request.tags))]).casefold()


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """`owner` is who submitted the run and who deleted it, as nobody else can. Times are UTC.

    `purged` is None until the run's folder is gone. `tasks` is how many the run had. `request_digest` proves which
    request it was to one who has that request (`request_digest`).
    """

    id: str
    owner: Owner
    state: RunState
    engine: str
    engine_version: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    deleted: datetime
    purged: datetime | None = None
    tasks: int
    request_digest: str


def tombstone_of(run: Run, tasks: int, now: datetime) -> Tombstone:
    """For a run that is deleted now."""
    return Tombstone(
        id=run.id,
        owner=run.owner,
        state=run.state,
        engine=run.engine,
        engine_version=run.engine_version,
        created=run.created,
        started=run.started,
        ended=run.ended,
        deleted=now,
        tasks=tasks,
        request_digest=request_digest(run),
    )


def request_digest(run: Run) -> str:
    """SHA-256 (hexadecimal) of request and attachments' names, as JSON with sorted keys and without spaces."""
    whole = {"request": run.request.as_json(), "attachments": sorted(run.attachments)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":"), default=dict).encode()).hexdigest()


def key_digest(key: str) -> str:
    """SHA-256 (hexadecimal) of an Idempotency-Key, which may name a sample and so is not kept as it is."""
    return hashlib.sha256(key.encode()).hexdigest()
