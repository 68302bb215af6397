"""What the gateway changes in a task, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidField
from gateway import policy
from tes.task import TAG_KEY, TAG_OWNER, TAG_RUN, TAG_STEP, checked_task
from wes_service.core.run import ANONYMOUS

LOGS = Path("/data/runs/r1/logs/tasks/t1")


def a_task(**fields: Any) -> Any:
    return {"name": "align", "executors": [{"image": "debian", "command": ["true"]}], **fields}


def test_an_executor_without_files_gets_one_for_each_stream_as_an_output() -> None:
    body: Any = policy.with_log_files(a_task(), LOGS)
    executor = body["executors"][0]
    assert executor["stdout"] == "/wes-logs/run/stdout"
    assert executor["stderr"] == "/wes-logs/run/stderr"
    assert body["outputs"] == [
        {"path": "/wes-logs/run/stdout", "url": f"file://{LOGS}/stdout", "type": "FILE"},
        {"path": "/wes-logs/run/stderr", "url": f"file://{LOGS}/stderr", "type": "FILE"},
    ]


def test_a_stdout_that_the_engine_asked_for_stays_where_it_is_and_is_kept_too() -> None:
    task = a_task(executors=[{"image": "i", "command": ["c"], "stdout": "/out/words.txt"}])
    body: Any = policy.with_log_files(task, LOGS)
    assert body["executors"][0]["stdout"] == "/out/words.txt"
    assert body["outputs"][0] == {"path": "/out/words.txt", "url": f"file://{LOGS}/stdout", "type": "FILE"}


def test_the_second_executor_has_files_of_its_own() -> None:
    executor = {"image": "i", "command": ["c"]}
    body: Any = policy.with_log_files(a_task(executors=[executor, executor]), LOGS)
    urls = [output["url"] for output in body["outputs"]]
    assert urls == [f"file://{LOGS}/{name}" for name in ("stdout", "stderr", "stdout.1", "stderr.1")]


def test_a_step_that_asks_for_no_resources_gets_the_defaults_of_its_engine() -> None:
    defaults: Any = {"cpu_cores": 2, "ram_gb": 4.0}
    assert policy.with_resources(a_task(), defaults)["resources"] == defaults
    asked = a_task(resources={"cpu_cores": 1, "zones": ["z"]})
    assert policy.with_resources(asked, defaults)["resources"] == {"cpu_cores": 1, "ram_gb": 4.0, "zones": ["z"]}
    assert "resources" not in policy.with_resources(a_task(), {})


def test_the_task_that_was_given_is_not_changed() -> None:
    task = a_task()
    policy.with_log_files(task, LOGS)
    assert task == a_task()


def test_tags_name_run_owner_and_step_and_an_engine_can_not_forge_the_run() -> None:
    body: Any = policy.tagged(
        a_task(tags={TAG_RUN: "another", TAG_KEY: "k"}), run_id="r1", task_id="t1", owner=ANONYMOUS
    )
    assert body["tags"][TAG_RUN] == "r1"
    assert body["tags"]["wes.task"] == "t1"
    assert body["tags"][TAG_OWNER] == "anonymous"
    assert body["tags"][TAG_STEP] == "align"
    assert policy.step_key(body) == "k"
    assert policy.step_attempt(body) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [([], "task"), ({}, "executors"), ({"executors": []}, "executors"), ({"executors": ["x"]}, "executors[0]")],
)
def test_what_is_no_task_is_refused_by_the_name_of_the_field(body: Any, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        checked_task(body)
    assert caught.value.field == field


@pytest.mark.parametrize("field", ["inputs", "outputs", "tags"])
def test_a_field_of_the_wrong_kind_is_named(field: str) -> None:
    with pytest.raises(InvalidField, match=field):
        checked_task(a_task(**{field: "text"}))


@pytest.mark.parametrize("given", [{"queue": "long", "VmSize": 3}, {}, None])
def test_backend_parameters_are_left_out_where_they_are_not_allowed_whatever_they_look_like(given: Any) -> None:
    body: Any = {"resources": {"cpu_cores": 2, "backend_parameters": given}}
    kept, dropped = policy.with_backend_parameters(body, frozenset())
    assert kept["resources"] == {"cpu_cores": 2}
    assert dropped == (sorted(given) if isinstance(given, dict) else [])


@pytest.mark.parametrize("given", ["queue", ["queue"]])
def test_backend_parameters_that_are_no_object_are_refused(given: Any) -> None:
    with pytest.raises(InvalidField, match=r"resources\.backend_parameters: must be an object"):
        checked_task(a_task(resources={"backend_parameters": given}))
