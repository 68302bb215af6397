"""The three views, and the log that they show (acceptance: tes, 2 and 8)."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tes_service.api.application import SPECIFICATION
from tests.contract.tes.served import Tes

TASK: dict[str, Any] = {
    "inputs": [{"content": "secret", "path": "/in/x"}],
    "executors": [
        {"image": "x:3", "command": ["echo", "one"], "ignore_error": True},
        {"image": "x:0", "command": ["echo", "two"]},
    ],
}


@pytest.fixture(scope="module")
def task_id(tes: Tes) -> str:
    identifier = tes.create(**TASK)
    tes.ended(identifier)
    return identifier


def test_minimal_is_the_default_and_has_two_fields(tes: Tes, task_id: str) -> None:
    assert tes.get(f"/tasks/{task_id}") == {"id": task_id, "state": "COMPLETE"}
    assert tes.get(f"/tasks/{task_id}", view="MINIMAL") == {"id": task_id, "state": "COMPLETE"}


def test_full_has_everything(tes: Tes, task_id: str) -> None:
    task = tes.get(f"/tasks/{task_id}", view="FULL")
    log = task["logs"][0]
    assert task["inputs"][0]["content"] == "secret"
    assert [one["stdout"] for one in log["logs"]] == ["echo one", "echo two"]
    assert [one["exit_code"] for one in log["logs"]] == [3, 0]
    assert log["system_logs"] == ["not run at all"]
    assert log["outputs"] == []
    times = [task["creation_time"], log["start_time"], *(one["start_time"] for one in log["logs"]), log["end_time"]]
    assert times == sorted(times)


def test_basic_leaves_out_three_things_and_nothing_else(tes: Tes, task_id: str) -> None:
    full, basic = tes.get(f"/tasks/{task_id}", view="FULL"), tes.get(f"/tasks/{task_id}", view="BASIC")
    del full["inputs"][0]["content"]
    del full["logs"][0]["system_logs"]
    for log in full["logs"][0]["logs"]:
        del log["stdout"], log["stderr"]
    assert basic == full


@pytest.mark.parametrize("view", ["MINIMAL", "BASIC", "FULL"])
def test_the_list_shows_the_same_views(tes: Tes, task_id: str, view: str) -> None:
    (listed,) = (one for one in tes.get("/tasks", view=view, page_size=2047)["tasks"] if one["id"] == task_id)
    assert listed == tes.get(f"/tasks/{task_id}", view=view)


def test_a_waiting_task_has_a_log_in_which_nothing_has_happened(waiting: Tes) -> None:
    task = waiting.get(f"/tasks/{waiting.create()}", view="FULL")
    assert (task["state"], task["logs"]) == ("QUEUED", [{"logs": [], "outputs": [], "system_logs": []}])


def assert_as_documented(tes: Tes, task_id: str) -> None:
    """In every view, by itself and in the list: all that the standard requires is there, also in its logs."""
    components = yaml.safe_load(Path(SPECIFICATION).read_text())["components"]
    for view in ("MINIMAL", "BASIC", "FULL"):
        (listed,) = (one for one in tes.get("/tasks", view=view, page_size=2047)["tasks"] if one["id"] == task_id)
        for task in (tes.get(f"/tasks/{task_id}", view=view), listed):
            kind = "tesTask" if view != "MINIMAL" else "tesTaskMinimal"
            schema = {"$ref": f"#/components/schemas/{kind}", "components": components}
            jsonschema.validate(task, schema if kind in components["schemas"] else {"required": ["id", "state"]})


def test_views_are_as_the_document_says(tes: Tes, task_id: str) -> None:
    assert_as_documented(tes, task_id)


def test_views_of_a_waiting_task_are_as_the_document_says(waiting: Tes) -> None:
    assert_as_documented(waiting, waiting.create())


def test_views_of_a_task_that_runs_and_is_canceled_are_as_the_document_says(tes: Tes) -> None:
    executors = [{"image": "x:0", "command": ["true"]}, {"image": "x:hold", "command": ["sleep"]}]
    task_id = tes.create(executors=executors)
    log = tes.reached(task_id, "RUNNING")["logs"][0]
    assert all(isinstance(one["exit_code"], int) for one in log["logs"])
    assert_as_documented(tes, task_id)
    assert tes.client.post(f"/tasks/{task_id}:cancel").status_code == 200
    tes.reached(task_id, "CANCELED")
    assert_as_documented(tes, task_id)


def test_views_of_a_task_that_failed_are_as_the_document_says(tes: Tes) -> None:
    task_id = tes.create(executors=[{"image": "x:3", "command": ["false"]}])
    assert tes.ended(task_id)["state"] == "EXECUTOR_ERROR"
    assert_as_documented(tes, task_id)


@pytest.mark.parametrize("path", ["/tasks", "/tasks/{}"])
@pytest.mark.parametrize("view", ["full", "ALL", "0"])
def test_a_bad_view_is_refused(tes: Tes, task_id: str, path: str, view: str) -> None:
    response = tes.client.get(path.format(task_id), params={"view": view})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("view: ")
