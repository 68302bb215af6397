"""The read-only TES over the tasks of one's own runs."""

from typing import Any

import pytest

from common.json_types import JsonObject
from tes.task import TaskState
from tests.contract.wes.harness import ORIGIN, Api

TES = "//ga4gh/tes/v1"
BODY: JsonObject = {
    "name": "align",
    "description": "",
    "inputs": [{"path": "/in/a", "content": "hello"}, {"path": "/in/b", "url": "https://ann:pw@host/b?sig=pw&x=1"}],
    "executors": [{"image": "debian", "command": ["true"], "env": {"API_TOKEN": "pw", "N": "1"}}],
    "tags": {"wes.step": "align"},
}
DOCUMENT: JsonObject = {
    "id": "id-on-the-tes",
    "state": "COMPLETE",
    "name": "",
    "logs": [{"system_logs": ["x"], "outputs": [], "logs": [{"exit_code": 0, "stdout": "out", "stderr": "err"}]}],
}


@pytest.fixture
def task(api: Api) -> str:
    run = api.started()
    task = api.add_task(run, "t1", name="align", body={**BODY, "tags": {"wes.run_id": run.id, "wes.step": "align"}})
    api.end_task(task, TaskState.COMPLETE, DOCUMENT)
    return task.id


def shown(api: Api, task: str, view: str) -> dict[str, Any]:
    document = api.json(f"{TES}/tasks/{task}", params={"view": view} if view else {})
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("view", ["", "MINIMAL"])
def test_minimal_is_id_and_state_only(api: Api, task: str, view: str) -> None:
    assert shown(api, task, view) == {"id": "t1", "state": "COMPLETE"}


def test_full_is_all_but_credentials(api: Api, task: str) -> None:
    document = shown(api, task, "FULL")
    assert (document["id"], document["state"], document["name"]) == ("t1", "COMPLETE", "align")
    assert document["logs"] == DOCUMENT["logs"]
    assert document["inputs"] == [
        {"path": "/in/a", "content": "hello"},
        {"path": "/in/b", "url": "https://***@host/b?sig=***&x=1"},
    ]
    assert document["executors"][0]["env"] == {"API_TOKEN": "***", "N": "1"}
    assert document["creation_time"].endswith("Z")


def test_basic_is_full_without_streams_content_and_system_logs(api: Api, task: str) -> None:
    full, basic = shown(api, task, "FULL"), shown(api, task, "BASIC")
    assert basic["inputs"] == [{"path": "/in/a"}, full["inputs"][1]]
    assert basic["logs"] == [{"outputs": [], "logs": [{"exit_code": 0}]}]
    for name in ("executors", "tags", "creation_time", "name"):
        assert basic[name] == full[name]


def test_tes_uri_of_a_task_log_is_answered(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1")
    uri = api.json(f"/runs/{run.id}/tasks/t1")["tes_uri"]
    assert uri.startswith(ORIGIN)
    assert api.client.get(uri).json() == {"id": "t1", "state": "QUEUED"}


def test_a_task_of_another_user_is_the_same_404_as_an_unknown_one(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1")
    api.give_away(run.id)
    theirs, unknown = api.get(f"{TES}/tasks/t1"), api.get(f"{TES}/tasks/unknown")
    assert theirs.status_code == unknown.status_code == 404
    assert theirs.content == unknown.content
    assert api.json(f"{TES}/tasks") == {"tasks": []}


def ids(page: dict[str, Any]) -> list[str]:
    return [task["id"] for task in page["tasks"]]


def walked(api: Api, **params: object) -> list[list[str]]:
    pages, token = [], ""
    while True:
        page = api.json(f"{TES}/tasks", params={**params, "page_token": token})
        pages.append(ids(page))
        if "next_page_token" not in page:
            return pages
        token = page["next_page_token"]


@pytest.fixture
def many(api: Api) -> list[str]:
    """Tasks of three runs (one without any), and the ids of the two others."""
    runs = []
    for number in range(3):
        api.clock.advance(10)
        run = api.started()
        runs.append(run.id)
        for index in range(0 if number == 1 else 3):
            body = {**BODY, "tags": {"wes.run_id": run.id, "n": str(index), "none": ""}}
            state = TaskState.RUNNING if index else TaskState.QUEUED
            api.add_task(run, f"r{number}t{index}", name=f"step {index}", body=body, state=state)
    return runs


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7])
def test_all_tasks_are_listed_once_in_full_pages(api: Api, many: list[str], size: int) -> None:
    assert len(many) == 3
    pages = walked(api, page_size=size)
    assert [task for page in pages for task in page] == ["r2t0", "r2t1", "r2t2", "r0t0", "r0t1", "r0t2"]
    assert all(len(page) == size for page in pages[:-1])
    assert pages[-1]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"name_prefix": "step 1"}, ["r2t1", "r0t1"]),
        ({"state": "QUEUED"}, ["r2t0", "r0t0"]),
        ({"state": "COMPLETE"}, []),
        ({"tag_key": "n", "tag_value": "2"}, ["r2t2", "r0t2"]),
        ({"tag_key": ["n", "none"], "tag_value": ["2"]}, ["r2t2", "r0t2"]),
        ({"tag_key": ["none", "n"], "tag_value": ["", "1"]}, ["r2t1", "r0t1"]),
        ({"tag_key": "unknown"}, []),
    ],
)
def test_lists_are_filtered(api: Api, many: list[str], params: dict[str, object], expected: list[str]) -> None:
    assert ids(api.json(f"{TES}/tasks", params=params)) == expected
    assert [task for page in walked(api, page_size=1, **params) for task in page] == expected
    assert many


def test_the_tasks_of_one_run_are_found_by_its_tag(api: Api, many: list[str]) -> None:
    params = {"tag_key": "wes.run_id", "tag_value": many[0]}
    assert walked(api, page_size=2, **params) == [["r0t0", "r0t1"], ["r0t2"]]
    assert ids(api.json(f"{TES}/tasks", params={**params, "tag_value": "unknown"})) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("view", "full"),
        ("view", ""),
        ("state", "DONE"),
        ("page_size", "0"),
        ("page_size", "2048"),
        ("page_size", "x"),
        ("page_size", ""),
        ("page_token", "x"),
        ("page_token", "W10.W10"),
        ("page_token", "."),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(api: Api, name: str, value: str) -> None:
    response = api.get(f"{TES}/tasks", params={name: value})
    assert response.status_code == 400
    assert response.json()["msg"].startswith(f"{name}:")


@pytest.mark.parametrize("path", ["/tasks", "/tasks/t1", "/tasks/t1:cancel", "/service-info"])
def test_nothing_can_be_written(api: Api, task: str, path: str) -> None:
    assert api.request("POST", TES + path, json=BODY).status_code == 405
    assert shown(api, task, "MINIMAL")["state"] == "COMPLETE"


def test_service_info_says_that_it_is_a_tes_that_takes_no_task(api: Api) -> None:
    info = api.json(f"{TES}/service-info")
    assert info["type"] == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
    assert "read-only" in info["description"]
    assert info["storage"] == []
