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


def test_views_are_as_the_document_says(tes: Tes, task_id: str) -> None:
    document = yaml.safe_load(Path(SPECIFICATION).read_text())
    schema = {"$ref": "#/components/schemas/tesTask", "components": document["components"]}
    for view in ("BASIC", "FULL"):
        jsonschema.validate(tes.get(f"/tasks/{task_id}", view=view), schema)


@pytest.mark.parametrize("path", ["/tasks", "/tasks/{}"])
@pytest.mark.parametrize("view", ["full", "ALL", "0"])
def test_a_bad_view_is_refused(tes: Tes, task_id: str, path: str, view: str) -> None:
    response = tes.client.get(path.format(task_id), params={"view": view})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("view: ")
