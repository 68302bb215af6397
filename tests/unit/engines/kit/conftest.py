"""A TES that answers what a test tells it to."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from engines.kit.tes_client import TesClient


class TesScript:
    """What the server answers, in order (the last one for ever), and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []


class Handler(BaseHTTPRequestHandler):
    script: ClassVar[TesScript]
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.script.requests.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
        status, document = self.script.answers[0] if len(self.script.answers) == 1 else self.script.answers.pop(0)
        if status == 0:
            self.close_connection = True
            return
        data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def script() -> TesScript:
    return TesScript()


@pytest.fixture
def url(script: TesScript) -> Iterator[str]:
    handler = type("Scripted", (Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ga4gh/tes/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(url: str) -> Iterator[TesClient]:
    made = TesClient(url, "secret", 5.0, sleep=lambda _: None)
    yield made
    made.close()
