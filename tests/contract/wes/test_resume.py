"""POST /runs/{run_id}/resume, an addition to the standard."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tes.task import TaskOfRun, TaskState
from tests.contract.wes.harness import Api, Upload, attached, lease_of
from wes_service.core.ports import RunChange
from wes_service.core.run import Run, RunState

PARAMS = {"workflow_params": '{"n": 1}', "tags": '{"a": "b"}'}


def ended(api: Api, *files: Upload, **form: str) -> Run:
    api.submit({**PARAMS, **form}, [attached("main.cwl"), attached("data/a", b"first"), *files])
    return api.end(api.claim(), RunState.EXECUTOR_ERROR, RunChange())


def post(api: Api, run_id: str, files: Sequence[Upload] = (), **fields: str) -> httpx.Response:
    parts: list[Upload] = [(name, (None, value)) for name, value in fields.items()]
    options: Any = {"files": [*parts, *files]} if parts or files else {}
    return api.request("POST", f"/runs/{run_id}/resume", **options)


def resumed(api: Api, run_id: str, files: Sequence[Upload] = (), **fields: str) -> str:
    response = post(api, run_id, files, **fields)
    assert response.status_code == 200, response.text
    return str(response.json()["run_id"])


def test_a_run_that_has_ended_is_resumed_with_its_request_and_attachments(api: Api) -> None:
    parent = ended(api)
    new = resumed(api, parent.id)
    assert new != parent.id
    log, before = api.json(f"/runs/{new}"), api.json(f"/runs/{parent.id}")
    assert (log["state"], log["resumed_from"]) == ("QUEUED", parent.id)
    assert log["request"] == before["request"]
    assert "resumed_from" not in before
    assert api.attachment(new, "data/a") == b"first"
    assert api.queue.woken[-1] == new
    assert api.claim().attachments == parent.attachments


def test_its_files_are_its_own(api: Api) -> None:
    parent = ended(api)
    new = resumed(api, parent.id)
    inodes = {(api.folders.folder(one).attachments / "data/a").stat().st_ino for one in (parent.id, new)}
    assert len(inodes) == 2


def test_fields_and_attachments_take_the_place_of_the_earlier_ones(api: Api) -> None:
    parent = ended(api)
    new = resumed(api, parent.id, [attached("data/a", b"mended"), attached("b", b"more")], workflow_params='{"n": 2}')
    request = api.json(f"/runs/{new}")["request"]
    assert (request["workflow_params"], request["tags"]) == ({"n": 2}, {"a": "b"})
    assert [api.attachment(new, name) for name in ("data/a", "b")] == [b"mended", b"more"]
    assert api.attachment(parent.id, "data/a") == b"first"
    assert api.claim().attachments == ("main.cwl", "data/a", "b")


def test_what_was_fetched_is_not_fetched_again(api: Api) -> None:
    api.submit({"workflow_url": "https://example.org/main.cwl"}, [attached("in.txt")])
    run = api.claim()
    fetched = api.folders.folder(run.id).attachments / "repository"
    fetched.mkdir()
    (fetched / "main.cwl").write_text("fetched")
    (fetched / "link").symlink_to("main.cwl")
    (fetched / "out").symlink_to("../../../secret")
    api.stores.runs.note(lease_of(run), RunChange(fetched_document="repository/main.cwl", engine_version="3.1.1"))
    api.end(run, RunState.EXECUTOR_ERROR, RunChange())
    new = resumed(api, run.id)
    assert api.attachment(new, "repository/main.cwl") == b"fetched"
    folder = api.folders.folder(new).attachments / "repository"
    assert (folder / "link").readlink().name == "main.cwl"
    assert not (folder / "out").is_symlink()
    claimed = api.claim()
    assert (claimed.fetched_document, claimed.attachments) == ("repository/main.cwl", ("in.txt",))
    assert claimed.engine_version == "3.1.1"


def test_an_attachment_that_became_a_link_out_of_the_run_is_not_followed(api: Api) -> None:
    parent = ended(api)
    path = api.folders.folder(parent.id).attachments / "data/a"
    path.unlink()
    path.symlink_to("/etc/passwd")
    response = post(api, parent.id)
    assert response.status_code == 409
    assert "'data/a' is not there any more" in response.json()["msg"]
    assert len(api.json("/runs")["runs"]) == 1


@pytest.mark.parametrize("gone", ["attachments", ""])
def test_a_run_whose_attachments_are_gone_is_a_409(api: Api, gone: str) -> None:
    parent = ended(api)
    (api.folders.folder(parent.id).root / gone).rename(api.folders.root / "away")
    assert post(api, parent.id).status_code == 409


def test_a_run_that_goes_on_is_a_409(api: Api) -> None:
    run = api.started()
    response = post(api, run.id)
    assert response.status_code == 409
    assert response.json()["msg"].startswith("the run is RUNNING: only one that has ended can be resumed")


def test_a_run_of_another_account_is_as_unknown_as_one_that_is_not_there(api: Api) -> None:
    parent = ended(api)
    api.give_away(parent.id)
    response, unknown = post(api, parent.id), post(api, "unknown")
    assert (response.status_code, response.content) == (404, unknown.content)


def test_a_deleted_run_is_a_404(api: Api) -> None:
    parent = ended(api)
    api.request("DELETE", f"/runs/{parent.id}")
    assert post(api, parent.id).status_code == 404


@pytest.mark.parametrize("fields", [{"workflow_url": "other.cwl"}, {"workflow_params": "[]"}, {"tags": '{"a": 1}'}])
def test_a_field_that_is_wrong_is_named_and_nothing_is_left(api: Api, fields: dict[str, str]) -> None:
    parent = ended(api)
    before = api.stored_files()
    response = post(api, parent.id, (), **fields)
    assert response.status_code == 400
    assert next(iter(fields)) in response.json()["msg"]
    assert api.stored_files() == before


def test_a_new_attachment_whose_name_clashes_is_a_400(api: Api) -> None:
    parent = ended(api)
    assert post(api, parent.id, [attached("data/a/b")]).status_code == 400


def test_the_same_key_and_request_give_the_same_run(api: Api) -> None:
    parent, key = ended(api), {"Idempotency-Key": "again"}
    first, second = (api.request("POST", f"/runs/{parent.id}/resume", headers=key).json() for _ in range(2))
    assert first == second
    other = api.request("POST", f"/runs/{parent.id}/resume", headers=key, data={"tags": "{}"})
    assert other.status_code == 409
    assert api.request("POST", f"/runs/{ended(api).id}/resume", headers=key).status_code == 409


def test_a_task_tells_whose_outputs_it_has(api: Api) -> None:
    run = api.started()
    task = api.add_task(run, "t1", reuse_key="k", reused_from=TaskOfRun(run_id="r0", task_id="t0"))
    api.end_task(task, TaskState.COMPLETE, {})
    (log,) = api.json(f"/runs/{run.id}/tasks")["task_logs"]
    assert log["reused_from"] == {"run_id": "r0", "task_id": "t0"}
    assert "outputs of the run r0, task t0: it was not run again" in log["system_logs"]
    assert json.dumps(api.json(f"/runs/{run.id}")).count('"reused_from"') == 1
