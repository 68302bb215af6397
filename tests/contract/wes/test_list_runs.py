"""GET /runs."""

import base64
import json

import pytest

from tests.contract.wes.harness import Api
from wes_service.core.ports import RunChange
from wes_service.core.run import RunState


def submitted(api: Api, count: int) -> list[str]:
    """Runs, the newest first."""
    ids = []
    for _ in range(count):
        api.clock.advance(1)
        ids.append(api.submit())
    return ids[::-1]


def walked(api: Api, size: int) -> list[list[str]]:
    """The ids of each page, up to the last one."""
    pages, token = [], ""
    while True:
        page = api.json("/runs", params={"page_size": size, "page_token": token} if token else {"page_size": size})
        pages.append([run["run_id"] for run in page["runs"]])
        token = page["next_page_token"]
        if not token:
            return pages


def test_no_runs_are_an_empty_page(api: Api) -> None:
    assert api.json("/runs") == {"runs": [], "next_page_token": ""}


def test_runs_come_newest_first_in_full_pages_and_the_last_one_has_no_token(api: Api) -> None:
    ids = submitted(api, 5)
    assert walked(api, 2) == [ids[:2], ids[2:4], ids[4:]]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_no_token_leads_to_an_empty_page(api: Api, size: int) -> None:
    submitted(api, 4)
    assert all(len(page) == size for page in walked(api, size))


def test_a_run_added_between_two_pages_neither_repeats_nor_hides_another(api: Api) -> None:
    ids = submitted(api, 4)
    first = api.json("/runs", params={"page_size": 2})
    submitted(api, 3)
    second = api.json("/runs", params={"page_size": 2, "page_token": first["next_page_token"]})
    assert [run["run_id"] for run in first["runs"] + second["runs"]] == ids


def test_fifty_runs_are_a_page_where_no_size_is_given(api: Api) -> None:
    submitted(api, 51)
    assert len(api.json("/runs")["runs"]) == 50


def test_a_summary_holds_state_times_and_tags_and_leaves_out_what_is_not_known(api: Api) -> None:
    tagged = api.submit({"tags": '{"a": "b"}'})
    assert api.json("/runs")["runs"] == [{"run_id": tagged, "state": "QUEUED", "tags": {"a": "b"}}]
    run = api.claim()
    api.clock.advance(60)
    api.end(run, RunState.COMPLETE, RunChange())
    assert api.json("/runs")["runs"] == [
        {
            "run_id": tagged,
            "state": "COMPLETE",
            "tags": {"a": "b"},
            "start_time": "2025-01-02T03:04:05Z",
            "end_time": "2025-01-02T03:05:05Z",
        }
    ]


def test_tags_are_an_object_even_where_there_are_none(api: Api) -> None:
    api.submit()
    assert api.json("/runs")["runs"][0]["tags"] == {}


@pytest.mark.parametrize("size", ["0", "-1", "abc", "", "1.5", "1001", "99999999999999999999", "٣", "1 "])
def test_a_bad_page_size_is_a_400_that_names_it(api: Api, size: str) -> None:
    response = api.get("/runs", params={"page_size": size})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("page_size:")


def forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    ["x", "abc", "%00", "☃", forged("x", "y"), forged(1), forged(1e300, "a"), forged(1.5, "a"), forged(1, 2), "W10"],
)
def test_a_forged_token_is_a_400_that_names_it(api: Api, token: str) -> None:
    api.submit()
    response = api.get("/runs", params={"page_token": token})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("page_token:")


def test_a_token_works_on_another_replica(api: Api, tmp_path_factory: pytest.TempPathFactory) -> None:
    ids = submitted(api, 2)
    token = api.json("/runs", params={"page_size": 1})["next_page_token"]
    assert token
    assert token.isascii()
    replica = api.replica(tmp_path_factory.mktemp("replica"))
    page = replica.json("/runs", params={"page_size": 1, "page_token": token})
    assert [run["run_id"] for run in page["runs"]] == ids[1:]


@pytest.mark.parametrize("route", ["/runs", "/service-info", "/runs/x", "/runs/x/tasks", "//ga4gh/tes/v1/tasks"])
def test_a_parameter_that_is_not_known_is_named_with_those_that_are(api: Api, route: str) -> None:
    message = api.message(api.get(route, params={"pagesize": "1"}), 400)
    assert message.startswith("pagesize:")
    if route in {"/runs", "//ga4gh/tes/v1/tasks"}:
        assert "did you mean 'page_size'?" in message
        assert "page_token" in message
