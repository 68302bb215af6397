"""Inputs over http, from a server of the test."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.tes.server import TesServer, log_of, system_logs, tes_server


class _Flaky(BaseHTTPRequestHandler):
    """`/flaky` works at the third request, `/large` has no end in sight, `/moved` leads to `/file`."""

    asked = 0

    def do_GET(self) -> None:
        if self.path == "/flaky":
            _Flaky.asked += 1
        if self.path == "/file" or (self.path == "/flaky" and _Flaky.asked > 2):
            self._answer(200, b"content")
        elif self.path == "/large":
            self._answer(200, b"x" * 200_000)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
        else:
            self._answer(503 if self.path == "/flaky" else 404, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flaky)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_inputs_are_fetched_redirects_and_failures_on_the_way_included(tes: TesServer, web: str) -> None:
    inputs = [{"url": f"{web}/{name}", "path": f"/in/{name}"} for name in ("file", "moved", "flaky")]
    task = tes.run("cat", "/in/file", "/in/moved", "/in/flaky", inputs=inputs)
    assert log_of(task)["stdout"] == "content" * 3, task


def test_what_is_not_there_is_a_system_error_that_names_it(tes: TesServer, web: str) -> None:
    task = tes.run("true", inputs=[{"url": f"{web}/nothing", "path": "/in/x"}])
    assert task["state"] == "SYSTEM_ERROR"
    assert f"{web}/nothing" in system_logs(task)
    assert "404" in system_logs(task)


def test_size_is_limited_and_this_machine_is_not_served(own_folder: Path, web: str) -> None:
    with tes_server(own_folder, TES_MAX_INPUT_BYTES="100000") as tes:
        task = tes.run("true", inputs=[{"url": f"{web}/large", "path": "/in/x"}])
        assert "larger than the 100000 bytes" in system_logs(task)
    with tes_server(own_folder, TES_FETCH_ALLOW="10.0.0.0/8") as tes:
        task = tes.run("true", inputs=[{"url": f"{web}/file", "path": "/in/x"}])
        assert task["state"] == "SYSTEM_ERROR"
        assert "not a public one" in system_logs(task)
