"""What a step gets in place of what its workflow asks for: changes by its name, then limits."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.step_resources import STEP_CHANGES, STEP_RESOURCES, TIME, StepChange, StepLimits, StepResource
from gateway.policy import step_name
from tes.task import TAG_RESOURCES, TesTask

MOST_NAMES = 1000
"""Names of steps that are remembered."""
NAMES_SHOWN = 20
MOST_SCATTERS = 9
"""One in the other, whose numbers end the name of a step."""


@dataclass(frozen=True, kw_only=True)
class StepRules:
    """Of one run: its limits with those of the service, and its changes."""

    limits: StepLimits = field(default_factory=dict)
    changes: Sequence[StepChange] = ()

    def described(self) -> list[str]:
        """A line for the run's log, as an engine that knows the limits asks for no more by itself."""
        limits = [
            f"{self.limits[one.name].amount:g} {one.unit} ({self.limits[one.name].setting})"
            for one in STEP_RESOURCES
            if one.name in self.limits
        ]
        if (time := self.limits.get(TIME)) is not None:
            limits.append(f"{time.amount:g} s of time ({time.setting})")
        return [f"Each step gets at most {', '.join(limits)}."] if limits else []

    def changes_of(self, name: str) -> Sequence[StepChange]:
        """Those for the step of a task: patterns in their order, then exact names, so that the last one counts."""
        names = names_of(name)
        found = [one for one in self.changes if any(fnmatch.fnmatchcase(each, one.step) for each in names)]
        return sorted(found, key=lambda one: one.step in names)

    def applied(self, task: TesTask) -> TesTask:
        """The task as it is sent; what is another than the workflow asks for stands in its tag `TAG_RESOURCES`."""
        changes = self.changes_of(step_name(task))
        asked: Mapping[str, Any] = task.get("resources") or {}
        given = [self._given(one, asked.get(one.field) or 0, changes) for one in STEP_RESOURCES]
        got: Any = {**asked, **{one.resource.field: one.amount for one in given if one.says}}
        image = next((one.image for one in reversed(changes) if one.image), "")
        executors: list[Any] = [{**one, "image": image} if image else one for one in task["executors"]]
        says = "; ".join([one.says for one in given if one.says] + _image_says(task, image))
        tags = {name: value for name, value in (task.get("tags") or {}).items() if name != TAG_RESOURCES}
        changed: TesTask = {**task, "executors": executors, "tags": {**tags, **({TAG_RESOURCES: says} if says else {})}}
        return {**changed, "resources": got} if got else changed

    def _given(self, resource: StepResource, asked: float, changes: Sequence[StepChange]) -> "_Given":
        amount = next((one.amounts[resource.name] for one in reversed(changes) if resource.name in one.amounts), asked)
        setting, limit = STEP_CHANGES, self.limits.get(resource.name)
        if limit is not None and amount > limit.amount:
            amount, setting = limit.amount, limit.setting
        if amount == asked:
            return _Given(resource=resource, amount=asked)
        verb = "lowered to" if amount < asked else "raised to"
        begin = (
            f"asked for {asked:g} {resource.unit}, {verb} {amount:g}" if asked else f"given {amount:g} {resource.unit}"
        )
        return _Given(
            resource=resource, amount=int(amount) if resource.is_whole else amount, says=f"{begin} ({setting})"
        )


@dataclass(frozen=True, kw_only=True)
class _Given:
    """`says` is empty where it is what the workflow asks for."""

    resource: StepResource
    amount: float
    says: str = ""


def _image_says(task: TesTask, image: str) -> list[str]:
    before = dict.fromkeys(one.get("image") or "no image" for one in task["executors"])
    others = ", ".join(one for one in before if one != image)
    return [f"image {image} in place of {others} ({STEP_CHANGES})"] if image and others else []


def names_of(name: str) -> Sequence[str]:
    """By which the step of a task may be named: as it is, without the number or the tag of a scatter, each of these
    without the subworkflow before it; and the name of Snakemake's group."""
    plain = _without_tag(name)
    whole = [plain, _without_numbers(plain), plain.partition(": ")[0]]
    return list(dict.fromkeys([name, *whole, *(last for each in whole if (last := _without_outer(each)))]))


def _without_tag(name: str) -> str:
    return name.partition(" (")[0] if name.endswith(")") else name


def _without_numbers(name: str) -> str:
    for _ in range(MOST_SCATTERS):
        before, _, number = name.rpartition("_")
        if not (before and number.isascii() and number.isdigit()):
            break
        name = before
    return name


def _without_outer(name: str) -> str:
    return name[max(name.rfind("."), name.rfind(":")) + 1 :]


@dataclass(kw_only=True)
class NamedSteps:
    """Which steps of a run there were, for those that its changes name and that there were not."""

    rules: StepRules
    _names: dict[str, None] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        """There is a task of this name."""
        if not self.rules.changes:
            return
        self._used |= {one.step for one in self.rules.changes_of(name)}
        if len(self._names) < MOST_NAMES:
            self._names[_without_numbers(_without_tag(name))] = None

    def unused(self) -> list[str]:
        """A line for the run's log, where a change was for no step."""
        left = [one.step for one in self.rules.changes if one.step not in self._used]
        if not left:
            return []
        names = list(self._names)
        more = " and others" if len(names) > NAMES_SHOWN else ""
        there = f"there were {', '.join(names[:NAMES_SHOWN])}{more}" if names else "there was no step"
        return [f"{STEP_CHANGES} names {', '.join(left[:NAMES_SHOWN])}, but no step was called so: {there}."]
