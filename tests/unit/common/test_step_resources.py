"""Amounts as people write them, limits, and changes by the names of steps."""

import pytest

from common.step_resources import (
    MOST_CHANGES,
    STEP_CHANGES,
    StepChange,
    StepLimit,
    limits_of,
    lower_limits,
    parse_gb,
    step_changes,
)


@pytest.mark.parametrize(
    ("text", "gb"),
    [
        ("4GB", 4),
        ("4 GB", 4),
        ("4.GB", 4),
        ("4", 4),
        ("1.5g", 1.5),
        ("512MB", 0.512),
        ("4GiB", 4.294967296),
        ("2Ti", 2199.023255552),
        ("1000000000 B", 1),
        ("1000000000000 B", 1000),
        ("0GB", None),
        ("", None),
        ("-4GB", None),
        ("4 apples", None),
        ("1e3GB", None),
        ("four", None),
        ("9" * 5000, None),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, gb: float | None) -> None:
    assert parse_gb(text) == (pytest.approx(gb) if gb else gb)


def test_the_limits_of_a_run_are_engine_parameters() -> None:
    assert limits_of({"max_cpu": "4", "max_memory": "8.GB", "max_task_time": "2h", "parallel": "2"}) == {
        "cpu": StepLimit(amount=4, setting="max_cpu"),
        "memory": StepLimit(amount=8, setting="max_memory"),
        "time": StepLimit(amount=7200, setting="max_task_time"),
    }


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"max_cpu": "2.5"}, "max_cpu: '2.5' is no amount of cpu: write 4, a whole number"),
        ({"max_cpu": "0"}, "max_cpu: '0' is no amount"),
        ({"max_task_time": "long"}, "max_task_time: 'long' is no span of time: write 90min, 12h or 2d"),
        ({"max_disk": "much"}, "max_disk: 'much' is no amount of disk: write 10GB or 2TB"),
    ],
)
def test_a_limit_that_is_no_amount_is_named(parameters: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        limits_of(parameters)


def test_of_two_limits_the_lower_one_counts() -> None:
    one = {"cpu": StepLimit(amount=4, setting="WES_MAX_TASK_CPU"), "disk": StepLimit(amount=9, setting="d")}
    other = {"cpu": StepLimit(amount=2, setting="max_cpu"), "memory": StepLimit(amount=1, setting="m")}
    lower = lower_limits(one, other)
    assert {name: limit.setting for name, limit in lower.items()} == {"cpu": "max_cpu", "disk": "d", "memory": "m"}


def test_changes_are_read_from_json() -> None:
    assert step_changes('{"align": {"memory": "4GB", "cpu": 2, "image": "debian:12"}, "*": {"disk": 10}}') == (
        StepChange(step="align", amounts={"cpu": 2, "memory": 4}, image="debian:12"),
        StepChange(step="*", amounts={"disk": 10}),
    )
    assert step_changes("") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"align": {"mem": "4GB"}}', "align.mem: there is no such thing to change; there is cpu, memory, disk, image"),
        ('{"align": {"memory": "a lot"}}', "align.memory: 'a lot' is no amount of memory: write 4GB, 512MB or 4GiB"),
        ('{"align": {"cpu": true}}', "align.cpu: a text or a number is needed"),
        ('{"align": {}}', "align: an object is needed that says what to change: cpu"),
        ('{"align": {"image": "--privileged"}}', "align.image: '--privileged' is no name of an image"),
        ('{"align": {"image": "a b"}}', "no name of an image"),
        ('{"": {"cpu": 1}}', "'' is no name of a step"),
        ('["align"]', "an object is needed, as"),
        ("align.cpu=2", "an object is needed, as"),
        ("[" * 100_000, "an object is needed, as"),
    ],
)
def test_a_change_that_can_not_be_understood_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"{STEP_CHANGES}: .*{problem}"):
        step_changes(text)


def test_there_are_not_more_changes_than_anybody_needs() -> None:
    many = ", ".join(f'"s{number}": {{"cpu": 1}}' for number in range(MOST_CHANGES + 1))
    with pytest.raises(ValueError, match="1001 steps"):
        step_changes(f"{{{many}}}")
