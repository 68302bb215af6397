"""The gateway between an engine and TES servers as they are (acceptance: TES, "what the gateway copes with")."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.engine import RUN_ROOT
from common.errors import StoreUnavailable
from gateway import http_api
from gateway.server import SOCKET_NAME, remove_abandoned_folders
from tes.task import TAG_KEY, TaskState
from tests import waiting
from tests.fakes.tes_server import BadTes, bad_tes
from tests.integration.workers.conftest import UID, Rig, rigged, scope_of
from tests.other_account import NOBODY, root_only
from wes_service.core.ports import Lease
from wes_service.core.run import RunState

until = partial(waiting.until, seconds=30.0, pause=0.02)

ENDED = {"logs": [{"logs": [{"exit_code": 3, "end_time": "2026-01-01T00:00:00Z", "stderr": "no such file"}]}]}


def test_a_task_is_recorded_before_it_is_answered_and_carries_tags(rig: Rig, tes: BadTes) -> None:
    tes.create = ["nothing else", None]
    task_id = rig.post(name="align")
    stored = rig.stores.tasks.get("run-1", task_id)
    assert (stored.name, stored.body["tags"]["wes.run_id"]) == ("align", "run-1")  # type: ignore[index]
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


def test_tasks_over_the_limit_wait_without_the_tes_and_can_be_cancelled(open_tmp: Path, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    with rigged(open_tmp, tes, open_tasks=1) as rig:
        first, second, third = (rig.post(name=name) for name in ("one", "two", "three"))
        until(lambda: rig.get(first, "MINIMAL")["state"] == "RUNNING")
        assert rig.gateway.notes("run-1") == [
            "Tasks wait before they are handed to a TES: this worker's limit of open tasks is 1 (WES_OPEN_TASKS)."
        ]
        with rig.client() as client:
            client.post(f"/tasks/{second}:cancel")
        assert rig.wait(second)["state"] == "CANCELED"
        assert (rig.get(third, "MINIMAL")["state"], len(tes.bodies)) == ("QUEUED", 1)
        tes.script = ["COMPLETE"]
        assert {rig.wait(task_id)["state"] for task_id in (first, third)} == {"COMPLETE"}
        assert [body["name"] for body in tes.bodies] == ["one", "three"]


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
    assert any(line.startswith(f"waiting for the TES {tes.url}: ") for line in rig.gateway.notes("run-1"))


def test_a_tes_that_refuses_a_task_fails_it_with_the_tes_own_words(rig: Rig, tes: BadTes) -> None:
    tes.create = [400]
    document = rig.wait(rig.post())
    assert document["state"] == "SYSTEM_ERROR"
    assert "refused the task: HTTP 400: told to answer 400" in document["logs"][0]["system_logs"][0]
    assert rig.session.failure is None


@pytest.mark.parametrize("status", [401, 403, 404, 405, b"<h1>Bad Request</h1>", b"[]"])
def test_a_task_is_offered_again_while_what_answers_is_no_tes(rig: Rig, tes: BadTes, status: int | bytes) -> None:
    tes.create = [status, status, None]
    assert rig.wait(rig.post())["state"] == "COMPLETE"
    assert len(tes.bodies) == 1


def test_credentials_that_stay_wrong_are_the_services_failure(rig: Rig, tes: BadTes) -> None:
    tes.create = [401]
    assert rig.wait(rig.post())["state"] == "SYSTEM_ERROR"
    assert "HTTP 401" in (rig.session.failure or "")


def test_a_token_that_is_replaced_is_read_again(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    token = rig.scope.folder.root.parent / "tes-token"
    token.unlink()
    time.sleep(0.5)
    token.touch(mode=0o600)
    token.write_text("newer")
    tes.script = ["COMPLETE"]
    assert rig.wait(task_id)["state"] == "COMPLETE"


GARBAGE = [b"", b"<html>", b"[1]", b"{}", b'{"state": 5}', b"[" * 100_000, b'{"state": "RUNNING", "logs": [[[3]]]}']


@pytest.mark.parametrize("told", [400, 401, 403, 404, 410, 429, 500, "drop", *GARBAGE])
def test_nothing_that_a_tes_tells_for_a_while_loses_a_task(
    open_tmp: Path, tes: BadTes, told: int | str | bytes
) -> None:
    tes.script = ["RUNNING", "RUNNING", *[told] * 8, "COMPLETE"]
    with rigged(open_tmp, tes, tes_patience_seconds=60) as rig:
        assert rig.wait(rig.post())["state"] == "COMPLETE"
        assert len(tes.bodies) == 1
        assert not tes.canceled


@pytest.mark.parametrize("down", [404, b"no TES here"])
def test_a_task_is_not_forgotten_where_the_tes_lists_none_either(
    open_tmp: Path, tes: BadTes, down: int | bytes
) -> None:
    tes.script = ["RUNNING"]
    with rigged(open_tmp, tes, tes_patience_seconds=60, tes_forgotten_seconds=0.1) as rig:
        task_id = rig.post()
        running(rig, task_id)
        tes.down = down
        time.sleep(5)
        tes.down, tes.script = None, ["COMPLETE"]
        assert rig.wait(task_id)["state"] == "COMPLETE"
        assert len(tes.bodies) == 1
        waiting, over = rig.gateway.notes("run-1")
    assert waiting.startswith(f"waiting for the TES {tes.url}: ")
    assert over.startswith(f"the TES {tes.url} answers again, after ")


def running(rig: Rig, task_id: str) -> None:
    until(lambda: rig.get(task_id, "MINIMAL")["state"] == "RUNNING")


def gone_from(rig: Rig, tes: BadTes) -> bool:
    """Whether the TES was told to cancel its first task; time passes until what is to be cancelled is due again."""
    rig.clock.advance(1)
    return "0" in tes.canceled


def test_a_tes_outage_is_told_once_however_many_tasks_wait(open_tmp: Path, tes: BadTes) -> None:
    with rigged(open_tmp, tes, tes_patience_seconds=60) as rig:
        tes.down = 503
        tasks = [rig.post(name=f"s{number}") for number in range(5)]
        time.sleep(5)
        tes.down = None
        assert {rig.wait(task_id)["state"] for task_id in tasks} == {"COMPLETE"}
        waiting, over = rig.gateway.notes("run-1")
    assert waiting == f"waiting for the TES {tes.url}: {tes.url} answered HTTP 503: told to answer 503"
    assert over.startswith(f"the TES {tes.url} answers again, after ")


def test_a_task_that_a_tes_lost_while_it_ran_is_sent_again_under_the_same_id(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING", "RUNNING", "SYSTEM_ERROR", "SYSTEM_ERROR", "COMPLETE"]
    tes.documents = {"logs": [{"logs": [{"start_time": "2026-01-01T00:00:00Z"}], "system_logs": ["the node died"]}]}
    task_id = rig.post()
    document = rig.wait(task_id)
    assert (document["id"], document["state"]) == (task_id, "COMPLETE")
    assert [body["tags"].get("wes.submission") for body in tes.bodies] == [None, "2"]
    first, last = document["logs"]
    assert first["metadata"] == {"wes.submission": "1"}
    assert first["system_logs"][0] == "the node died"
    assert first["system_logs"][1].endswith("task 0: sent again")
    assert "metadata" not in last
    assert rig.stores.tasks.get("run-1", task_id).tes_id == "1"
    assert rig.session.failure is None
    (line,) = rig.gateway.notes("run-1")
    assert line.startswith(f"The task 'align' ({task_id}) is sent again, as it ended in SYSTEM_ERROR on the TES ")


def test_a_task_that_is_lost_each_time_is_sent_three_times_and_then_the_services_failure(rig: Rig, tes: BadTes) -> None:
    tes.script = ["PREEMPTED"]
    document = rig.wait(rig.post())
    assert (document["state"], len(tes.bodies), len(document["logs"])) == ("PREEMPTED", 3, 3)
    assert rig.session.failure == "the task 'align' was lost: the TES ended it in PREEMPTED (sent 3 times)"


def test_how_often_a_lost_task_is_sent_again_is_a_setting(open_tmp: Path, tes: BadTes) -> None:
    tes.script = ["PREEMPTED"]
    with rigged(open_tmp, tes, tes_resubmissions=0) as rig:
        assert rig.wait(rig.post())["state"] == "PREEMPTED"
        assert len(tes.bodies) == 1
        assert "was lost" in (rig.session.failure or "")


@pytest.mark.parametrize("code", [0, 1])
def test_a_task_that_ran_to_its_end_is_not_sent_again_whatever_became_of_it(rig: Rig, tes: BadTes, code: int) -> None:
    tes.script = ["RUNNING", "RUNNING", "SYSTEM_ERROR"]
    ran = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T09:00:00Z", "exit_code": code}
    tes.documents = {"logs": [{"logs": [ran], "system_logs": ["no output x"]}]}
    assert rig.wait(rig.post())["state"] == "SYSTEM_ERROR"
    assert len(tes.bodies) == 1
    assert rig.session.failure is None


def test_a_task_that_can_not_begin_is_tried_once_more_and_is_then_to_blame_itself(rig: Rig, tes: BadTes) -> None:
    tes.script = ["SYSTEM_ERROR"]
    tes.documents = {"logs": [{"logs": [], "system_logs": ["there is no image 'nothing'"]}]}
    document = rig.wait(rig.post())
    assert (document["state"], len(tes.bodies)) == ("SYSTEM_ERROR", 2)
    assert document["logs"][-1]["system_logs"] == ["there is no image 'nothing'"]
    assert rig.session.failure is None


def test_a_task_that_the_tes_forgot_is_sent_again_and_cancelled_where_it_turns_up_later(
    open_tmp: Path, tes: BadTes
) -> None:
    tes.script = ["RUNNING"]
    with rigged(open_tmp, tes, tes_forgotten_seconds=1) as rig:
        task_id = rig.post()
        running(rig, task_id)
        tes.forgotten.add("0")
        until(lambda: len(tes.bodies) == 2)
        tes.forgotten.clear()
        until(lambda: rig.stores.tasks.get("run-1", task_id).tes_id == "1")
        tes.script = ["COMPLETE"]
        assert rig.wait(task_id)["state"] == "COMPLETE"
        first, _ = rig.get(task_id)["logs"]
        assert "no longer knows the task" in first["system_logs"][-1]


def test_a_cancelled_task_is_never_sent_again(rig: Rig, tes: BadTes) -> None:
    tes.script, tes.stop_on_cancel = ["RUNNING"], False
    task_id = rig.post()
    running(rig, task_id)
    with rig.client() as client:
        client.post(f"/tasks/{task_id}:cancel")
    until(lambda: bool(tes.canceled))
    tes.script = ["SYSTEM_ERROR"]
    assert rig.wait(task_id)["state"] == "SYSTEM_ERROR"
    assert len(tes.bodies) == 1


def test_a_task_whose_tes_was_away_for_too_long_is_cancelled_when_it_is_back(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    running(rig, task_id)
    tes.down = 503
    document = rig.wait(task_id)
    assert document["state"] == "SYSTEM_ERROR"
    assert "could not be asked for 2 s" in (rig.session.failure or "")
    assert document["logs"][-1]["system_logs"][-1].endswith("it is cancelled there as soon as that can be asked")
    assert rig.gateway.close_session(rig.session, 10) is False
    tes.down = None
    until(lambda: gone_from(rig, tes))
    until(lambda: list(rig.stores.tasks.due_cancels(rig.clock.now() + timedelta(days=1), 9)) == [])


def test_closing_does_not_wait_for_a_tes_that_is_away_but_nothing_is_left_on_it(open_tmp: Path, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    with rigged(open_tmp, tes) as rig:
        task_id = rig.post()
        running(rig, task_id)
        tes.down = 401
        assert rig.gateway.close_session(rig.session, 20) is False
        task = rig.stores.tasks.get("run-1", task_id)
        problem = f"could not be asked for 2 s: {tes.url} answered HTTP 401: told to answer 401"
        assert task.state is TaskState.SYSTEM_ERROR
        assert (task.reason or "").startswith(
            f"it was to be cancelled, but the TES {tes.url} {problem}; it is cancelled"
        )
        tes.down = None
        until(lambda: gone_from(rig, tes))


def test_a_run_that_ends_while_its_tasks_go_on_leaves_none_on_the_tes(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    running(rig, rig.post())
    rig.stores.runs.move(rig.scope.lease, RunState.SYSTEM_ERROR)
    assert rig.stores.tasks.open("run-1") == []
    until(lambda: gone_from(rig, tes))


def test_a_database_that_is_away_costs_no_task(rig: Rig, tes: BadTes, monkeypatch: pytest.MonkeyPatch) -> None:
    tes.script = ["RUNNING"]
    first = rig.post()
    running(rig, first)
    with monkeypatch.context() as patch, ThreadPoolExecutor() as pool:
        for name in ("add", "update"):
            patch.setattr(rig.stores.tasks, name, away)
        posted = pool.submit(rig.post, name="meanwhile")
        tes.script = ["COMPLETE"]
        time.sleep(3)
        assert not posted.done()
        assert rig.get(first, "MINIMAL")["state"] == "RUNNING"
        patch.undo()
        second = posted.result(20)
    assert [rig.wait(task_id)["state"] for task_id in (first, second)] == ["COMPLETE", "COMPLETE"]
    assert len(tes.bodies) == 2
    assert rig.stores.tasks.get("run-1", second).name == "meanwhile"


def away(*_arguments: Any) -> None:
    raise StoreUnavailable


def test_a_worker_that_has_lost_the_run_neither_writes_nor_cancels_its_tasks(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    running(rig, task_id)
    taken = rig.stores.runs.take_over("w2", {"w1": None}, {"cwltool": ("1",)})
    assert taken is not None
    assert rig.gateway.close_session(rig.session, 10) is False
    assert tes.canceled == set()
    assert rig.stores.tasks.get("run-1", task_id).state is TaskState.RUNNING
    rig.scope = replace(rig.scope, lease=Lease(run_id="run-1", worker="w2", epoch=taken.epoch))
    rig.session = rig.gateway.reopen_session(rig.scope, ending=True)
    assert rig.gateway.close_session(rig.session, 10)
    assert tes.canceled == {"0"}


def test_a_task_whose_tes_is_not_configured_any_more_is_not_called_cancelled(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    running(rig, task_id)
    rig.gateway.drop_session(rig.session)
    elsewhere = replace(rig.stores.tasks.get("run-1", task_id), tes_url="http://other/v1")
    rig.stores.tasks.update(rig.scope.lease, elsewhere)
    rig.session = rig.gateway.reopen_session(rig.scope, ending=True)
    assert rig.gateway.close_session(rig.session, 10) is False
    task = rig.stores.tasks.get("run-1", task_id)
    assert task.state is TaskState.SYSTEM_ERROR
    assert "the TES http://other/v1, which has it, is not configured any more" in (task.reason or "")
    assert tes.canceled == set()


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


def test_a_tes_is_told_the_folder_of_this_machine_and_nobody_else_is(rig: Rig, open_tmp: Path, tes: BadTes) -> None:
    """Recorded and shown is what the engine named; so is what the TES tells of it."""
    other = rig.gateway.open_session(scope_of(rig.stores, "run-2", open_tmp, seen=RUN_ROOT))
    here = rig.scope.folder.root.parent / "run-2"
    (here / "work" / "link").symlink_to("/wes/run/attachments")
    told = {"outputs": [{"url": f"file://{here}/work/o", "path": "/o"}], "system_logs": [f"can't read {here}/work/o."]}
    tes.documents = {"inputs": [{"url": f"file://{here}/work/a%20b", "path": "/a"}], "logs": [told]}
    given = [{"url": "file:///wes/run/work/link/a b", "path": "/a"}, {"url": "s3://bucket/key", "path": "/b"}]
    body = {"executors": [{"image": "i", "command": ["true"]}], "inputs": given}
    with rig.client(token=other.token) as client:
        task_id = client.post("/tasks", json=body).json()["id"]
        until(lambda: client.get(f"/tasks/{task_id}").json()["state"] == "COMPLETE")
        shown = client.get(f"/tasks/{task_id}", params={"view": "FULL"}).json()
    sent = tes.bodies[-1]
    assert [one["url"] for one in sent["inputs"]] == [f"file://{here}/attachments/a%20b", "s3://bucket/key"]
    logs = [f"logs/tasks/{task_id}/{name}" for name in ("stdout", "stderr")]
    assert [one["url"] for one in sent["outputs"]] == [f"file://{here}/{name}" for name in logs]
    stored = rig.stores.tasks.get("run-2", task_id)
    assert str(here) not in str((shown, stored))
    assert [one["url"] for one in stored.body["outputs"] or []] == [f"file:///wes/run/{name}" for name in logs]
    # What the TES tells of its inputs may be what it alone was given (a signed URL).
    assert [one["url"] for one in shown["inputs"]] == ["file:///wes/run/attachments/a%20b", "s3://bucket/key"]
    assert shown["logs"][0]["outputs"][0]["url"] == "file:///wes/run/work/o"
    assert shown["logs"][0]["system_logs"] == ["can't read /wes/run/work/o."]
    assert rig.gateway.close_session(other, 10)


def test_the_words_of_a_tes_that_refuses_a_task_name_the_run_as_its_engine_does(
    rig: Rig, open_tmp: Path, tes: BadTes
) -> None:
    other = rig.gateway.open_session(scope_of(rig.stores, "run-2", open_tmp, seen=RUN_ROOT))
    here = rig.scope.folder.root.parent / "run-2"
    tes.create = [json.dumps({"msg": f"no {here}/work/x"}).encode()]
    with rig.client(token=other.token) as client:
        body = {"executors": [{"image": "i", "command": ["true"]}]}
        task_id = client.post("/tasks", json=body).json()["id"]
        until(lambda: client.get(f"/tasks/{task_id}").json()["state"] == "SYSTEM_ERROR")
    assert "no /wes/run/work/x" in (rig.stores.tasks.get("run-2", task_id).reason or "")


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


def test_a_step_whose_task_was_cancelled_is_run_again_and_one_that_failed_is_not(rig: Rig, tes: BadTes) -> None:
    failed: dict[str, Any] = {TAG_KEY: "main/align#1"}
    tes.script = ["EXECUTOR_ERROR"]
    first = rig.post(tags=failed)
    rig.wait(first)
    assert rig.post(tags=failed) == first
    canceled: dict[str, Any] = {TAG_KEY: "main/sort#1"}
    tes.script = ["RUNNING"]
    second = rig.post(tags=canceled)
    with rig.client() as client:
        client.post(f"/tasks/{second}:cancel")
    rig.wait(second)
    assert rig.post(tags=canceled) != second


def test_an_engine_can_ask_for_a_step_by_its_key(rig: Rig) -> None:
    first, second = rig.post(tags={TAG_KEY: "a b#1", "x": "1"}), rig.post(tags={TAG_KEY: "c", "x": "1"})
    with rig.client() as client:

        def found(**tags: str) -> list[str]:
            query = {"tag_key": list(tags), "tag_value": list(tags.values())}
            return [task["id"] for task in client.get("/tasks", params=query).json()["tasks"]]

        assert found(**{TAG_KEY: "a b#1"}) == [first]
        assert found(x="1") == [second, first]
        assert found(**{TAG_KEY: "c", "x": ""}) == [second]
        assert found(**{TAG_KEY: "c", "x": "2"}) == found(y="") == found(**{TAG_KEY: "d"}) == []


def test_a_task_that_has_ended_is_not_kept_in_memory(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.session.KEPT_SECONDS", 0.0)
    rig.tes.documents = {"logs": [{"logs": [], "outputs": [], "system_logs": ["a line"]}]}
    task_id = rig.post(tags={TAG_KEY: "k"})
    rig.wait(task_id)
    followed = rig.session.get(task_id)
    until(lambda: followed.is_shortened)
    assert (dict(followed.task.document), set(followed.task.body)) == ({}, {"tags"})
    whole = rig.get(task_id)
    assert (whole["name"], whole["logs"][0]["system_logs"]) == ("align", ["a line"])
    with rig.client() as client:
        assert client.get("/tasks", params={"view": "FULL"}).json()["tasks"] == [whole]
    assert rig.post(tags={TAG_KEY: "k"}) == task_id


def test_a_list_of_tasks_has_pages(rig: Rig) -> None:
    made = [rig.post(name=f"s{number}", tags={"x": "1"}) for number in range(5)]
    with rig.client() as client:

        def page(**query: str) -> tuple[list[str], str]:
            answer = client.get("/tasks", params={"tag_key": "x", "page_size": "2", **query}).json()
            return [task["id"] for task in answer["tasks"]], answer.get("next_page_token", "")

        first, token = page()
        rig.post(name="later", tags={"x": "1"})
        second, token = page(page_token=token)
        third, end = page(page_token=token)
        assert (first + second + third, end) == (made[::-1], "")
        for wrong in ({"page_size": "0"}, {"page_size": "2048"}, {"page_size": "x"}, {"page_token": "x"}):
            assert client.get("/tasks", params=wrong).status_code == 400


def reopened(rig: Rig, *, ending: bool = False) -> None:
    """Another worker has the run now; the worker of before died with all that it knew."""
    rig.gateway.drop_session(rig.session)
    taken = rig.stores.runs.take_over("w2", rig.stores.runs.holders(), {"cwltool": ("1",)})
    assert taken is not None
    rig.scope = replace(rig.scope, lease=Lease(run_id="run-1", worker="w2", epoch=taken.epoch))
    rig.session = rig.gateway.reopen_session(rig.scope, ending=ending)


def test_the_next_worker_answers_a_step_that_is_known_with_the_task_that_is(rig: Rig, tes: BadTes) -> None:
    ended = rig.post(tags={TAG_KEY: "ended"})
    rig.wait(ended)
    tes.script = ["EXECUTOR_ERROR"]
    failed = rig.post(tags={TAG_KEY: "failed"})
    rig.wait(failed)
    tes.script = ["RUNNING"]
    under_way = rig.post(tags={TAG_KEY: "under way"})
    running(rig, under_way)
    reopened(rig)
    assert [rig.post(tags={TAG_KEY: key}) for key in ("ended", "failed", "under way")] == [ended, failed, under_way]
    assert (rig.get(ended)["state"], rig.get(failed)["state"]) == ("COMPLETE", "EXECUTOR_ERROR")
    tes.script = ["COMPLETE"]
    assert rig.wait(under_way)["state"] == "COMPLETE"
    assert (len(tes.bodies), tes.canceled) == (3, set())


@pytest.mark.parametrize("arrived", [True, False])
def test_a_task_whose_hand_over_was_cut_off_is_looked_for_and_runs_once(rig: Rig, tes: BadTes, arrived: bool) -> None:
    tes.script = ["RUNNING"]
    tes.create = [None] if arrived else [503]
    task_id = rig.post(tags={TAG_KEY: "step"})
    if arrived:
        running(rig, task_id)
    rig.gateway.drop_session(rig.session)
    task = rig.stores.tasks.get("run-1", task_id)
    rig.stores.tasks.update(rig.scope.lease, replace(task, tes_id=None, tes_url=None, state=TaskState.UNKNOWN))
    tes.script, tes.create = ["COMPLETE"], [None]
    reopened(rig)
    assert rig.post(tags={TAG_KEY: "step"}) == task_id
    assert rig.wait(task_id)["state"] == "COMPLETE"
    assert [body["tags"]["wes_task"] for body in tes.bodies] == [task_id]


def test_a_task_that_no_step_can_ask_for_again_is_cancelled_and_one_that_was_to_be_stays_so(
    rig: Rig, tes: BadTes
) -> None:
    tes.script = ["RUNNING"]
    tes.stop_on_cancel = False
    without_key, unwanted = rig.post(), rig.post(tags={TAG_KEY: "step"})
    running(rig, without_key)
    running(rig, unwanted)
    with rig.client() as client:
        client.post(f"/tasks/{unwanted}:cancel")
    until(lambda: rig.stores.tasks.get("run-1", unwanted).state is TaskState.CANCELING)
    tes.stop_on_cancel = True
    reopened(rig)
    assert [rig.wait(task_id)["state"] for task_id in (without_key, unwanted)] == ["CANCELED", "CANCELED"]
    assert rig.post(tags={TAG_KEY: "step"}) != unwanted


def test_a_recovered_run_ends_what_an_earlier_worker_left_open(rig: Rig, tes: BadTes) -> None:
    tes.script = ["RUNNING"]
    task_id = rig.post()
    for _ in range(100):
        if rig.stores.tasks.get("run-1", task_id).tes_id:
            break
        time.sleep(0.02)
    recovered = rig.gateway.reopen_session(replace(rig.scope), ending=True)
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
    assert [body["tags"]["wes_task"] for body in tes.bodies] == [task_id]
    asked = [path for method, path in tes.seen if method == "GET" and "tag_key=wes_task" in path]
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
    rig.stores.tasks.update(rig.scope.lease, replace(task, tes_id=None, tes_url=None, state=TaskState.UNKNOWN))
    rig.session = rig.gateway.reopen_session(replace(rig.scope), ending=True)
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
    assert time.monotonic() - began < 60


def test_a_token_is_never_sent_to_another_tes(open_tmp: Path) -> None:
    with bad_tes() as first, bad_tes() as second:
        urls, files = (first.url, second.url), (open_tmp / "tes-token", Path("-"))
        with rigged(open_tmp, first, tes_urls=urls, tes_token_file=files) as rig:
            assert {rig.wait(rig.post(name=f"s{number}"))["state"] for number in range(4)} == {"COMPLETE"}
        assert set(first.tokens) == {"Bearer tes-secret"}
        assert set(second.tokens) == {""}


def test_backend_parameters_reach_a_tes_only_where_the_operator_allows_them(open_tmp: Path, tes: BadTes) -> None:
    with rigged(open_tmp, tes, tes_backend_parameters="queue") as rig:
        asked = {"cpu_cores": 2, "backend_parameters": {"queue": "long", "VmSize": "huge", "network": "false"}}
        for _ in range(2):
            rig.wait(rig.post(resources=asked))
        known = {"queue": "long", "network": "false"}
        assert tes.bodies[1]["resources"] == {"cpu_cores": 2, "backend_parameters": known}
        (line,) = rig.gateway.notes("run-1")
    assert line == "backend_parameters that no TES is given here: VmSize (see WES_TES_BACKEND_PARAMETERS)"


def test_a_task_that_is_too_large_or_nested_too_deep_is_refused(open_tmp: Path, tes: BadTes) -> None:
    with rigged(open_tmp, tes, max_task_bytes=200_000) as rig, rig.client() as client:
        assert client.post("/tasks", content=b" " * 200_001).status_code == 413
        deep = client.post("/tasks", content=b"[" * 100_000)
        assert (deep.status_code, "nested deeper" in deep.json()["msg"]) == (400, True)
        assert rig.session.tasks == {}


def test_an_answer_of_a_tes_that_is_too_large_is_none(open_tmp: Path, tes: BadTes) -> None:
    tes.script = ["RUNNING", "RUNNING", b" " * 5000, "COMPLETE"]
    with rigged(open_tmp, tes, max_tes_answer_bytes=4000) as rig:
        assert rig.wait(rig.post())["state"] == "COMPLETE"


ASK_AS = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
    asking.connect(sys.argv[1])
    asking.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(len(asking.recv(9)))
"""


@root_only
@pytest.mark.parametrize(("uid", "answered"), [(0, True), (UID, True), (NOBODY, False)])
def test_another_account_of_the_machine_is_not_answered(rig: Rig, uid: int, answered: bool) -> None:
    command = [sys.executable, "-c", ASK_AS, str(rig.short / SOCKET_NAME), str(uid)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout == "9\n") is answered, ran.stderr
    assert answered or ran.stdout == "0\n" or "reset by peer" in ran.stderr or "Broken pipe" in ran.stderr


def test_a_run_has_so_many_connections_and_one_that_asks_nothing_is_ended(
    open_tmp: Path, tes: BadTes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_api, "IDLE_SECONDS", 2.0)
    with rigged(open_tmp, tes) as rig, contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(http_api.MOST_CONNECTIONS + 1)]
        for each in opened:
            each.settimeout(30)
            each.connect(str(rig.short / SOCKET_NAME))
        with pytest.raises(httpx.HTTPError):
            rig.post()
        assert {each.recv(1) for each in opened[:-1]} == {b""}
        assert rig.wait(rig.post())["state"] == "COMPLETE"


def test_folders_of_gateways_that_were_killed_on_this_host_are_removed(rig: Rig) -> None:
    """Those of others stay, and those of gateways that go on, here or in a container where pids are others."""
    shared, gone = rig.gateway.folder.parent, 2**22 + 1
    served = shared / f"here-{gone}-served"
    served.symlink_to(rig.gateway.folder)
    kept = [shared / f"here-{os.getpid()}-starts", shared / f"elsewhere-{gone}-abc", shared / "here-too"]
    left = shared / f"here-{gone}-abc"
    for folder in (*kept, left):
        folder.mkdir()
        (folder / SOCKET_NAME).touch()
    remove_abandoned_folders(shared, "here")
    assert not left.exists()
    assert all((folder / SOCKET_NAME).exists() for folder in (*kept, served))
