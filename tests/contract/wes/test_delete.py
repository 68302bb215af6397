"""DELETE /runs/{run_id}."""

from pathlib import Path

import pytest

from tests.contract.wes.harness import Api, attached, lease_of, make_api
from tests.contract.wes.test_run_log import ROUTES
from wes_service.core.ports import RunChange
from wes_service.core.run import RunState

EVIL = "https://evil.example"


def delete(api: Api, run_id: str) -> None:
    response = api.request("DELETE", f"/runs/{run_id}")
    assert response.status_code == 200, response.text
    assert response.json() == {"run_id": run_id}


def ended(api: Api, **form: str) -> str:
    run = api.started(form)
    api.add_task(run, f"task-of-{run.id}")
    work = api.folders.folder(run.id).work
    (work / "out").mkdir()
    (work / "out/report.txt").write_text("secret")
    api.write_log(run.id, "stdout", b"secret")
    return api.end(run, RunState.COMPLETE, RunChange(outputs={"n": 1})).id


def test_every_route_of_a_deleted_run_is_the_404_of_an_unknown_one(api: Api) -> None:
    run_id = ended(api)
    delete(api, run_id)
    for route in [*ROUTES, "/outputs/out/report.txt", f"/tasks/task-of-{run_id}"]:
        assert api.get(f"/runs/{run_id}{route}").status_code == 404
        assert api.get(f"/runs/{run_id}{route}").content == api.get(f"/runs/unknown{route}").content
    assert api.request("POST", f"/runs/{run_id}/cancel").status_code == 404
    assert api.get(f"//ga4gh/tes/v1/tasks/task-of-{run_id}").status_code == 404
    assert api.json("//ga4gh/tes/v1/tasks")["tasks"] == []


def test_it_is_listed_and_counted_no_more_and_no_file_is_left(api: Api) -> None:
    run_id = ended(api, tags='{"a": "b"}')
    kept = api.submit(files=[attached("main.cwl"), attached("data/a")])
    delete(api, run_id)
    assert [run["run_id"] for run in api.json("/runs")["runs"]] == [kept]
    assert api.json("/runs", params={"tag": "a:b"})["runs"] == []
    assert api.json("/service-info")["system_state_counts"] == {"QUEUED": 1}
    assert {path.split("/")[0] for path in api.stored_files()} == {kept}
    (stone,) = api.stores.tombstones.page(10, None).items
    assert (stone.id, stone.state, stone.tasks) == (run_id, RunState.COMPLETE, 1)
    assert stone.purged is not None


def test_deleting_again_is_the_same_as_once(api: Api) -> None:
    run_id = ended(api)
    delete(api, run_id)
    before = api.stores.tombstones.page(10, None)
    delete(api, run_id)
    assert api.stores.tombstones.page(10, None) == before


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING", "CANCELING"])
def test_a_run_that_goes_on_is_a_409_that_says_what_to_do_and_stays(api: Api, state: str) -> None:
    run_id = api.submit()
    if state != "QUEUED":
        api.claim()
    if state == "CANCELING":
        api.request("POST", f"/runs/{run_id}/cancel")
    before, files = api.json(f"/runs/{run_id}"), api.stored_files()
    response = api.request("DELETE", f"/runs/{run_id}")
    assert response.status_code == 409
    assert f"{state}: cancel it first (POST /runs/{run_id}/cancel)" in response.json()["msg"]
    assert (api.json(f"/runs/{run_id}"), api.stored_files()) == (before, files)


def test_a_run_can_be_canceled_and_then_deleted(api: Api) -> None:
    run = api.started()
    api.request("POST", f"/runs/{run.id}/cancel")
    api.stores.runs.move(lease_of(run), RunState.CANCELED)
    delete(api, run.id)
    assert api.stored_files() == []


@pytest.mark.parametrize("run_id", ["unknown", "01jgjfgrse0000000000000000", "%2e%2e", "a b", "x" * 5000, "☃"])
def test_an_unknown_or_malformed_id_is_a_404(api: Api, run_id: str) -> None:
    kept = ended(api)
    files = api.stored_files()
    assert api.request("DELETE", f"/runs/{run_id}").status_code == 404
    assert api.stored_files() == files
    assert api.get(f"/runs/{kept}").status_code == 200


def test_a_run_of_another_user_is_a_404_and_stays(api: Api) -> None:
    run_id = ended(api)
    owner = api.give_away(run_id)
    files = api.stored_files()
    assert api.request("DELETE", f"/runs/{run_id}").content == api.request("DELETE", "/runs/unknown").content
    assert api.stores.runs.get(owner, run_id).state is RunState.COMPLETE
    assert api.stored_files() == files


def test_an_idempotency_key_of_a_deleted_run_starts_nothing(api: Api) -> None:
    key = {"headers": {"Idempotency-Key": "order-1"}}
    run_id = api.post_form(**key).json()["run_id"]  # type: ignore[arg-type]
    api.request("POST", f"/runs/{run_id}/cancel")
    delete(api, run_id)
    for changes in ({}, {"tags": '{"a": "b"}'}):
        response = api.post_form(changes, **key)  # type: ignore[arg-type]
        assert response.status_code == 409
        assert f"the run {run_id}, which was deleted at 2025-01-02T03:04:05Z" in response.json()["msg"]
        assert "use a new key" in response.json()["msg"]
    assert api.json("/runs")["runs"] == []
    assert api.stored_files() == []


def test_pages_from_elsewhere_can_delete_nothing(api: Api) -> None:
    run_id = ended(api)
    assert api.request("DELETE", f"/runs/{run_id}", headers={"Origin": EVIL}).status_code == 403
    assert api.get(f"/runs/{run_id}").status_code == 200


def test_pages_that_have_the_token_may_delete(tmp_path: Path) -> None:
    api = make_api(tmp_path, token="secret")
    asked = {"Access-Control-Request-Method": "DELETE", "Origin": EVIL}
    assert "DELETE" in api.request("OPTIONS", "/runs/x", headers=asked).headers["access-control-allow-methods"]
    run_id = ended(api)
    assert api.request("DELETE", f"/runs/{run_id}", headers={"Origin": EVIL}).status_code == 200
    api.headers = {}
    assert api.request("DELETE", f"/runs/{run_id}").status_code == 401
