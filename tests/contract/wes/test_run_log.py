"""GET /runs/{run_id} and GET /runs/{run_id}/status."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from common.json_types import JsonObject
from tests.contract.wes.harness import ORIGIN, WORKER, Api
from wes_service.core.ports import RunChange
from wes_service.core.run import EngineProcess, RunState

RUNS = f"{ORIGIN}/ga4gh/wes/v1/runs"
ROUTES = [
    "",
    "/status",
    "/tasks",
    "/tasks/t1",
    "/logs/stdout",
    "/logs/stderr",
    "/tasks/t1/logs/stdout",
    "/outputs",
    "/events",
]


def test_a_queued_run_has_its_request_and_urls_and_nothing_that_is_not_known(api: Api) -> None:
    run_id = api.submit({"workflow_params": '{"reads": "sub/a.fq", "n": [1, null, 2.5]}'})
    assert api.json(f"/runs/{run_id}") == {
        "run_id": run_id,
        "request": {
            "workflow_type": "CWL",
            "workflow_type_version": "v1.2",
            "workflow_url": "main.cwl",
            "workflow_params": {"reads": "sub/a.fq", "n": [1, None, 2.5]},
            "tags": {},
            "workflow_engine_parameters": {},
        },
        "state": "QUEUED",
        "run_log": {
            "name": "main.cwl",
            "stdout": f"{RUNS}/{run_id}/logs/stdout",
            "stderr": f"{RUNS}/{run_id}/logs/stderr",
            "system_logs": ["It is queued: a worker takes it in a moment."],
        },
        "task_logs_url": f"{RUNS}/{run_id}/tasks",
        "task_logs": [],
        "outputs": {},
    }


def test_a_queued_run_tells_its_owner_what_it_waits_for(api: Api) -> None:
    api.stores.workers.beat(replace(WORKER, slots=4, owner_slots=1))
    api.started()
    waiting = api.submit()
    (reason,) = api.json(f"/runs/{waiting}")["run_log"]["system_logs"]
    assert reason == "It waits for your other runs: 1 go on, and of one owner 1 may at once."
    api.stores.workers.remove(WORKER.id)
    (reason,) = api.json(f"/runs/{waiting}")["run_log"]["system_logs"]
    assert reason.startswith("It waits for a worker: none is alive.")


def test_a_complete_run_has_argv_times_and_exit_code(api: Api) -> None:
    run = api.started()
    started = api.clock.now()
    process = EngineProcess(argv=("wes-cwl", "--x", "a b"), started=started, ended=started, exit_code=0)
    api.clock.advance(90)
    api.end(run, RunState.COMPLETE, RunChange(process=process, lines=("all is well",), outputs={"n": 3}))
    document = api.json(f"/runs/{run.id}")
    log = document["run_log"]
    assert log["cmd"] == ["wes-cwl", "--x", "a b"]
    assert (log["start_time"], log["end_time"]) == ("2025-01-02T03:04:05Z", "2025-01-02T03:05:35Z")
    assert (log["exit_code"], log["system_logs"]) == (0, ["all is well"])
    assert document["outputs"] == {"n": 3}


@pytest.mark.parametrize("state", [RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR])
def test_the_first_system_log_of_a_failed_run_is_the_reason(api: Api, state: RunState) -> None:
    run = api.started()
    api.end(run, state, RunChange(reason="The step align ended with 3.", lines=("more",)))
    document = api.json(f"/runs/{run.id}")
    assert document["state"] == state
    assert document["run_log"]["system_logs"] == ["The step align ended with 3.", "more"]
    assert "exit_code" not in document["run_log"]


@pytest.mark.parametrize("state", [RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR])
def test_a_run_that_failed_without_a_reason_says_at_least_that(api: Api, state: RunState) -> None:
    run = api.started()
    api.end(run, state, RunChange())
    assert api.json(f"/runs/{run.id}")["run_log"]["system_logs"][0].endswith(".")


def test_a_run_that_was_canceled_before_it_began_says_so_and_has_no_start(api: Api) -> None:
    run_id = api.submit()
    api.request("POST", f"/runs/{run_id}/cancel")
    log = api.json(f"/runs/{run_id}")["run_log"]
    assert log["system_logs"] == ["The run was canceled."]
    assert "start_time" not in log
    assert log["end_time"] == "2025-01-02T03:04:05Z"
    assert log["stdout"]
    assert log["stderr"]


def test_secrets_in_the_request_are_masked(api: Api) -> None:
    params = '{"password": "hunter2", "reads": "https://ann:hunter2@host/a?X-Amz-Signature=hunter2&b=1"}'
    run_id = api.submit({"workflow_params": params, "tags": '{"api_key": "hunter2"}'})
    response = api.get(f"/runs/{run_id}")
    assert "hunter2" not in response.text
    assert response.json()["request"]["workflow_params"]["reads"].endswith("&b=1")
    assert "hunter2" not in api.get("/runs").text


def test_outputs_are_urls_that_this_server_answers(api: Api) -> None:
    run = api.started()
    file: JsonObject = {"class": "File", "location": "wes-output:out/a%20b.txt", "basename": "a b.txt", "size": 5}
    (api.folders.folder(run.id).work / "out").mkdir()
    (api.folders.folder(run.id).work / "out/a b.txt").write_bytes(b"hello")
    api.end(run, RunState.COMPLETE, RunChange(outputs={"found": [file], "none": None}))
    (found,) = api.json(f"/runs/{run.id}")["outputs"]["found"]
    assert found == {**file, "location": f"{RUNS}/{run.id}/outputs/out/a%20b.txt"}
    assert api.client.get(found["location"]).content == b"hello"


def test_status_is_id_and_state_only(api: Api) -> None:
    run = api.started()
    assert api.json(f"/runs/{run.id}/status") == {"run_id": run.id, "state": "RUNNING"}


def test_links_follow_the_host_of_the_request(api: Api) -> None:
    run_id = api.submit()
    document = api.json(f"/runs/{run_id}", headers={"Host": "127.0.0.1:9999", "X-Forwarded-Host": "evil.example"})
    assert document["task_logs_url"] == f"http://127.0.0.1:9999/ga4gh/wes/v1/runs/{run_id}/tasks"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "run_id", ["unknown", "01jgjfgrse0000000000000000", "..", "%2e%2e", "a b", "x" * 5000, "☃", "%00"]
)
def test_an_unknown_or_malformed_id_is_a_404(api: Api, route: str, run_id: str) -> None:
    assert api.get(f"/runs/{run_id}{route}").status_code == 404


@pytest.mark.parametrize("route", [*ROUTES, "/outputs/a.txt"])
def test_a_run_of_another_user_is_the_same_404_as_an_unknown_one(api: Api, route: str) -> None:
    run = api.started()
    api.add_task(run, "t1")
    api.give_away(run.id)
    assert api.get(f"/runs/{run.id}{route}").content == api.get(f"/runs/unknown{route}").content
    assert api.get(f"/runs/{run.id}{route}").status_code == 404


def test_a_read_writes_nothing(api: Api) -> None:
    run = api.started()
    before, files = api.stores.runs.get(run.owner, run.id), api.stored_files()
    api.clock.advance(timedelta(days=1).total_seconds())
    for route in ROUTES:
        api.get(f"/runs/{run.id}{route}")
    assert api.stores.runs.get(run.owner, run.id) == before
    assert api.stored_files() == files


def test_progress_is_what_the_engine_tells_or_what_the_tasks_show(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1")
    assert api.json(f"/runs/{run.id}/status")["progress"]["running"] == 1
    own = api.dependencies.folders.folder(run.id).work / ".wes"
    own.mkdir(parents=True)
    (own / "progress.json").write_text('{"known": 5, "running": 1, "done": 2, "failed": 0, "cached": 1}')
    told = {"known": 5, "running": 1, "done": 2, "failed": 0, "cached": 1}
    assert api.json(f"/runs/{run.id}")["progress"] == told
    (own / "progress.json").unlink()
    (own / "progress.json").symlink_to("/etc/passwd")
    assert api.json(f"/runs/{run.id}")["progress"] == {"running": 1, "done": 0, "failed": 0, "cached": 0}


def test_nothing_runs_in_a_run_that_has_ended(api: Api) -> None:
    run = api.started()
    api.add_task(run, "t1")
    api.end(run, RunState.SYSTEM_ERROR, RunChange())
    assert api.json(f"/runs/{run.id}/status")["progress"]["running"] == 0
    own = api.dependencies.folders.folder(run.id).work / ".wes"
    own.mkdir(parents=True)
    (own / "progress.json").write_text('{"known": 3, "running": 3, "done": 0}')
    assert api.json(f"/runs/{run.id}")["progress"] == {"known": 3, "running": 0, "done": 0, "failed": 0, "cached": 0}


def test_a_run_whose_workflow_was_fetched_says_where_from(api: Api) -> None:
    run_id = api.submit({"workflow_url": "git+https://example.org/r@main#wf/main.cwl"}, [])
    api.claim()
    source = {"url": "https://example.org/r", "revision": "0" * 40, "path": "wf/main.cwl", "files": 3}
    (api.folders.folder(run_id).logs / "workflow-source.json").write_text(json.dumps(source))
    document = api.json(f"/runs/{run_id}")
    assert document["workflow_source"] == source
    assert document["run_log"]["name"] == "main.cwl"
