"""The gateway between an engine and TES servers as they are (acceptance: TES, "what the gateway copes with")."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.tes_server import BadTes, bad_tes
from tests.integration.workers.conftest import Rig, rigged, scope_of
from wes_service.core.task import TAG_KEY, TaskState

ENDED = {"logs": [{"logs": [{"exit_code": 3, "end_time": "2026-01-01T00:00:00Z", "stderr": "no such file"}]}]}


def test_a_task_is_recorded_before_it_is_answered_and_carries_tags(rig: Rig, tes: BadTes) -> None:
    tes.create = ["nothing else", None]
    task_id = rig.post(name="align")
    stored = rig.stores.tasks.get("run-1", task_id)
    assert (stored.name, stored.body["tags"]["wes.run_id"]) == ("align", "run-1")  # type: ignore[index,call-overload]
    assert rig.wait(task_id)["state"] == "COMPLETE"
    assert tes.bodies[0]["tags"]["wes.step"] == "align"
    assert rig.stores.tasks.get("run-1", task_id).tes_id == "0"


def test_the_engine_never_needs_the_credentials_of_the_tes(rig: Rig, tes: BadTes) -> None:
    rig.wait(rig.post())
    assert tes.tokens == ["Bearer tes-secret"]
    assert "tes-secret" not in str(rig.get(next(iter(rig.session.tasks))))


def test_a_tes_may_listen_on_a_unix_socket(open_tmp: Path) -> None:
    with bad_tes(open_tmp / ("deep" * 30) / "tes.sock") as tes, rigged(open_tmp, tes) as rig:
        task_id = rig.post()
        assert rig.wait(task_id)["state"] == "COMPLETE"
        assert rig.stores.tasks.get("run-1", task_id).tes_url == tes.url


def test_the_full_view_of_a_finished_task_is_kept(rig: Rig, tes: BadTes) -> None:
    tes.script = ["QUEUED", "RUNNING", "EXECUTOR_ERROR"]
    tes.documents = ENDED
    task_id = rig.post()
    assert rig.wait(task_id)["logs"][0]["logs"][0]["exit_code"] == 3
    stored = rig.stores.tasks.get("run-1", task_id)
    assert stored.state is TaskState.EXECUTOR_ERROR
    assert (rig.scope.folder.task_logs(task_id) / "stderr").read_text() == "no such file"


def test_polls_of_the_engine_are_answered_from_memory(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    time.sleep(0.5)
    before = len(tes.seen)
    with rig.client() as client:
        for _ in range(400):
            assert client.get(f"/tasks/{task_id}").json()["state"] != "COMPLETE"
    # The gateway goes on looking by itself meanwhile, twenty times a second at most.
    assert len(tes.seen) - before < 200


def test_errors_and_dropped_connections_change_no_state(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING", 500, "drop", 503, "RUNNING", "drop", "COMPLETE"]
    tes.create = [503, None]
    assert rig.wait(rig.post())["state"] == "COMPLETE"


def test_running_that_turns_into_queued_again_stays_running(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING", "RUNNING", "QUEUED"]
    task_id = rig.post()
    time.sleep(0.8)
    assert rig.get(task_id, "MINIMAL")["state"] == "RUNNING"


def test_a_tes_that_is_down_for_longer_than_the_patience_is_the_services_failure(rig: Rig, tes: BadTes) -> None:
    tes.create = [503]
    document = rig.wait(rig.post())
    assert document["state"] == "SYSTEM_ERROR"
    assert "no TES took the task for 2 s" in document["logs"][0]["system_logs"][0]
    assert "told to answer 503" in (rig.session.failure or "")
    assert any("waiting for a TES" in line for line in rig.gateway.notes("run-1"))


def test_a_tes_that_refuses_a_task_fails_it_with_the_tes_own_words(rig: Rig, tes: BadTes) -> None:
    tes.create = [400]
    document = rig.wait(rig.post())
    assert document["state"] == "SYSTEM_ERROR"
    assert "refused the task: HTTP 400: told to answer 400" in document["logs"][0]["system_logs"][0]
    assert rig.session.failure is None


def test_wrong_credentials_for_the_tes_are_the_services_failure(rig: Rig, tes: BadTes) -> None:
    tes.create = [401]
    rig.wait(rig.post())
    assert "HTTP 401" in (rig.session.failure or "")
    assert len(tes.tokens) == 2, "the token is read once more before giving up"


def test_a_task_that_the_tes_forgot_does_not_wait_for_ever(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING", 404]
    document = rig.wait(rig.post())
    assert document["state"] == "SYSTEM_ERROR"
    assert "no longer knows the task" in document["logs"][0]["system_logs"][-1]


def test_cancel_is_passed_on_and_the_task_is_canceling_until_the_tes_says_canceled(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    tes.stop_on_cancel = False
    task_id = rig.post()
    with rig.client() as client:
        assert client.post(f"/tasks/{task_id}:cancel").status_code == 200
    for _ in range(100):
        if rig.get(task_id, "MINIMAL")["state"] == "CANCELING":
            break
        time.sleep(0.02)
    assert rig.get(task_id, "MINIMAL")["state"] == "CANCELING"
    tes.stop_on_cancel = True
    assert rig.wait(task_id)["state"] == "CANCELED"


def test_closing_a_run_cancels_all_that_is_open(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    ids = [rig.post(name=f"s{n}") for n in range(5)]
    assert rig.gateway.close_session(rig.session, 10)
    assert rig.stores.tasks.open("run-1") == []
    assert {rig.stores.tasks.get("run-1", i).state for i in ids} == {TaskState.CANCELED}
    assert len(tes.canceled) == len([path for verb, path in tes.seen if path.endswith("/tasks") and verb == "POST"])


def test_a_closed_run_and_a_wrong_secret_get_401(rig: Rig) -> None:
    with rig.client(token="another") as client:
        assert client.get("/tasks").status_code == 401
        assert client.post("/tasks", json={}).status_code == 401
    rig.gateway.close_session(rig.session, 10)
    with rig.client() as client:
        assert client.post("/tasks", json={}).status_code == 401


def test_the_secret_of_one_run_does_not_open_another(rig: Rig, open_tmp: Path) -> None:
    task_id = rig.post()
    other = rig.gateway.open_session(scope_of(rig.stores, "run-2", open_tmp))
    with rig.client(token=other.token) as client:
        assert client.get(f"/tasks/{task_id}").status_code == 404
        assert client.get("/tasks").json() == {"tasks": []}
        url = f"file://{rig.scope.folder.work}/x"
        body = {"executors": [{"image": "i", "command": ["c"]}], "inputs": [{"url": url, "path": "/in/x"}]}
        refused = client.post("/tasks", json=body)
    assert (refused.status_code, "inputs[0].url" in refused.json()["msg"]) == (400, True)
    assert rig.gateway.close_session(other, 10)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"executors": []}'])
def test_what_is_no_task_is_a_400_and_leaves_none(rig: Rig, raw: bytes) -> None:
    with rig.client() as client:
        response = client.post("/tasks", content=raw)
    assert response.status_code == 400
    assert response.json()["status_code"] == 400
    assert rig.session.tasks == {}


def test_the_same_step_sent_twice_is_one_task(rig: Rig, tes: BadTes) -> None:
    tags: dict[str, Any] = {TAG_KEY: "main/align#1"}
    first = rig.post(tags=tags)
    assert rig.post(tags=tags) == first
    rig.wait(first)
    assert rig.post(tags=tags) == first
    assert len(tes.bodies) == 1


def test_a_step_whose_task_failed_or_was_cancelled_is_run_again(rig: Rig, tes: BadTes) -> None:
    tags: dict[str, Any] = {TAG_KEY: "main/align#1"}
    tes.script = ["EXECUTOR_ERROR"]
    first = rig.post(tags=tags)
    rig.wait(first)
    assert rig.post(tags=tags) != first


def test_a_recovered_run_ends_what_an_earlier_worker_left_open(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    for _ in range(100):
        if rig.stores.tasks.get("run-1", task_id).tes_id:
            break
        time.sleep(0.02)
    recovered = rig.gateway.recover_session(replace(rig.scope))
    assert list(recovered.tasks) == [task_id]
    assert rig.gateway.close_session(recovered, 10)
    assert tes.canceled == {"0"}


@pytest.mark.parametrize("problem", ["lost", 500, 504])
def test_a_task_is_never_run_twice_where_the_answer_of_its_tes_was_lost(
    rig: Rig, tes: BadTes, problem: str | int
) -> None:
    tes.create = [problem, None]
    task_id = rig.post()
    assert rig.wait(task_id)["state"] == "COMPLETE"
    assert [body["tags"]["wes.task"] for body in tes.bodies] == [task_id]
    asked = [path for method, path in tes.seen if method == "GET" and "tag_key=wes.task" in path]
    assert asked
    assert f"tag_value={task_id}" in asked[0]


def test_a_tes_that_can_not_list_is_offered_a_lost_task_again(rig: Rig, tes: BadTes) -> None:
    tes.create = ["lost", None]
    tes.listing = [501]
    assert rig.wait(rig.post())["state"] == "COMPLETE"
    assert len(tes.bodies) == 2


def test_a_task_that_may_be_on_a_tes_is_cancelled_there_with_its_run(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    tes.create = ["lost"]
    tes.listing = [503, 503, None]
    rig.post()
    while len(tes.bodies) < 1:
        time.sleep(0.01)
    assert rig.gateway.close_session(rig.session, 10)
    assert tes.canceled == {"0"}
    assert not rig.stores.tasks.open("run-1")


def test_a_task_whose_worker_died_before_it_had_the_answer_is_found_and_cancelled(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    while (task := rig.stores.tasks.get("run-1", task_id)).tes_id is None or task.state is not TaskState.RUNNING:
        time.sleep(0.01)
    rig.gateway.drop_session(rig.session)
    rig.stores.tasks.update(replace(task, tes_id=None, tes_url=None, state=TaskState.UNKNOWN))
    rig.session = rig.gateway.recover_session(replace(rig.scope))
    assert rig.gateway.close_session(rig.session, 10)
    assert tes.canceled == {"0"}


def test_output_of_a_running_task_can_be_read_while_it_runs(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    tes.documents = {"logs": [{"logs": [{"stdout": "half way\n"}]}]}
    task_id = rig.post()
    for _ in range(200):
        document = rig.stores.tasks.get("run-1", task_id).document
        if document:
            break
        time.sleep(0.02)
    assert document["logs"] == [{"logs": [{"stdout": "half way\n"}]}]


def test_the_gateway_answers_a_waiting_engine_as_soon_as_the_state_changes(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    for _ in range(100):
        if rig.get(task_id, "MINIMAL")["state"] == "RUNNING":
            break
        time.sleep(0.02)
    tes.script = ["COMPLETE"]
    began = time.monotonic()
    with rig.client() as client:
        told = client.get(f"/tasks/{task_id}", headers={"Prefer": "wait=15"}).json()
    assert told["state"] == "COMPLETE"
    assert time.monotonic() - began < 10
