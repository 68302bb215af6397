"""Makes a run ready to start: its disk, workflow, params and engine."""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from common.engine import Engine, EngineJob, Installation, RunFolder
from common.errors import EngineError, EngineNotInstalled, InvalidField
from common.json_types import Json
from common.location import file_url
from common.step_resources import StepLimits, lower_limits
from common.times import parse_span
from gateway.step_requests import StepRules
from gateway.task_reuse import ReuseScope
from sandbox.identity import Identity
from wes_service.core.run import MAX_TIME, Run
from wes_service.core.workflow import SOURCE_FILE, AttachedWorkflow, FetchedWorkflow, RemoteWorkflow, workflow_named
from wes_service.services.engine_choice import check_tes, engine_parameters
from wes_service.settings import EngineDefaults


def workflow_of(run: Run) -> AttachedWorkflow | RemoteWorkflow:
    """What `workflow_url` names; `EngineError` where it is nothing that can be run."""
    try:
        return workflow_named(run.request.workflow_url, run.attachments)
    except InvalidField as error:
        raise EngineError(str(error)) from None


def check_tes_choice(run: Run, choices: Collection[str]) -> None:
    """`EngineError` where the run asks for a TES that is not among those of this worker."""
    try:
        check_tes(run.request, choices)
    except InvalidField as error:
        raise EngineError(str(error)) from None


def write_source(folder: RunFolder, fetched: FetchedWorkflow, identity: Identity) -> None:
    """Where a fetched workflow came from, in the logs, where the engine can't change it."""
    path = folder.logs / SOURCE_FILE
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(fetched.source))
    identity.own(unfinished)
    # Whoever reads it meanwhile finds all of it, or nothing.
    unfinished.rename(path)


def inherit_source(folder: RunFolder, parent: RunFolder, identity: Identity) -> None:
    """The same, of a run that resumes one whose workflow was fetched."""
    path = folder.logs / SOURCE_FILE
    with contextlib.suppress(OSError):
        if not path.exists():
            path.write_text((parent.logs / SOURCE_FILE).read_text())
            identity.own(path)


def unattached(run: Run, folder: RunFolder) -> tuple[str, ...]:
    """A line for the log on files that the params name and that came with a fetched workflow, not from the user."""
    names = [name for name in _file_names(run.request.workflow_params) if name not in run.attachments]
    found = [name for name in names if (folder.attachments / name).exists()]
    return (f"workflow_params name files of the fetched workflow: {', '.join(found[:10])}.",) if found else ()


def _file_names(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        given = value.get("location", value.get("path"))
        if value.get("class") in {"File", "Directory"} and isinstance(given, str) and _is_inside(given):
            yield str(PurePosixPath(given))
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _file_names(item)


def _is_inside(name: str) -> bool:
    return (
        bool(name)
        and "\0" not in name
        and not name.startswith("/")
        and ".." not in name.split("/")
        and len(name) < 1000
    )


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """How long a run may take, from its first start to its engine's end, in seconds and as it was set, and where."""

    seconds: float
    text: str
    setting: str

    @property
    def problem(self) -> str:
        """The sentence with which a run is ended that takes longer."""
        return f"It was ended as it took longer than {self.text}, its longest time ({self.setting})."


def time_limit(run: Run, max_run_time: str) -> TimeLimit | None:
    """The shorter one of what the run asks for and what the service allows; None where neither says anything."""
    given = ((run.request.max_time, f"{MAX_TIME} of the run"), (max_run_time, "WES_MAX_RUN_TIME"))
    limits = [
        TimeLimit(seconds=span.total_seconds(), text=text, setting=setting)
        for text, setting in given
        if (span := parse_span(text)) is not None
    ]
    return min(limits, key=lambda limit: limit.seconds, default=None)


def reuse_scope(run: Run, ancestors: Sequence[str], default: bool) -> ReuseScope:
    """Whose tasks the run may take: `default` tells whether those of any run, where it does not say."""
    if run.request.reuse is False:
        return ReuseScope()
    return ReuseScope(runs=tuple(ancestors), any_run=default if run.request.reuse is None else run.request.reuse)


def step_limits(run: Run, limits: StepLimits) -> StepLimits:
    """The most that its steps get, by what it says itself and by the service's `limits`; of two the lower one."""
    return lower_limits(limits, run.request.step_limits)


def step_rules(run: Run, limits: StepLimits) -> StepRules:
    """What its steps get in place of what its workflow asks for."""
    return StepRules(limits=step_limits(run, limits), changes=run.request.step_changes)


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What one worker gives to every run: the TES as engines see it, defaults of steps, data read in place."""

    tes_url: str
    default_image: str
    allowed_data: tuple[Path, ...]
    engine_defaults: Mapping[str, EngineDefaults] = field(default_factory=dict)
    step_limits: StepLimits = field(default_factory=dict)

    def defaults(self, engine: str) -> EngineDefaults:
        """What steps of this engine get that ask for nothing, as far as it differs from other engines."""
        return self.engine_defaults.get(engine, EngineDefaults())


def choose_installation(run: Run, engine: Engine, installed: Sequence[Installation]) -> Installation:
    """The version that the run asks for, or the newest; `EngineNotInstalled` says how to get it."""
    mine = [item for item in installed if item.engine == engine.name]
    chosen = next((item for item in mine if run.engine_version in {None, item.version}), None)
    if chosen is None:
        version = f" {run.engine_version}" if run.engine_version else ""
        advice = f"'wes engines install {engine.folder_name}' does it"
        raise EngineNotInstalled(f"{engine.name}{version} is not installed on this worker: {advice}")
    return chosen


def engine_job(
    run: Run,
    engine: Engine,
    installation: Installation,
    folder: RunFolder,
    settings: EngineSettings,
    document: AttachedWorkflow,
) -> EngineJob:
    """The job for a workflow document that is in place."""
    defaults = {parameter.name: parameter.default for parameter in engine.parameters}
    return EngineJob(
        run_id=run.id,
        folder=folder,
        installation=installation,
        workflow=folder.seen.attachments / document.name,
        fragment=document.fragment,
        params=staged_params(run.request.workflow_params, folder.seen.attachments, run.attachments),
        parameters={**defaults, **engine_parameters(run.request.workflow_engine_parameters)},
        tes_url=settings.tes_url,
        token_file=token_file(folder),
        default_image=settings.defaults(engine.name).image or settings.default_image,
        allowed_data=settings.allowed_data,
        step_limits={name: limit.amount for name, limit in step_limits(run, settings.step_limits).items()},
    )


def token_file(folder: RunFolder) -> Path:
    """Where the engine finds the secret for the gateway."""
    return folder.seen.control / "tes-token"


def staged_params(params: Mapping[str, Json], root: Path, attachments: Sequence[str]) -> dict[str, Json]:
    """`workflow_params` in which the relative `location` or `path` of a File or Directory is where it was staged.

    Plain strings stay as they are: only the engine knows which of them are file names.
    """
    folders = {str(parent) for name in attachments for parent in PurePosixPath(name).parents} - {"."}
    known = folders | set(attachments)
    return {name: _staged(value, root, known) for name, value in params.items()}


def _staged(value: Json, root: Path, known: set[str]) -> Json:
    if isinstance(value, Mapping):
        inner = {name: _staged(item, root, known) for name, item in value.items()}
        return _located(inner, root, known) if value.get("class") in {"File", "Directory"} else inner
    if isinstance(value, list):
        return [_staged(item, root, known) for item in value]
    return value


def _located(entry: dict[str, Json], root: Path, known: set[str]) -> dict[str, Json]:
    given = entry.get("location", entry.get("path"))
    if not isinstance(given, str):
        return entry
    name = str(PurePosixPath(given))
    if name not in known:
        return entry
    rest = {key: value for key, value in entry.items() if key != "path"}
    return {**rest, "location": file_url(root / name)}
