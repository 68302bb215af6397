"""GET /notifications, POST /notifications/{id}/redeliver, and the engine parameter `webhook`."""

import json
from pathlib import Path

import pytest

from common.hooks import HookSettings
from tests.contract.wes.harness import Api, lease_of, make_api
from wes_service.core.run import Owner, RunState

BOB = Owner(issuer="https://idp.example", subject="bob")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Api:
    folder = tmp_path_factory.mktemp("api")
    return make_api(folder, webhook_secret_file=folder / "secret")


@pytest.fixture
def api(server: Api, tmp_path: Path) -> Api:
    server.empty(tmp_path)
    server.queue.notified.clear()
    return server


def parameters(url: str) -> dict[str, str | None]:
    return {"workflow_engine_parameters": json.dumps({"webhook": url})}


def told(api: Api, **hooks: HookSettings) -> None:
    api.stores.notifications.assign(hooks, api.clock.now())


def test_the_own_hook_of_a_run_is_listed_without_its_secret(api: Api) -> None:
    run_id = api.submit(parameters("https://ann.example/hook?token=hunter2"))
    api.request("POST", f"/runs/{run_id}/cancel")
    assert api.queue.notified == [run_id]
    told(api)
    assert api.json("/notifications") == {
        "notifications": [
            {
                "id": f"{run_id}-ended",
                "run_id": run_id,
                "state": "waiting",
                "created": "2025-01-02T03:04:05.678901Z",
                "attempts": 0,
                "url": "https://ann.example/hook?token=***",
                "next_attempt": "2025-01-02T03:04:05.678901Z",
            }
        ],
        "next_page_token": "",
    }


def test_where_a_hook_of_the_operator_leads_is_not_told(api: Api) -> None:
    run = api.started()
    api.stores.runs.cancel(run.owner, run.id)
    api.stores.runs.move(lease_of(run), RunState.CANCELED)
    told(api, lims=HookSettings(url="https://lims.internal/x", secret_file=Path("s")))
    (listed,) = api.json("/notifications")["notifications"]
    assert listed["hook"] == "lims"
    assert "internal" not in str(listed)


def test_pages_and_filters(api: Api) -> None:
    ids = []
    for _ in range(3):
        api.clock.advance(1)
        ids.append(api.submit(parameters("https://ann.example/")))
        api.request("POST", f"/runs/{ids[-1]}/cancel")
    told(api)
    first = api.json("/notifications?page_size=2&state=waiting")
    rest = api.json(f"/notifications?page_size=2&state=waiting&page_token={first['next_page_token']}")
    assert [each["run_id"] for each in first["notifications"] + rest["notifications"]] == ids[::-1]
    assert rest["next_page_token"] == ""
    assert api.get(f"/notifications?page_token={first['next_page_token']}").status_code == 400
    assert [each["run_id"] for each in api.json(f"/notifications?run_id={ids[1]}")["notifications"]] == [ids[1]]
    assert api.json("/notifications?state=failed")["notifications"] == []


@pytest.mark.parametrize("query", ["state=lost", "page_size=0", "page_size=x", "hook=lims", "page_token=x"])
def test_a_bad_query_names_its_field(api: Api, query: str) -> None:
    response = api.get(f"/notifications?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in response.json()["msg"]


def test_redelivery_wakes_a_worker_and_anothers_is_not_there(api: Api) -> None:
    run_id = api.submit(parameters("https://ann.example/"))
    api.request("POST", f"/runs/{run_id}/cancel")
    told(api)
    api.queue.notified.clear()
    response = api.request("POST", f"/notifications/{run_id}-ended/redeliver")
    assert (response.status_code, response.json()["state"]) == (200, "waiting")
    assert api.queue.notified == [run_id]
    for name in ("no-such", f"{run_id}-ended-lims", "x" * 500, "%00"):
        assert api.request("POST", f"/notifications/{name}/redeliver").status_code == 404
    other = api.submit(parameters("https://ann.example/"))
    api.give_away(other)
    api.stores.runs.cancel(BOB, other)
    told(api)
    assert api.request("POST", f"/notifications/{other}-ended/redeliver").status_code == 404
    assert [each["run_id"] for each in api.json("/notifications")["notifications"]] == [run_id]


@pytest.mark.parametrize(
    "url", ["ftp://host/", "https://ann:hunter2@host/", "host/path", "https:///x", "file:///etc/passwd"]
)
def test_a_webhook_that_can_not_be_is_refused_when_the_run_is_submitted(api: Api, url: str) -> None:
    message = api.message(api.post_form(parameters(url)), 400)
    assert message.startswith("workflow_engine_parameters: webhook: ")
    assert "hunter2" not in message


def test_a_server_without_a_secret_for_them_takes_no_webhooks(api: Api, tmp_path: Path) -> None:
    message = api.message(api.replica(tmp_path).post_form(parameters("https://ann.example/")), 400)
    assert "WES_WEBHOOK_SECRET_FILE" in message
