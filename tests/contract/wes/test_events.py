"""GET /runs/{run_id}/events."""

from tests.contract.wes.harness import Api
from wes_service.core.ports import RunChange
from wes_service.core.run import RunState


def test_a_queued_run_has_one_event(api: Api) -> None:
    run_id = api.submit()
    assert api.json(f"/runs/{run_id}/events") == {
        "events": [{"time": "2025-01-02T03:04:05.678901Z", "state": "QUEUED"}]
    }


def test_every_state_is_there_with_its_time_and_the_last_one_with_its_reason(api: Api) -> None:
    api.submit()
    api.clock.advance(0.25)
    run = api.claim()
    api.clock.advance(1)
    api.end(run, RunState.EXECUTOR_ERROR, RunChange(reason="The step align ended with 3."))
    assert api.json(f"/runs/{run.id}/events")["events"] == [
        {"time": "2025-01-02T03:04:05.678901Z", "state": "QUEUED"},
        {"time": "2025-01-02T03:04:05.928901Z", "state": "INITIALIZING"},
        {"time": "2025-01-02T03:04:05.928901Z", "state": "RUNNING"},
        {
            "time": "2025-01-02T03:04:06.928901Z",
            "state": "EXECUTOR_ERROR",
            "reason": "The step align ended with 3.",
        },
    ]


def test_a_canceled_run_has_both_states_of_it(api: Api) -> None:
    run_id = api.submit()
    api.request("POST", f"/runs/{run_id}/cancel")
    states = [event["state"] for event in api.json(f"/runs/{run_id}/events")["events"]]
    assert states == ["QUEUED", "CANCELING", "CANCELED"]


def test_secrets_in_reasons_are_masked(api: Api) -> None:
    run = api.started()
    api.end(run, RunState.SYSTEM_ERROR, RunChange(reason="no answer from https://ann:hunter2@host/"))
    assert "hunter2" not in api.get(f"/runs/{run.id}/events").text
