"""What the steps of a run may ask for: sizes as people write them, limits, and changes by the names of steps."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.settings import GB
from common.times import parse_span

UNITS = {
    "": GB,
    "b": 1,
    **{f"{letter}{end}": 1000**power for power, letter in enumerate("kmgtp", 1) for end in ("", "b")},
    **{f"{letter}i{end}": 1024**power for power, letter in enumerate("kmgtp", 1) for end in ("", "b")},
}
"""Bytes of each; a number alone is of GB."""
MOST_CHANGES = 1000
LONGEST_NAME = 200
"""Characters of a step's name, or a pattern for it, and of an image's."""
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{0,9})?)\s*([a-z]{0,3})", re.ASCII)
_CORES = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_NAME = re.compile(r"[^\x00-\x1f\x7f]+")
_IMAGE = re.compile(r"[A-Za-z0-9][^\s\x00-\x1f\x7f]*")


def parse_gb(text: str) -> float | None:
    """GB (10^9 bytes) of `4GB`, `512MB`, `4GiB`, `4.GB` or `4`; None for anything else, and for nothing at all."""
    found = _SIZE.fullmatch(text.strip().lower())
    unit = UNITS.get(found[2]) if found else None
    return (float(found[1]) * unit / GB or None) if found and unit else None


def parse_cores(text: str) -> float | None:
    """A whole number of cores, from 1; None for anything else."""
    return float(text) if _CORES.fullmatch(text.strip()) else None


@dataclass(frozen=True, kw_only=True)
class StepResource:
    """One of tesResources that a step asks for by a number: its `name` for people, its `field` in TES 1.1.0."""

    name: str
    field: str
    unit: str
    example: str
    is_whole: bool = False

    def read(self, text: str) -> float:
        """Cores or GB; `ValueError` says how to write it."""
        amount = parse_cores(text) if self.is_whole else parse_gb(text)
        if amount is None:
            raise ValueError(f"{text[:80]!r} is no amount of {self.name}: write {self.example}")
        return amount

    @property
    def limit_parameter(self) -> str:
        """The engine parameter by which a run limits it."""
        return f"max_{self.name}"

    def limit_text(self, amount: float) -> str:
        """As it is given to a run: `max_cpu=4`, `max_memory=16GB`."""
        return f"{self.limit_parameter}={amount:g}{'' if self.is_whole else 'GB'}"


CPU = StepResource(name="cpu", field="cpu_cores", unit="cpu", example="4, a whole number", is_whole=True)
MEMORY = StepResource(name="memory", field="ram_gb", unit="GB of memory", example="4GB, 512MB or 4GiB")
DISK = StepResource(name="disk", field="disk_gb", unit="GB of disk", example="10GB or 2TB")
STEP_RESOURCES = (CPU, MEMORY, DISK)
TIME = "time"
MAX_TASK_TIME = "max_task_time"
"""Name of the engine parameter that limits how long a task may run; TES has no field for it."""
STEP_CHANGES = "step_resources"
"""Name of the engine parameter that changes what steps get, by their names."""
IMAGE = "image"
EXAMPLE = '{"align": {"memory": "4GB", "cpu": 2}}'
CHANGEABLE = (*(resource.name for resource in STEP_RESOURCES), IMAGE)
"""Of a step, by its name."""


@dataclass(frozen=True, kw_only=True)
class StepLimit:
    """The most of one resource that a step gets, in cores, GB or (of `TIME`) seconds, and which setting says so."""

    amount: float
    setting: str


StepLimits = Mapping[str, StepLimit]
"""By the name of the resource; what is not there has no limit."""


def lower_limits(one: StepLimits, other: StepLimits) -> StepLimits:
    """Of each resource the lower limit."""
    both = {**other, **one}
    return {name: min((limits[name] for limits in (one, other) if name in limits), key=_amount) for name in both}


def _amount(limit: StepLimit) -> float:
    return limit.amount


def limits_of(parameters: Mapping[str, str]) -> StepLimits:
    """Those of a run, from its engine parameters; `ValueError` names the one that can't be understood."""
    found: dict[str, StepLimit] = {}
    for one in STEP_RESOURCES:
        if text := parameters.get(one.limit_parameter):
            try:
                found[one.name] = StepLimit(amount=one.read(text), setting=one.limit_parameter)
            except ValueError as error:
                raise ValueError(f"{one.limit_parameter}: {error}") from None
    return {**found, **time_limit(parameters.get(MAX_TASK_TIME, ""), MAX_TASK_TIME)}


def time_limit(text: str, setting: str) -> StepLimits:
    """From `90min`, `12h`; none from an empty text. `ValueError` names the setting."""
    span = parse_span(text)
    if text and span is None:
        raise ValueError(f"{setting}: {text[:80]!r} is no span of time: write 90min, 12h or 2d")
    return {} if span is None else {TIME: StepLimit(amount=span.total_seconds(), setting=setting)}


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """What steps of a name get whatever the workflow says. `amounts`: cores or GB by the name of the resource."""

    step: str
    """The name, or a pattern with `*` and `?`."""
    amounts: Mapping[str, float] = field(default_factory=dict)
    image: str = ""


def step_changes(text: str) -> tuple[StepChange, ...]:
    """From a text as `EXAMPLE`; nothing from an empty text. `ValueError` says what is wrong."""
    try:
        document = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping):
        raise ValueError(f"{STEP_CHANGES}: an object is needed, as {EXAMPLE}")  # noqa: TRY004 - of a request
    if len(document) > MOST_CHANGES:
        raise ValueError(f"{STEP_CHANGES}: it names {len(document)} steps, and {MOST_CHANGES} at most are possible")
    try:
        return tuple(_change(step, fields) for step, fields in document.items())
    except ValueError as error:
        raise ValueError(f"{STEP_CHANGES}: {error}") from None


def _change(step: str, fields: object) -> StepChange:
    if len(step) > LONGEST_NAME or not _NAME.fullmatch(step):
        raise ValueError(f"{step[:80]!r} is no name of a step, nor a pattern for one")
    if not isinstance(fields, Mapping) or not fields:
        there = ", ".join(CHANGEABLE)
        raise ValueError(f"{step}: an object is needed that says what to change: {there}")
    unknown = next((name for name in fields if name not in CHANGEABLE), None)
    if unknown is not None:
        raise ValueError(f"{step}.{unknown[:80]}: there is no such thing to change; there is {', '.join(CHANGEABLE)}")
    texts = {name: _text(f"{step}.{name}", value) for name, value in fields.items()}
    amounts = {one.name: _read(step, one, texts[one.name]) for one in STEP_RESOURCES if one.name in texts}
    return StepChange(step=step, amounts=amounts, image=_image(step, texts.get(IMAGE)))


def _read(step: str, resource: StepResource, text: str) -> float:
    try:
        return resource.read(text)
    except ValueError as error:
        raise ValueError(f"{step}.{resource.name}: {error}") from None


def _image(step: str, text: str | None) -> str:
    if text is not None and (len(text) > LONGEST_NAME or not _IMAGE.fullmatch(text)):
        raise ValueError(f"{step}.{IMAGE}: {text[:80]!r} is no name of an image")
    return text or ""


def _text(place: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{place}: a text or a number is needed")  # noqa: TRY004 - of a request
    return f"{value:g}" if isinstance(value, float) else str(value)
