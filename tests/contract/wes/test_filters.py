"""The filters of GET /runs."""

import pytest

from tests.contract.wes.harness import Api
from tests.contract.wes.test_list_runs import submitted
from wes_service.core.ports import RunChange, WorkerInfo
from wes_service.core.run import RunState

SMK_WORKER = WorkerInfo(id="s", host="here", engines={"snakemake": ("9",)}, sandbox="bubblewrap")


def listed(api: Api, **query: object) -> list[str]:
    """The ids of all pages; a page but the last holds two."""
    ids: list[str] = []
    token = ""
    while True:
        more = {"page_token": token} if token else {}
        page = api.json("/runs", params={"page_size": 2, **query, **more})
        ids += [run["run_id"] for run in page["runs"]]
        token = page["next_page_token"]
        assert not token or len(page["runs"]) == 2
        if not token:
            return ids


def ended(api: Api, state: RunState, tags: str = "{}") -> str:
    api.clock.advance(1)
    run = api.started({"tags": tags})
    return api.end(run, state, RunChange()).id


def snakemake(api: Api) -> str:
    """A run of another type; no worker has its engine any more when it is listed."""
    api.clock.advance(1)
    api.stores.workers.beat(SMK_WORKER)
    return api.submit({"workflow_type": "snakemake", "workflow_type_version": "9", "workflow_url": "main.cwl"})


def test_a_state_repeated_means_either(api: Api) -> None:
    complete, failed = ended(api, RunState.COMPLETE), ended(api, RunState.EXECUTOR_ERROR)
    (queued,) = submitted(api, 1)
    assert listed(api, state="QUEUED") == [queued]
    assert listed(api, state=["COMPLETE", "EXECUTOR_ERROR"]) == [failed, complete]
    assert listed(api, state=["COMPLETE", "COMPLETE"]) == [complete]
    assert listed(api, state="PAUSED") == []
    assert listed(api) == [queued, failed, complete]


@pytest.mark.parametrize("name", ["", "complete", "DONE", "COMPLETE,QUEUED", "☃", "\0", "x" * 5000])
def test_an_unknown_state_is_a_400_that_lists_them(api: Api, name: str) -> None:
    response = api.get("/runs", params={"state": ["QUEUED", name]})
    assert response.status_code == 400
    message = response.json()["msg"]
    assert message.startswith("state:")
    assert "QUEUED, INITIALIZING, RUNNING" in message
    assert len(message) < 300


def test_a_tag_repeated_means_both(api: Api) -> None:
    first, second = ended(api, RunState.COMPLETE, '{"a": "1", "b": "x:y"}'), ended(api, RunState.COMPLETE, '{"a": "1"}')
    assert listed(api, tag="a:1") == [second, first]
    assert listed(api, tag=["a:1", "b:x:y"]) == [first]
    assert listed(api, tag=["a:1", "a:2"]) == []
    assert listed(api, tag="A:1") == []


@pytest.mark.parametrize("text", ["", "a", "a=1", "☃"])
def test_a_tag_without_a_colon_is_a_400(api: Api, text: str) -> None:
    response = api.get("/runs", params={"tag": text})
    assert response.status_code == 400
    assert "key:value" in response.json()["msg"]


def test_more_tags_than_twenty_are_a_400(api: Api) -> None:
    assert api.get("/runs", params={"tag": [f"a:{n}" for n in range(20)]}).status_code == 200
    response = api.get("/runs", params={"tag": [f"a:{n}" for n in range(21)]})
    assert (response.status_code, response.json()["msg"][:4]) == (400, "tag:")


def test_a_workflow_type_is_known_by_all_its_names_in_any_case(api: Api) -> None:
    (cwl,) = submitted(api, 1)
    smk = snakemake(api)
    for name in ("SMK", "smk", "Snakemake"):
        assert listed(api, workflow_type=name) == [smk]
    assert listed(api, workflow_type="cwl") == [cwl]
    assert listed(api, workflow_type=["cwl", "smk"]) == [smk, cwl]


@pytest.mark.parametrize("name", ["", "BASH", "cwltool", "\0"])
def test_an_unknown_workflow_type_is_a_400_that_lists_them(api: Api, name: str) -> None:
    response = api.get("/runs", params={"workflow_type": name})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("workflow_type:")
    assert "CWL, SMK" in response.json()["msg"]


def test_since_is_inclusive_and_until_is_not_and_both_mean_the_submission(api: Api) -> None:
    third, second, first = submitted(api, 3)
    api.clock.advance(1000)
    api.claim()
    assert listed(api, since="2025-01-02T03:04:07Z") == [third, second]
    assert listed(api, until="2025-01-02T03:04:07Z") == [first]
    assert listed(api, since="2025-01-02T05:04:07.678901+02:00", until="2025-01-02T03:04:07.678902Z") == [second]
    assert listed(api, since="2025-01-02T03:04:07.678901Z", until="2025-01-02T03:04:07.678901Z") == []
    assert listed(api, since="2025-01-02t03:04:08z") == [third]
    assert listed(api, since="0000-01-01T00:00:00Z", until="9999-12-31T23:59:60-23:59") == [third, second, first]


@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2025-01-02",
        "2025-01-02T03:04:05",
        "2025-13-02T03:04:05Z",
        "2025-02-30T03:04:05Z",
        "2025-01-02T24:00:00Z",
        "2025-01-02T03:04:61Z",
        "2025-01-02T03:04:05 02:00",
        "2025-01-02T03:04:05+24:00",
        "٢٠٢٥-01-02T03:04:05Z",
        "1735787045",
        "\0",
    ],
)
def test_a_bad_time_is_a_400_that_names_it(api: Api, field: str, text: str) -> None:
    response = api.get("/runs", params={field: text})
    assert response.status_code == 400
    assert response.json()["msg"].startswith(f"{field}:")
    assert "2025-06-07T12:00:00Z" in response.json()["msg"]


def test_a_search_looks_at_id_url_and_tags(api: Api) -> None:
    tagged = ended(api, RunState.COMPLETE, '{"Sample": "NA12878"}')
    (other,) = submitted(api, 1)
    assert listed(api, search="sample:na12") == [tagged]
    assert listed(api, search="MAIN.cwl") == [other, tagged]
    assert listed(api, search=other) == [other]
    assert listed(api, search="nothing%") == []
    assert listed(api, search="") == [other, tagged]


@pytest.mark.parametrize("text", ["\0", "a\nb", "x" * 1001])
def test_a_search_that_can_not_be_is_a_400(api: Api, text: str) -> None:
    response = api.get("/runs", params={"search": text})
    assert (response.status_code, response.json()["msg"][:7]) == (400, "search:")


def test_all_filters_hold_together_and_pages_are_full(api: Api) -> None:
    wanted = []
    for number in range(9):
        state = RunState.COMPLETE if number % 2 else RunState.EXECUTOR_ERROR
        run_id = ended(api, state, f'{{"kind": "{"odd" if number % 2 else "even"}"}}')
        if number % 2 and number > 1:
            wanted.append(run_id)
    query = {"state": "COMPLETE", "tag": "kind:odd", "workflow_type": "CWL", "since": "2025-01-02T03:04:08Z"}
    assert listed(api, **query) == wanted[::-1]


def test_a_run_added_between_two_filtered_pages_neither_repeats_nor_hides_another(api: Api) -> None:
    ids = submitted(api, 3)
    first = api.json("/runs", params={"page_size": 2, "state": "QUEUED"})
    submitted(api, 2)
    query = {"page_size": 2, "state": "QUEUED", "page_token": first["next_page_token"]}
    assert [run["run_id"] for run in first["runs"] + api.json("/runs", params=query)["runs"]] == ids


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"state": "QUEUED"}, {}),
        ({}, {"state": "QUEUED"}),
        ({"state": "QUEUED"}, {"state": ["QUEUED", "COMPLETE"]}),
        ({"search": "main"}, {"search": "mai"}),
    ],
)
def test_a_token_with_other_filters_is_a_400(api: Api, before: dict[str, object], after: dict[str, object]) -> None:
    submitted(api, 3)
    token = api.json("/runs", params={"page_size": 1, **before})["next_page_token"]
    response = api.get("/runs", params={"page_size": 1, "page_token": token, **after})
    assert response.status_code == 400
    assert response.json()["msg"].startswith("page_token:")
    assert "other filters" in response.json()["msg"]


def test_the_order_and_writing_of_filters_does_not_matter_to_a_token(api: Api) -> None:
    submitted(api, 3)
    token = api.json("/runs", params={"page_size": 1, "state": ["QUEUED", "COMPLETE"], "workflow_type": "CWL"})
    again = {"state": ["COMPLETE", "QUEUED"], "workflow_type": "cwl", "page_token": token["next_page_token"]}
    assert len(api.json("/runs", params=again)["runs"]) == 2


def test_a_filtered_list_works_on_another_replica(api: Api, tmp_path_factory: pytest.TempPathFactory) -> None:
    ids = submitted(api, 2)
    token = api.json("/runs", params={"page_size": 1, "state": "QUEUED"})["next_page_token"]
    replica = api.replica(tmp_path_factory.mktemp("replica"))
    page = replica.json("/runs", params={"page_size": 1, "state": "QUEUED", "page_token": token})
    assert [run["run_id"] for run in page["runs"]] == ids[1:]
