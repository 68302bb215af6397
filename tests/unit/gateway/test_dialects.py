"""What is special about one TES server.

Funnel's facts are held against an exchange with the real server (2026-05-04.1, BoltDB) in `exchanges/funnel.json`. The
others can't run here; theirs are from the sources: elixir-cloud-aai/tesk-api 751d482, microsoft/ga4gh-tes 010ba71,
JaeAeich/poiesis bfa4bdd.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from common.configuration import TesKind
from gateway.dialects import DIALECTS, FUNNEL, GENERIC, POIESIS, TESK, ListFilters, dialect_of

TASK: Any = {
    "name": "a",
    "inputs": [{"url": "file:///runs/a%20b%23.txt", "path": "/in/x"}, {"content": "c", "path": "/in/y"}],
    "outputs": [{"url": "file:///runs/o%25", "path": "/out"}, {"url": "https://h/a%20b", "path": "/p"}],
    "executors": [{"image": "i", "command": ["c"]}],
}


def funnel(method: str, path: str) -> list[dict[str, Any]]:
    """What the real Funnel answered to requests that begin like this."""
    recorded = json.loads((Path(__file__).parent / "exchanges" / "funnel.json").read_text())
    return [one for one in recorded if one["method"] == method and one["path"].startswith(path)]


def test_funnel_gets_paths_as_they_are() -> None:
    spoken: Any = FUNNEL.words(TASK)
    assert spoken["inputs"] == [{"url": "file:///runs/a b#.txt", "path": "/in/x"}, {"content": "c", "path": "/in/y"}]
    assert spoken["outputs"][0]["url"] == "file:///runs/o%"
    assert spoken["outputs"][1] == TASK["outputs"][1]
    assert spoken["executors"] == TASK["executors"]


def test_funnel_is_known_by_its_service_info() -> None:
    (info,) = funnel("GET", "/service-info")
    assert dialect_of(info["answer"]) is FUNNEL


def test_funnel_filters_by_state_and_shows_little_of_a_task_then() -> None:
    assert FUNNEL.filters is ListFilters.STATE
    queued, running, canceled = funnel("GET", "/tasks?view=MINIMAL&state=")
    assert [task["state"] for task in queued["answer"]["tasks"]] == ["QUEUED", "QUEUED"]
    assert [task["state"] for task in canceled["answer"]["tasks"]] == ["CANCELED"]
    assert running["answer"] == {"next_page_token": "", "tasks": []}
    assert all(not task["executors"] for task in queued["answer"]["tasks"])


def test_funnel_shows_whole_tasks_in_a_list_that_tags_filter() -> None:
    some, none = funnel("GET", "/tasks?view=MINIMAL&tag_key=")
    assert none["answer"]["tasks"] == []
    assert all(task["executors"] and task["tags"] for task in some["answer"]["tasks"])


def test_funnel_cancels_what_has_ended_and_knows_what_is_not_there() -> None:
    first, again, unknown = funnel("POST", "/tasks/")
    assert [first["status"], again["status"], unknown["status"]] == [200, 200, 404]
    assert [one["status"] for one in funnel("GET", "/tasks/nothing")] == [404]
    assert [one["status"] for one in funnel("GET", "/tasks/?")] == [404], "a slash at the end is one of a task"


def test_tesk_is_sent_no_field_of_a_newer_standard_that_says_nothing() -> None:
    """TESK: `fail_on_unknown_properties=true` in application.properties, and models without these fields."""
    task: Any = {
        "executors": [{"image": "i", "command": ["c"], "ignore_error": False}],
        "inputs": [{"path": "/a", "url": "s3://b/a", "streamable": None}],
        "outputs": [{"path": "/b", "url": "s3://b/b", "path_prefix": ""}, {"path": "/c/*", "path_prefix": "/c"}],
    }
    assert TESK.words(task) == {
        "executors": [{"image": "i", "command": ["c"]}],
        "inputs": [{"path": "/a", "url": "s3://b/a"}],
        "outputs": [{"path": "/b", "url": "s3://b/b"}, {"path": "/c/*", "path_prefix": "/c"}],
    }


def test_tesk_filters_nothing() -> None:
    """TESK: TesService.listTasks has `name_prefix` alone, and says that it is unsupported."""
    assert TESK.filters is ListFilters.NONE


@pytest.mark.parametrize("parameters", [{}, None])
def test_poiesis_is_not_told_to_be_strict_about_no_parameters(parameters: Any) -> None:
    """poiesis: CreateTask in api_handlers.py refuses every task whose `backend_parameters_strict` is true."""
    resources = {"cpu_cores": 1, "backend_parameters": parameters, "backend_parameters_strict": True}
    sent: Any = POIESIS.words({"resources": resources})  # type: ignore[typeddict-item]
    assert sent["resources"] == {"cpu_cores": 1, "backend_parameters": parameters}
    strict: Any = {"resources": {**resources, "backend_parameters": {"queue": "long"}}}
    assert POIESIS.words(strict) == strict


@pytest.mark.parametrize("kind", ["generic", "azure"])
def test_others_get_the_standards_form(kind: TesKind) -> None:
    assert DIALECTS[kind].words(TASK) == TASK


def test_a_server_is_known_by_what_it_calls_itself() -> None:
    """TESK: service-info.yaml; poiesis: GetServiceInfo in api_handlers.py; TES on Azure has the standard's example."""
    assert dialect_of({"name": "Our Funnel"}) is FUNNEL
    assert dialect_of({"id": "uk.ac.ebi.tsc.tesk", "name": "TESK"}) is TESK
    assert dialect_of({"id": "poiesis-tes", "name": "Poiesis TES API"}) is POIESIS
    assert dialect_of({"name": "GA4GH Task Execution Service"}) is GENERIC
    assert dialect_of({}) is GENERIC
