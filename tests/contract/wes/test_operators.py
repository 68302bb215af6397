"""What an operator's programs ask: whether the server is ready, and its numbers."""

import threading
import time
from pathlib import Path

import pytest

from tests.contract.wes.harness import WORKER, Api, make_api
from wes_service.services.readiness import NotReady


@pytest.fixture
def own(tmp_path: Path) -> Api:
    """A server that no other test has asked yet."""
    return make_api(tmp_path)


def sample(api: Api, line: str) -> float:
    """The value of one sample, `name{label="x"}`; 0 where it is not there."""
    text = api.get("//metrics").text
    return next((float(each.rpartition(" ")[2]) for each in text.splitlines() if each.startswith(line + " ")), 0.0)


def test_a_server_with_all_its_parts_is_ready(own: Api) -> None:
    response = own.get("//readyz")
    assert response.status_code == 200
    assert response.json() == {"ready": True, "parts": {"database": "ok", "redis": "ok", "workers": "ok"}}


def test_without_a_live_worker_it_is_ready_and_says_so(own: Api) -> None:
    own.stores.workers.remove(WORKER.id)
    response = own.get("//readyz")
    assert (response.status_code, response.json()["parts"]["database"]) == (200, "ok")
    assert response.json()["parts"]["workers"].startswith("none is alive")
    assert sample(own, "wes_workers_alive") == 0


def test_what_a_driver_says_is_not_shown(own: Api) -> None:
    own.queue.broken = True
    response = own.get("//readyz")
    assert (response.status_code, response.json()["parts"]["redis"]) == (
        503,
        "it can't be used; the server's log says why",
    )
    assert "secret" not in response.text


def test_a_tes_that_hangs_is_told_and_holds_nobody_up(tmp_path: Path) -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait()

    api = make_api(tmp_path, probes={"tes http://tes:8000": hang})
    try:
        for _ in range(2):
            response = api.get("//readyz")
            parts = response.json()["parts"]
            assert (response.status_code, parts["database"]) == (200, "ok")
            assert parts["tes http://tes:8000"] == "there is no answer after 2 s"
    finally:
        release.set()


def test_however_often_it_is_asked_a_tes_is_asked_once_a_second(tmp_path: Path) -> None:
    asked: list[float] = []

    def refuse() -> None:
        asked.append(time.monotonic())
        raise NotReady("it refuses")

    api = make_api(tmp_path, probes={"tes": refuse})
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert api.get("//readyz").json()["parts"]["tes"] == "it refuses"
    assert len(asked) == 2


@pytest.mark.parametrize("path", ["//readyz", "//docs", "//docs/tes", "//ga4gh/wes/v1/openapi.json"])
def test_readiness_and_reference_need_no_token_and_metrics_do(tmp_path: Path, path: str) -> None:
    api = make_api(tmp_path, token="t")
    api.headers = {}
    assert api.get(path).status_code == 200
    assert api.get("//metrics").status_code == 401


def test_requests_are_counted_by_operation_and_never_by_what_a_client_chose(own: Api) -> None:
    run_id = own.submit()
    for path in (
        f"/runs/{run_id}",
        "/runs/unknown",
        f"/runs/{run_id}/outputs/a/b/c/d/e/f",
        "/x",
        "/runs/x/else",
        "/runs/%41/logs/stdout",
        "/runs/x/tasks/t/logs/stdout",
        "/runs/x/outputs",
        "/runs/x/status",
        "/service-info",
        "//ga4gh/tes/v1/tasks",
    ):
        own.get(path)
    own.request("HEAD", "/service-info")
    own.request("POST", "/runs/x")
    own.request("BREW", "/runs")
    counted = {
        ("GetRunLog", "GET", 200): 1,
        ("GetRunLog", "GET", 404): 1,
        ("GetOutput", "GET", 404): 1,
        ("GetRunStream", "GET", 404): 1,
        ("RunWorkflow", "POST", 200): 1,
        ("GetTaskStream", "GET", 404): 1,
        ("ListOutputs", "GET", 404): 1,
        ("GetRunStatus", "GET", 404): 1,
        ("GetServiceInfo", "GET", 200): 1,
        ("GetServiceInfo", "HEAD", 200): 1,
        ("TesListTasks", "GET", 200): 1,
        ("other", "GET", 404): 2,
        ("other", "POST", 405): 1,
        ("other", "other", 405): 1,
    }
    for (operation, method, status), number in counted.items():
        labels = f'operation="{operation}",method="{method}",status="{status}"'
        found = sample(own, f'wes_http_requests_total{{method="{method}",operation="{operation}",status="{status}"}}')
        assert found == number, labels
    assert sample(own, 'wes_http_request_seconds_count{operation="GetRunLog"}') == 2
    text = own.get("//metrics").text
    assert run_id not in text
    assert "unknown" not in text


def test_runs_queue_workers_and_attachments_are_numbers(own: Api) -> None:
    assert sample(own, "wes_queue_oldest_seconds") == 0
    own.submit(files=[("workflow_attachment", ("main.cwl", b"x" * 1000))])
    own.clock.advance(20)
    assert sample(own, 'wes_runs{state="QUEUED"}') == 1
    assert sample(own, 'wes_runs{state="COMPLETE"}') == 0
    assert sample(own, "wes_queue_oldest_seconds") == 20
    assert sample(own, "wes_workers_alive") == 1
    assert sample(own, "wes_attachment_bytes_total") == 1000


def test_metrics_are_there_while_the_database_is_not(own: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sample(own, "wes_database_up") == 1

    def fail() -> None:
        raise OSError("no database")

    monkeypatch.setattr(own.stores.runs, "counts", fail)
    assert sample(own, "wes_database_up") == 0
    assert sample(own, 'wes_http_requests_total{method="GET",operation="Metrics",status="200"}') > 0
