"""GET /runs/{run_id}/tasks and /tasks/{task_id}, and `task_logs` of the run."""

import pytest

from common.json_types import Json, JsonObject
from tes.task import TaskState
from tests.contract.wes.harness import BODY, ORIGIN, Api

RUNS = f"{ORIGIN}/ga4gh/wes/v1/runs"
ENDED: JsonObject = {
    "logs": [
        {
            "metadata": {"hostname": "node7"},
            "system_logs": ["image pulled"],
            "start_time": "2025-01-02T03:04:00Z",
            "logs": [
                {
                    "start_time": "2025-01-02T03:04:10.5+00:00",
                    "end_time": "2025-01-02T04:04:20+01:00",
                    "exit_code": 3,
                    "stdout": "the end of stdout",
                }
            ],
        }
    ]
}


def two_by_two(*, attempts: int = 2) -> JsonObject:
    """A document of a task with two executors."""
    entry: Json = {
        "logs": [{"exit_code": 0, "end_time": "2025-01-02T03:04:05Z", "stdout": f"kept {i}"} for i in range(2)]
    }
    return {
        "executors": [{"image": "a", "command": ["x"]}, {"image": "a", "command": ["y"]}],
        "logs": [entry] * attempts,
    }


def test_a_task_is_there_as_soon_as_it_was_handed_over(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1", name="align_2")
    expected = {
        "id": "t1",
        "name": "align_2",
        "cmd": ["wc", "-l", "reads.fq"],
        "stdout": f"{RUNS}/{run.id}/tasks/t1/logs/stdout",
        "stderr": f"{RUNS}/{run.id}/tasks/t1/logs/stderr",
        "system_logs": ["TES state: QUEUED"],
        "tes_uri": f"{ORIGIN}/ga4gh/tes/v1/tasks/t1",
    }
    assert api.json(f"/runs/{run.id}/tasks") == {"task_logs": [expected], "next_page_token": ""}
    assert api.json(f"/runs/{run.id}/tasks/t1") == expected
    assert api.json(f"/runs/{run.id}")["task_logs"] == [expected]


def test_an_ended_task_tells_times_exit_code_and_why_it_failed(api: Api) -> None:
    run = api.started()
    task = api.add_task(run, "t1", tes_url="http://user:pw@tes:8000/ga4gh/tes/v1/?token=x", tes_id="abc")
    api.end_task(task, TaskState.EXECUTOR_ERROR, ENDED, "wc ended with 3: no such file")
    log = api.json(f"/runs/{run.id}/tasks/t1")
    assert (log["start_time"], log["end_time"]) == ("2025-01-02T03:04:10Z", "2025-01-02T03:04:20Z")
    assert log["exit_code"] == 3
    assert log["system_logs"] == [
        "wc ended with 3: no such file",
        "TES state: EXECUTOR_ERROR",
        "host: node7",
        "task on its TES: http://tes:8000/ga4gh/tes/v1/tasks/abc",
        "image pulled",
    ]


def test_a_running_task_has_no_exit_code_whatever_its_tes_tells(api: Api) -> None:
    run = api.started()
    document: JsonObject = {"logs": [{"logs": [{"start_time": "2025-01-02T03:04:10Z", "exit_code": 0}]}]}
    api.add_task(run, "t1", state=TaskState.RUNNING, document=document)
    log = api.json(f"/runs/{run.id}/tasks/t1")
    assert log["start_time"] == "2025-01-02T03:04:10Z"
    assert "exit_code" not in log
    assert "end_time" not in log


def test_attempts_and_executors_have_logs_of_their_own(api: Api) -> None:
    run = api.started()
    task = api.add_task(run, "t1")
    api.end_task(task, TaskState.COMPLETE, two_by_two())
    logs = api.json(f"/runs/{run.id}/tasks")["task_logs"]
    assert [log["id"] for log in logs] == ["t1.0.0", "t1.0.1", "t1.1.0", "t1.1.1"]
    assert [log["cmd"] for log in logs] == [["x"], ["y"]] * 2
    assert {log["tes_uri"] for log in logs} == {f"{ORIGIN}/ga4gh/tes/v1/tasks/t1"}
    assert [api.json(f"/runs/{run.id}/tasks/{log['id']}") for log in logs] == logs


@pytest.mark.parametrize("name", ["t1", "t1.2.0", "t1.0.2", "t1.0", "t1.00.0", "t1.-1.0", "t1.x.y", "t2", "T1.0.0"])
def test_a_log_that_a_task_has_not_is_a_404(api: Api, name: str) -> None:
    run = api.started()
    api.end_task(api.add_task(run, "t1"), TaskState.COMPLETE, two_by_two())
    for route in (f"/runs/{run.id}/tasks/{name}", f"/runs/{run.id}/tasks/{name}/logs/stdout"):
        assert api.get(route).status_code == 404


def test_a_task_of_another_run_is_a_404(api: Api) -> None:
    first, second = api.started(), api.started()
    api.add_task(first, "t1")
    assert api.get(f"/runs/{second.id}/tasks/t1").status_code == 404
    assert api.json(f"/runs/{second.id}/tasks")["task_logs"] == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_pages_are_filled_and_lose_no_log_whatever_the_size(api: Api, size: int) -> None:
    run = api.started()
    for number in range(3):
        api.end_task(api.add_task(run, f"t{number}"), TaskState.COMPLETE, two_by_two(attempts=1))
    pages, token = [], ""
    while True:
        page = api.json(f"/runs/{run.id}/tasks", params={"page_size": size, "page_token": token})
        pages.append([log["id"] for log in page["task_logs"]])
        token = page["next_page_token"]
        if not token:
            break
    assert [name for page in pages for name in page] == [f"t{t}.0.{e}" for t in range(3) for e in range(2)]
    assert all(len(page) == size for page in pages[:-1])
    assert pages[-1]


def test_task_logs_of_a_run_stop_at_a_thousand_in_the_order_of_the_list(api: Api) -> None:
    run = api.started()
    for number in range(1003):
        api.add_task(run, f"t{number:04}")
    shown = [log["id"] for log in api.json(f"/runs/{run.id}")["task_logs"]]
    assert shown == [f"t{number:04}" for number in range(1000)]
    listed = api.json(f"/runs/{run.id}/tasks", params={"page_size": 1000})
    assert [log["id"] for log in listed["task_logs"]] == shown
    assert listed["next_page_token"]


@pytest.mark.parametrize(("name", "value"), [("page_size", "0"), ("page_size", "x"), ("page_token", "x")])
def test_a_bad_page_is_a_400(api: Api, name: str, value: str) -> None:
    run = api.started()
    response = api.get(f"/runs/{run.id}/tasks", params={name: value})
    assert response.status_code == 400
    assert response.json()["msg"].startswith(f"{name}:")


def test_a_token_within_a_task_that_is_not_there_is_a_400(api: Api) -> None:
    first, second = api.started(), api.started()
    api.end_task(api.add_task(first, "t1"), TaskState.COMPLETE, two_by_two())
    token = api.json(f"/runs/{first.id}/tasks", params={"page_size": 1})["next_page_token"]
    assert api.get(f"/runs/{second.id}/tasks", params={"page_token": token}).status_code == 400


def test_a_document_of_an_odd_server_breaks_nothing(api: Api) -> None:
    run = api.started()
    odd: JsonObject = {
        "executors": None,
        "logs": [{"logs": [{"exit_code": "0", "start_time": "", "end_time": "yesterday", "stdout": ["x"]}, None]}],
    }
    api.end_task(api.add_task(run, "t1", name=""), TaskState.COMPLETE, odd)
    log = api.json(f"/runs/{run.id}/tasks/t1")
    assert (log["name"], log["exit_code"]) == ("t1", 0)
    assert "start_time" not in log


def test_a_task_that_no_tes_has_answered_for_yet_has_no_url_there(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1", body=BODY, tes_url="http://tes", tes_id=None)
    assert api.json(f"/runs/{run.id}/tasks/t1")["system_logs"] == ["TES state: QUEUED"]
