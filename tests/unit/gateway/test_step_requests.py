"""What a step gets in place of what its workflow asks for."""

from typing import Any

import pytest

from common.step_resources import StepChange, StepLimit
from gateway.step_requests import NamedSteps, StepRules, names_of
from tes.task import TAG_RESOURCES, TesTask

LIMITS = {
    "cpu": StepLimit(amount=4, setting="max_cpu"),
    "memory": StepLimit(amount=8, setting="WES_MAX_TASK_MEMORY_GB"),
}


def a_task(name: str = "align", **resources: Any) -> TesTask:
    task: TesTask = {"name": name, "executors": [{"image": "debian:12", "command": ["true"]}], "tags": {"a": "b"}}
    return {**task, "resources": resources} if resources else task  # type: ignore[typeddict-item]


def changed(name: str = "align", image: str = "", **amounts: float) -> StepChange:
    return StepChange(step=name, amounts=amounts, image=image)


def test_what_is_asked_for_is_lowered_to_the_limit() -> None:
    task = StepRules(limits=LIMITS).applied(a_task(cpu_cores=16, ram_gb=64.0, disk_gb=5.0))
    assert task["resources"] == {"cpu_cores": 4, "ram_gb": 8, "disk_gb": 5.0}
    assert (task["tags"] or {})[TAG_RESOURCES] == (
        "asked for 16 cpu, lowered to 4 (max_cpu); asked for 64 GB of memory, lowered to 8 (WES_MAX_TASK_MEMORY_GB)"
    )


@pytest.mark.parametrize("task", [a_task(), a_task(cpu_cores=4, ram_gb=0.5), a_task(preemptible=True)])
def test_a_task_that_asks_for_no_more_stays_as_it_is(task: TesTask) -> None:
    assert StepRules(limits=LIMITS).applied(task) == task


def test_a_tag_that_an_engine_made_up_is_not_believed() -> None:
    task = a_task()
    assert StepRules().applied({**task, "tags": {"a": "b", TAG_RESOURCES: "asked for nothing"}}) == task


def test_changes_by_name_come_before_limits() -> None:
    rules = StepRules(limits=LIMITS, changes=[changed("al*", cpu=2, memory=2), changed(memory=20, disk=1)])
    task = rules.applied(a_task(cpu_cores=1, ram_gb=1.0))
    assert task["resources"] == {"cpu_cores": 2, "ram_gb": 8, "disk_gb": 1}
    assert (task["tags"] or {})[TAG_RESOURCES] == (
        "asked for 1 cpu, raised to 2 (step_resources); asked for 1 GB of memory, raised to 8 "
        "(WES_MAX_TASK_MEMORY_GB); given 1 GB of disk (step_resources)"
    )


def test_an_exact_name_comes_before_a_pattern_whatever_their_order() -> None:
    for changes in ([changed(cpu=1), changed("*", cpu=3)], [changed("*", cpu=3), changed(cpu=1)]):
        assert StepRules(changes=changes).applied(a_task())["resources"] == {"cpu_cores": 1}


def test_another_image_is_used_by_all_executors() -> None:
    task = StepRules(changes=[changed(image="ubuntu:24.04")]).applied(a_task())
    assert [one["image"] for one in task["executors"]] == ["ubuntu:24.04"]
    assert (task["tags"] or {})[TAG_RESOURCES] == "image ubuntu:24.04 in place of debian:12 (step_resources)"
    assert "resources" not in task


@pytest.mark.parametrize(
    ("task", "step", "is_meant"),
    [
        ("align", "align", True),
        ("align_2", "align", True),
        ("align_2_1", "align", True),
        ("sub.align_2", "sub.align", True),
        ("sub.align_2", "align", True),
        ("align (sample=A.b)", "align", True),
        ("SUB:ALIGN (sample1)", "ALIGN", True),
        ("SUB:ALIGN (sample1)", "SUB:ALIGN", True),
        ("SUB:ALIGN (2)", "SUB:*", True),
        ("grp: align, sort (sample=A)", "grp", True),
        ("realign", "align", False),
        ("align", "ALIGN", False),
        ("sub.align", "sub", False),
        ("align (sample=bwa)", "bwa", False),
    ],
)
def test_a_step_is_named_as_it_is_shown(task: str, step: str, is_meant: bool) -> None:
    assert bool(StepRules(changes=[changed(step, cpu=1)]).changes_of(task)) is is_meant


def test_long_names_are_taken_apart_in_no_time() -> None:
    assert len(names_of("_1" * 50_000 + " (" * 50_000)) < 10


def test_a_name_that_no_step_had_is_told_with_those_that_there_were() -> None:
    steps = NamedSteps(rules=StepRules(changes=[changed("algin", cpu=1), changed("s*", cpu=1)]))
    assert steps.unused() == ["step_resources names algin, s*, but no step was called so: there was no step."]
    for name in ("align_2 ", "align (1)", "align (2)", "sort"):
        steps.add(name)
    (line,) = steps.unused()
    assert line == "step_resources names algin, but no step was called so: there were align_2 , align, sort."
