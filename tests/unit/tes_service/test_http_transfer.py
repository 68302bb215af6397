"""Outputs over http, by PUT, to a server of the test."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.network import NetworkPolicy, network_policy
from tes_service.errors import TaskFault
from tes_service.http_transfer import HttpTransfer
from tes_service.processes import TaskControl
from tes_service.remote_files import PIECE, RemoteFiles
from tes_service.transfers import TransferPolicy

HERE = network_policy(("127.0.0.0/8",), setting="TES_FETCH_ALLOW")
NOBODY = network_policy((), setting="TES_FETCH_ALLOW")
CONTENT = os.urandom(PIECE * 2 + 5)


class WebStore(ThreadingHTTPServer):
    """Keeps what is put; `statuses` are answered first, one each."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.stored: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: WebStore

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.server.headers = dict(self.headers)
        status = self.server.statuses.pop(0) if self.server.statuses else 201
        if status < 300:
            self.server.stored[self.path] = body
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web() -> Iterator[Callable[..., WebStore]]:
    servers: list[tuple[WebStore, threading.Thread]] = []

    def serve(*statuses: int) -> WebStore:
        server = WebStore(*statuses)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "output").write_bytes(CONTENT)
    fd = os.open(tmp_path / "output", os.O_PATH)
    yield fd
    os.close(fd)


def store(url: str, output: int, policy: NetworkPolicy = HERE) -> None:
    transfers = TransferPolicy(retries=2, seconds=60, sleep=lambda _: None)
    remote = RemoteFiles(limit=10**9, policy=transfers, targets={"http": HttpTransfer(policy=policy)})
    remote.store(url, output, TaskControl())


def test_an_output_is_put_whole_under_its_url_with_its_size_said(web: Callable[..., WebStore], output: int) -> None:
    server = web()
    store(f"{server.url}/a%20b?sig=1", output)
    assert server.stored == {"/a%20b?sig=1": CONTENT}
    assert "Transfer-Encoding" not in server.headers


def test_a_busy_server_is_asked_again_with_all_of_it(web: Callable[..., WebStore], output: int) -> None:
    server = web(503, 429, 200)
    store(f"{server.url}/x", output)
    assert server.stored == {"/x": CONTENT}


@pytest.mark.parametrize("status", [403, 404, 302, 307])
def test_a_refusal_or_a_redirect_is_told_without_the_signature(
    web: Callable[..., WebStore], output: int, status: int
) -> None:
    server = web(status)
    with pytest.raises(TaskFault, match=rf"/x: the server answered {status}") as told:
        store(f"{server.url}/x?signature=hidden", output)
    assert "hidden" not in str(told.value)
    assert server.asked == ["/x?signature=hidden"]


def test_a_host_that_is_not_public_is_sent_nothing(web: Callable[..., WebStore], output: int) -> None:
    server = web()
    with pytest.raises(TaskFault, match=r"not a public one.*TES_FETCH_ALLOW"):
        store(f"{server.url}/x", output, NOBODY)
    assert server.asked == []
