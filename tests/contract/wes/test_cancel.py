"""POST /runs/{run_id}/cancel."""

import pytest

from tests.contract.wes.harness import Api, lease_of
from wes_service.core.ports import RunChange
from wes_service.core.run import RunState


def cancel(api: Api, run_id: str) -> None:
    response = api.request("POST", f"/runs/{run_id}/cancel")
    assert response.status_code == 200
    assert response.json() == {"run_id": run_id}


def state(api: Api, run_id: str) -> str:
    return str(api.json(f"/runs/{run_id}/status")["state"])


def test_a_queued_run_that_no_worker_holds_is_canceled_at_once(api: Api) -> None:
    run_id = api.submit()
    cancel(api, run_id)
    assert state(api, run_id) == "CANCELED"


def test_a_running_run_is_canceling_until_its_worker_is_done(api: Api) -> None:
    run = api.started()
    cancel(api, run.id)
    assert state(api, run.id) == "CANCELING"
    api.stores.runs.move(lease_of(run), RunState.CANCELED)
    assert state(api, run.id) == "CANCELED"


def test_the_worker_is_woken(api: Api) -> None:
    run = api.started()
    api.queue.woken.clear()
    cancel(api, run.id)
    assert api.queue.woken == [run.id]


def test_canceling_twice_is_the_same_as_once(api: Api) -> None:
    run = api.started()
    cancel(api, run.id)
    cancel(api, run.id)
    assert state(api, run.id) == "CANCELING"


@pytest.mark.parametrize("end", [RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR])
def test_a_finished_run_stays_as_it_is(api: Api, end: RunState) -> None:
    run = api.started()
    api.end(run, end, RunChange(reason="so it was"))
    before = api.json(f"/runs/{run.id}")
    cancel(api, run.id)
    assert api.json(f"/runs/{run.id}") == before


def test_an_unknown_run_is_a_404(api: Api) -> None:
    assert api.request("POST", "/runs/unknown/cancel").status_code == 404


def test_a_run_of_another_user_is_a_404_and_goes_on(api: Api) -> None:
    run = api.started()
    owner = api.give_away(run.id)
    assert api.request("POST", f"/runs/{run.id}/cancel").status_code == 404
    assert api.stores.runs.get(owner, run.id).state is RunState.RUNNING


def test_a_body_makes_no_difference(api: Api) -> None:
    run_id = api.submit()
    assert api.request("POST", f"/runs/{run_id}/cancel", json={"any": "thing"}).status_code == 200


def test_get_is_not_a_way_to_cancel(api: Api) -> None:
    run_id = api.submit()
    assert api.get(f"/runs/{run_id}/cancel").status_code == 405
    assert state(api, run_id) == "QUEUED"
