"""Before a TES, for engines that are started again: answers as the gateway does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx

from tests.engine_fixtures import Tes

JSON = {"Content-Type": "application/json"}


class Adopting(BaseHTTPRequestHandler):
    """Before a TES: answers a step that it knows with the task that there is, as the gateway does."""

    url: ClassVar[str]
    known: ClassVar[dict[str, str]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on(httpx.get(self.url + self.path, timeout=30))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = json.loads(body).get("tags", {}).get("wes.step_key", "")
        if key in self.known:
            self._answer(200, json.dumps({"id": self.known[key]}).encode())
            return
        answer = httpx.post(self.url + self.path, content=body, headers=JSON, timeout=30)
        if key:
            self.known[key] = answer.json()["id"]
        self._pass_on(answer)

    def _pass_on(self, answer: httpx.Response) -> None:
        self._answer(answer.status_code, answer.content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def adopting(tes: Tes) -> Iterator[str]:
    handler = type("Handler", (Adopting,), {"url": tes.url.removesuffix("/ga4gh/tes/v1"), "known": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/ga4gh/tes/v1"
        finally:
            server.shutdown()
            thread.join()
