"""Names of operations in metrics, and probes against sockets that answer as a TES may."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from connexion.middleware.abstract import ROUTING_CONTEXT

from common.configuration import TesServer
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeStores
from tests.fakes.tes_server import bad_tes
from wes_service.api.monitoring import Metrics, StoreCollector, tes_probes
from wes_service.services.readiness import NotReady


@contextmanager
def raw_tes(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends `answer` to whoever comes, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/ga4gh/tes/v1/", asked
        thread.join(5)


def problem(url: str, token_file: Path | None = None) -> str | None:
    (probe,) = tes_probes([TesServer(name="far", url=url, token_file=token_file)]).values()
    try:
        probe()
    except NotReady as error:
        return str(error)
    return None


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
def test_any_answer_that_is_no_failure_will_do(status: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    with raw_tes(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9999999\r\n\r\n") as (url, asked):
        assert problem(url, tmp_path / "token") is None
    assert asked[0].startswith(b"GET /ga4gh/tes/v1/service-info ")
    assert b"Bearer s3cret" in asked[0]


def test_a_failure_and_a_refused_token_are_told_apart() -> None:
    with raw_tes(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as (url, _):
        assert problem(url) == "it answers HTTP 503"
    with raw_tes(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n") as (url, _):
        assert "WES_TES_TOKEN_FILE" in str(problem(url))


def test_what_is_no_http_or_not_there_can_not_be_reached(tmp_path: Path) -> None:
    with raw_tes(b"220 smtp\r\n") as (url, _):
        assert problem(url) == "it can't be reached; see WES_TES_URLS"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert problem(url) == "it can't be reached; see WES_TES_URLS"
    assert problem(url, tmp_path / "none") == "its credentials can't be had; see WES_TES_TOKEN_FILE"


def test_a_part_is_named_by_its_url_without_credentials() -> None:
    assert list(tes_probes([TesServer(name="far", url="https://me:pw@tes.example:8000/v1?key=x")])) == [
        "tes https://tes.example:8000/v1"
    ]


def test_a_tes_on_a_unix_socket_is_asked_too(tmp_path: Path) -> None:
    socket = tmp_path / ("deep" * 30) / "tes.sock"
    with bad_tes(socket) as tes:
        assert problem(tes.url) is None
    assert problem(tes.url) == "it can't be reached; see WES_TES_URLS"


def test_a_request_is_counted_under_its_operation_and_never_under_what_a_client_chose() -> None:
    clock = FakeClock()
    stores = FakeStores(clock)
    metrics = Metrics(StoreCollector(stores.runs, stores.workers, stores.notifications, clock), {"/docs": "Reference"})
    for base_path, operation_id in (("/ga4gh/wes/v1", "GetTask"), ("/ga4gh/tes/v1", "GetTask"), (None, None)):
        routing = {"api_base_path": base_path, "operation_id": operation_id}
        for method in ("GET", "BREW"):
            scope = {"method": method, "path": "/docs", "extensions": {ROUTING_CONTEXT: routing}}
            metrics.observe(scope, "200", 0.1)
    counted = {
        (sample.labels["operation"], sample.labels["method"])
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "wes_http_requests_total"
    }
    assert counted == {
        ("GetTask", "GET"),
        ("GetTask", "other"),
        ("TesGetTask", "GET"),
        ("TesGetTask", "other"),
        ("Reference", "GET"),
        ("other", "other"),
    }
