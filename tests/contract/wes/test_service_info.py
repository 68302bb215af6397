"""GET /service-info, and the pages beside the API."""

import pytest

from tests.contract.wes.harness import ORIGIN, Api
from wes_service.core.ports import WorkerInfo


def test_what_is_installed_is_listed_and_nothing_else(api: Api) -> None:
    info = api.json("/service-info")
    assert info["workflow_type_versions"] == {"CWL": {"workflow_type_version": ["v1.0", "v1.1", "v1.2"]}}
    assert info["workflow_engine_versions"] == {"cwltool": {"workflow_engine_version": ["3.1.1", "3.1.2"]}}
    assert info["supported_wes_versions"] == ["1.1.0"]
    assert info["supported_filesystem_protocols"] == ["file", "http", "https", "git+https"]


def test_the_type_of_the_service_is_wes(api: Api) -> None:
    info = api.json("/service-info")
    assert info["type"] == {"group": "org.ga4gh", "artifact": "wes", "version": "1.1.0"}
    assert info["organization"]["url"].startswith("http")


def test_an_engine_is_there_once_a_worker_has_it_and_gone_with_its_last_worker(api: Api) -> None:
    api.stores.workers.beat(WorkerInfo(id="w2", host="h", engines={"snakemake": ("9.1",), "unheard-of": ("1",)}))
    info = api.json("/service-info")
    assert set(info["workflow_engine_versions"]) == {"cwltool", "snakemake"}
    assert set(info["workflow_type_versions"]) == {"CWL", "SMK"}
    api.clock.advance(31)
    info = api.json("/service-info")
    assert (info["workflow_engine_versions"], info["workflow_type_versions"]) == ({}, {})
    assert info["default_workflow_engine_parameters"] == []
    assert "no worker" in info["tags"]["warning"]


def test_a_worker_without_engines_lists_none(api: Api) -> None:
    api.stores.workers.beat(WorkerInfo(id="w", host="h", engines={"cwltool": ()}))
    assert api.json("/service-info")["workflow_engine_versions"] == {}


def test_default_parameters_are_strings(api: Api) -> None:
    parameters = api.json("/service-info")["default_workflow_engine_parameters"]
    assert {"name": "parallel", "type": "int", "default_value": "64"} in parameters
    assert all(isinstance(value, str) for parameter in parameters for value in parameter.values())


def test_runs_are_counted_by_state(api: Api) -> None:
    assert api.json("/service-info")["system_state_counts"] == {}
    api.submit()
    api.started()
    assert api.json("/service-info")["system_state_counts"] == {"QUEUED": 1, "RUNNING": 1}


def test_tags_tell_how_workflows_are_sandboxed(api: Api) -> None:
    tags = api.json("/service-info")["tags"]
    assert tags["sandbox"] == "bubblewrap"
    assert all(isinstance(value, str) for value in tags.values())


def test_the_page_on_authentication_is_there(api: Api) -> None:
    url = api.json("/service-info")["auth_instructions_url"]
    assert url.startswith(ORIGIN)
    assert "needs no token" in api.client.get(url).text


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost", "wes.localhost:1"])
def test_the_id_is_made_of_the_host(api: Api, host: str) -> None:
    assert api.json("/service-info", headers={"Host": host})["id"].endswith(".wes")


def test_the_server_says_that_it_is_well(api: Api) -> None:
    response = api.get("//healthz")
    assert (response.status_code, response.text) == (200, "ok\n")
