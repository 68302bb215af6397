"""GET /runs/{run_id}/events/stream of runs that have ended; those that go on are in tests/integration/api."""

import json
from typing import Any

import pytest

from tests.contract.wes.harness import Api
from wes_service.core.ports import RunChange
from wes_service.core.run import RunState


def messages(text: str) -> list[dict[str, Any]]:
    """Each event as its fields; `data` as JSON."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [{**block, "data": json.loads(block["data"])} for block in blocks]


def ended(api: Api, reason: str = "The step align ended with 3.") -> str:
    return api.end(api.started(), RunState.EXECUTOR_ERROR, RunChange(reason=reason)).id


def test_the_whole_history_comes_and_then_the_end(api: Api) -> None:
    run_id = ended(api)
    response = api.get(f"/runs/{run_id}/events/stream")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    found = messages(response.text)
    assert [each["event"] for each in found] == ["state"] * 4
    assert [each["data"] for each in found] == api.json(f"/runs/{run_id}/events")["events"]


def test_it_goes_on_behind_the_last_event_and_says_when_there_is_no_more(api: Api) -> None:
    run_id = ended(api)
    found = messages(api.get(f"/runs/{run_id}/events/stream").text)
    rest = api.get(f"/runs/{run_id}/events/stream", headers={"Last-Event-ID": found[1]["id"]})
    assert messages(rest.text) == found[2:]
    for last in (found[-1]["id"], "9" * 18):
        nothing = api.get(f"/runs/{run_id}/events/stream", headers={"Last-Event-ID": last})
        assert (nothing.status_code, nothing.content) == (204, b"")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 19, "1 2"])
def test_an_id_that_is_none_is_refused(api: Api, last: str) -> None:
    response = api.get(f"/runs/{ended(api)}/events/stream", headers={"Last-Event-ID": last})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("Last-Event-ID: ")


def test_another_owners_run_and_none_have_no_stream(api: Api) -> None:
    run_id = ended(api)
    api.give_away(run_id)
    assert api.get(f"/runs/{run_id}/events/stream").status_code == 404
    assert api.get("/runs/no-such-run/events/stream").status_code == 404


def test_a_reason_makes_no_event_of_its_own_and_shows_no_secret(api: Api) -> None:
    run_id = ended(api, "a\n\nevent: state\ndata: {}\n\r\nid: 7 https://ann:hunter2@host/")
    response = api.get(f"/runs/{run_id}/events/stream")
    assert len(messages(response.text)) == 4
    assert "hunter2" not in response.text
