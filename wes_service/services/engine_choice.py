"""Which engine does a run, by the type and version of its workflow, and with which parameters. Pure."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.engine import Engine, EngineParameter
from common.errors import InvalidField
from common.hooks import checked_hook_url
from common.step_resources import EXAMPLE, MAX_TASK_TIME, STEP_CHANGES, STEP_RESOURCES
from common.times import parse_span
from wes_service.core.notification import WEBHOOK
from wes_service.core.ports import WorkerInfo
from wes_service.core.run import MAX_TIME, PRIORITY, REUSE, TES, RunRequest

PARAMETERS_FIELD = "workflow_engine_parameters"
TES_PARAMETER = EngineParameter(
    name=TES, type="string", default="", description="the TES that all tasks go to, by its name or a label of it"
)
WEBHOOK_PARAMETER = EngineParameter(
    name=WEBHOOK, type="string", default="", description="the URL that is told when the run ends, by a CloudEvent"
)
PRIORITY_PARAMETER = EngineParameter(
    name=PRIORITY,
    type="int",
    default="0",
    description="of your queued runs those with a higher one begin first",
    minimum=-100,
    maximum=100,
)
MAX_TIME_PARAMETER = EngineParameter(
    name=MAX_TIME, type="string", default="", description="the run is ended after so long: 90min, 12h, 2d"
)
REUSE_PARAMETER = EngineParameter(
    name=REUSE,
    type="boolean",
    default="",
    description="true: steps that any of your runs has done are not run again; false: all are run, also when resumed",
)
LIMIT_PARAMETERS = tuple(
    EngineParameter(
        name=one.limit_parameter,
        type="string",
        default="",
        description=f"steps that ask for more {one.name} are given this: {one.example}",
    )
    for one in STEP_RESOURCES
)
TASK_TIME_PARAMETER = EngineParameter(
    name=MAX_TASK_TIME, type="string", default="", description="a task that runs for longer fails: 90min, 12h, 2d"
)
CHANGES_PARAMETER = EngineParameter(
    name=STEP_CHANGES,
    type="string",
    default="",
    description=f"what steps get whatever the workflow says, as JSON: {EXAMPLE}",
)
SERVICE_PARAMETERS = (
    TES_PARAMETER,
    PRIORITY_PARAMETER,
    MAX_TIME_PARAMETER,
    WEBHOOK_PARAMETER,
    REUSE_PARAMETER,
    *LIMIT_PARAMETERS,
    TASK_TIME_PARAMETER,
    CHANGES_PARAMETER,
)
"""Of every engine, and for none: the service does what they say."""
INSTEAD = {"resume": "'wes resume RUN' goes on with an earlier run"}
"""What is done in another way here than by an option of an engine."""
_INT = re.compile(r"[+-]?[0-9]{1,18}")


def checked_parameters(engine: Engine, submitted: Mapping[str, str]) -> dict[str, str]:
    """The parameters in the spelling of their types; `InvalidField` for one that is not known or does not fit."""
    known = {parameter.name: parameter for parameter in (*engine.parameters, *SERVICE_PARAMETERS)}
    for name in submitted:
        if name not in known:
            there = INSTEAD.get(name.lstrip("-")) or f"there is {', '.join(known) or 'none'}"
            raise InvalidField(PARAMETERS_FIELD, f"{engine.name} has no parameter {name!r}; {there}")
    return {name: _value(known[name], text) for name, text in submitted.items()}


def _value(parameter: EngineParameter, text: str) -> str:
    value = _READERS[parameter.type](text)
    if value is None:
        raise InvalidField(PARAMETERS_FIELD, f"{parameter.name!r} must be of type {parameter.type}, not {text[:80]!r}")
    if parameter.choices and value not in parameter.choices:
        raise InvalidField(
            PARAMETERS_FIELD, f"{parameter.name!r} must be one of {', '.join(parameter.choices)}, not {text[:80]!r}"
        )
    if parameter.minimum is not None and float(value) < parameter.minimum:
        raise InvalidField(PARAMETERS_FIELD, f"{parameter.name!r} must be at least {parameter.minimum:g}, not {value}")
    if parameter.maximum is not None and float(value) > parameter.maximum:
        raise InvalidField(PARAMETERS_FIELD, f"{parameter.name!r} must be at most {parameter.maximum:g}, not {value}")
    return value


def engine_parameters(submitted: Mapping[str, str]) -> dict[str, str]:
    """Those that are for the engine: what the service does itself is not its business."""
    own = {parameter.name for parameter in SERVICE_PARAMETERS}
    return {name: value for name, value in submitted.items() if name not in own}


def _int(text: str) -> str | None:
    return str(int(text)) if _INT.fullmatch(text.strip()) else None


def _float(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return text.strip() if math.isfinite(number) else None


def _boolean(text: str) -> str | None:
    word = text.strip().lower()
    return word if word in {"true", "false"} else None


def _string(text: str) -> str | None:
    return None if any(ord(character) < 32 for character in text) else text


_READERS = {"int": _int, "float": _float, "boolean": _boolean, "string": _string}


def check_tes(request: RunRequest, choices: Collection[str]) -> None:
    """`InvalidField` where the request asks for a TES that is not among those of this service (names and labels)."""
    if request.tes and request.tes not in choices:
        field = PARAMETERS_FIELD if request.workflow_engine_parameters.get(TES) else "tags"
        there = ", ".join(choices) or "none"
        raise InvalidField(field, f"{TES}: there is no TES {request.tes[:80]!r} here; there is {there}")


def check_webhook(request: RunRequest, *, offered: bool) -> None:
    """`InvalidField` where the run's own webhook can't be served."""
    url = request.workflow_engine_parameters.get(WEBHOOK)
    if not url:
        return
    if not offered:
        raise InvalidField(PARAMETERS_FIELD, f"{WEBHOOK}: this server sends none (WES_WEBHOOK_SECRET_FILE is not set)")
    try:
        checked_hook_url(url)
    except ValueError as error:
        raise InvalidField(PARAMETERS_FIELD, f"{WEBHOOK}: {error}") from None


def check_step_resources(request: RunRequest) -> None:
    """`InvalidField` where limits or changes of what steps get can't be understood."""
    try:
        _ = request.step_limits, request.step_changes
    except ValueError as error:
        raise InvalidField(PARAMETERS_FIELD, str(error)) from None


def check_max_time(request: RunRequest, longest: str = "") -> None:
    """`InvalidField` where the request gives no span of time as its longest, or more than the service's (`12h`)."""
    if not request.max_time:
        return
    asked, most = parse_span(request.max_time), parse_span(longest)
    if asked is None:
        raise InvalidField(
            PARAMETERS_FIELD, f"{MAX_TIME}: {request.max_time[:80]!r} is no span of time: write 90min, 12h or 2d"
        )
    if most is not None and asked > most:
        raise InvalidField(
            PARAMETERS_FIELD, f"{MAX_TIME}: a run may take {longest} here at most, not {request.max_time}"
        )


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """The engine, and the version asked for, or None for the newest one that the worker has."""

    engine: Engine
    version: str | None


def choose_engine(request: RunRequest, engines: Sequence[Engine], workers: Iterable[WorkerInfo]) -> EngineChoice:
    """The engine for a request; `InvalidField` names the field and says what there is instead."""
    engine = _engine(request, engines)
    if request.workflow_type_version.casefold() not in {version.casefold() for version in engine.type_versions}:
        raise InvalidField(
            "workflow_type_version",
            f"{request.workflow_type_version!r} is not a version of {engine.workflow_type} that {engine.name} runs; "
            f"there is {_listed(engine.type_versions)}",
        )
    versions = installed_versions(workers).get(engine.name, ())
    if not versions:
        raise InvalidField(
            "workflow_engine" if request.workflow_engine else "workflow_type",
            f"{engine.name} is installed on no worker; 'wes engines install {engine.folder_name}' installs it",
        )
    if request.workflow_engine_version not in (None, *versions):
        raise InvalidField(
            "workflow_engine_version",
            f"no worker has version {request.workflow_engine_version!r} of {engine.name}; there is {_listed(versions)}",
        )
    return EngineChoice(engine=engine, version=request.workflow_engine_version)


def installed_versions(workers: Iterable[WorkerInfo]) -> Mapping[str, tuple[str, ...]]:
    """Engine name to the versions that any of the workers has, in the order in which they tell them."""
    versions_of: dict[str, dict[str, None]] = {}
    for worker in workers:
        for name, versions in worker.engines.items():
            versions_of.setdefault(name, {}).update(dict.fromkeys(versions))
    return {name: tuple(versions) for name, versions in versions_of.items()}


def _engine(request: RunRequest, engines: Sequence[Engine]) -> Engine:
    of_type = [engine for engine in engines if request.workflow_type.casefold() in type_names(engine)]
    if not of_type:
        known = _listed(dict.fromkeys(engine.workflow_type for engine in engines))
        raise InvalidField("workflow_type", f"{request.workflow_type!r} is not known; there is {known}")
    if request.workflow_engine is None:
        return of_type[0]
    named = [engine for engine in engines if request.workflow_engine.casefold() in _names(engine)]
    if not named:
        known = _listed(engine.name for engine in engines)
        raise InvalidField("workflow_engine", f"{request.workflow_engine!r} is not known; there is {known}")
    if named[0] not in of_type:
        fit = _listed(engine.name for engine in of_type)
        raise InvalidField(
            "workflow_engine", f"{named[0].name} does not run workflow_type {request.workflow_type!r}; {fit} does"
        )
    return named[0]


def type_names(engine: Engine) -> set[str]:
    """The names of the workflow type that an engine runs, casefolded."""
    return {name.casefold() for name in (engine.workflow_type, *engine.type_aliases)}


def _names(engine: Engine) -> set[str]:
    return {name.casefold() for name in (engine.name, *engine.aliases)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
