"""The one model of a task: what is refused by its name, what is read of odd servers, what stays, what is shown."""

import json
from typing import Any, cast

import pytest

from common.errors import InvalidField
from common.json_types import JsonObject
from tes.task import MOST_PROBLEMS, TesTask, View, checked_task, readable_task, stored_task, task_view

EXECUTOR = {"image": "i", "command": ["c"]}
LOG = {"logs": [{"exit_code": 3, "stdout": "o", "stderr": "e"}], "system_logs": ["s"], "outputs": []}


def a_task(**fields: Any) -> dict[str, Any]:
    return {"executors": [EXECUTOR], **fields}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "task: must be an object"),
        ({}, "executors: a list of at least one executor is needed"),
        (a_task(executors=[]), "executors: a list of at least one executor is needed"),
        (a_task(executors=[EXECUTOR, 1]), "executors[1]: must be an object"),
        (a_task(executors=[{"command": ["a", 1]}]), "executors[0].command[1]: must be a string"),
        (a_task(executors=[{"env": {"A": 1}}]), "executors[0].env.A: must be a string"),
        (a_task(inputs={}), "inputs: must be an array"),
        (a_task(tags=[]), "tags: must be an object"),
        (a_task(resources={"cpu_cores": 1.5}), "resources.cpu_cores: must be a 32-bit integer"),
        (a_task(resources={"cpu_cores": True}), "resources.cpu_cores: must be a 32-bit integer"),
        (a_task(resources={"cpu_cores": 2**31}), "resources.cpu_cores: must be a 32-bit integer"),
        (a_task(resources={"ram_gb": -1}), "resources.ram_gb: must not be negative"),
        (a_task(resources={"ram_gb": "1"}), "resources.ram_gb: must be a number"),
        (a_task(resources={"preemptible": 1}), "resources.preemptible: must be true or false"),
    ],
)
def test_a_wrong_field_of_a_new_task_is_named(document: object, message: str) -> None:
    with pytest.raises(InvalidField) as refused:
        checked_task(document, strict=True)
    assert str(refused.value) == message


def test_a_task_with_very_many_wrong_fields_is_refused_without_a_list_of_them() -> None:
    with pytest.raises(InvalidField, match=f"more than {MOST_PROBLEMS} fields"):
        checked_task(a_task(tags={str(number): None for number in range(MOST_PROBLEMS + 1)}))
    with pytest.raises(InvalidField, match=r"volumes\[0\]"):
        checked_task(a_task(volumes=[{}] * 100_000))


def test_fields_that_the_standard_does_not_have_are_kept_wherever_they_are() -> None:
    own: dict[str, Any] = {"vendor": {"deep": [1, None]}}
    task = a_task(
        inputs=[{"path": "/a", **own}],
        outputs=[{"path": "/b", **own}],
        resources={"gpus": 2, **own},
        **own,
    )
    task["executors"] = [{**EXECUTOR, **own}]
    assert checked_task(task) == task
    assert readable_task(cast("JsonObject", task)) == task
    assert stored_task(json.dumps(task)) == task


def test_null_stays_null_where_a_field_may_be_absent() -> None:
    task = a_task(name=None, inputs=None, tags=None, resources=None, logs=None)
    assert checked_task(task, strict=True) == task


def test_a_number_may_stand_for_its_text_where_a_task_is_only_handed_on() -> None:
    task = checked_task(a_task(tags={"lane": 3}, resources={"ram_gb": "2", "cpu_cores": 1.0}))
    assert (task["tags"], task["resources"]) == ({"lane": "3"}, {"ram_gb": 2, "cpu_cores": 1})


def test_of_an_answer_what_can_not_be_read_is_left_out_and_nothing_else() -> None:
    executors = [{"exit_code": "x", "stdout": "kept"}, {"exit_code": "4"}, {"exit_code": None}]
    log = {"logs": executors, "system_logs": ["a", {}, 2, None, "b"], "metadata": "?"}
    answer = {"state": "ALMOST", "tags": 7, "logs": [log, "no log"]}
    read = [{"stdout": "kept"}, {"exit_code": 4}, {"exit_code": None}]
    assert readable_task(cast("JsonObject", answer)) == {
        "state": "ALMOST",
        "logs": [{"logs": read, "system_logs": ["a", "2", "b"]}],
    }


def test_of_an_answer_that_is_rubbish_the_state_is_left() -> None:
    rubbish = {"state": "RUNNING", "logs": [1] * 100_000, "tags": {str(number): None for number in range(1000)}}
    assert readable_task(cast("JsonObject", rubbish)) == {"state": "RUNNING"}
    assert readable_task({"state": 5}) == {}


def test_what_an_earlier_version_stored_is_read_as_an_answer_is() -> None:
    assert stored_task('{"name": "half \\ud83d", "logs": [{"logs": "?"}]}') == {"name": "half \ud83d", "logs": [{}]}


def test_views_hold_what_the_standard_says() -> None:
    full = cast(
        "TesTask", {"id": "t", "state": "COMPLETE", "inputs": [{"path": "/a", "content": "c"}], "logs": [LOG], "x": 1}
    )
    assert task_view(full, View.FULL) == full
    assert task_view(full, View.MINIMAL) == {"id": "t", "state": "COMPLETE"}
    basic = {**full, "inputs": [{"path": "/a"}], "logs": [{"logs": [{"exit_code": 3}], "outputs": []}]}
    assert task_view(full, View.BASIC) == basic
    assert task_view({"id": "t", "state": "QUEUED"}, View.BASIC) == {"id": "t", "state": "QUEUED"}
