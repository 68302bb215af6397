"""A TES that behaves as badly as real ones do, on a loopback port or a Unix socket: for tests of the gateway only."""

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from tes.http import socket_url


class BadTes:
    """`script` is what GET tells next, task by task: a state, an HTTP status, `drop`, or bytes in place of JSON; the
    last one repeats.

    `create` answers POST in the same way (bytes with a 400): None is success, and after `lost` the task is there, but
    no answer comes. `info` is its service-info; without one there is none, as in TES 1.0.
    Nothing that it lists is filtered by tags, as with a TES of version 1.0. `seen` are the requests.
    """

    def __init__(self) -> None:
        self.script: list[str | int | bytes] = ["COMPLETE"]
        self.create: list[int | str | bytes | None] = [None]
        self.listing: list[int | None] = [None]
        self.seen: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.canceled: set[str] = set()
        self.forgotten: set[str] = set()
        """Tasks that it has no more."""
        self.down: int | bytes | None = None
        """What it answers to everything, where that is not None: an HTTP status, or bytes."""
        self.refused: set[str] = set()
        """Values of Authorization that it answers with 401."""
        self.info: dict[str, Any] = {}
        self.documents: dict[str, Any] = {}
        self.stop_on_cancel = True
        self.url = ""

    def next_of(self, items: list[Any]) -> Any:
        return items.pop(0) if len(items) > 1 else items[0]

    def document(self, task_id: str, state: str, view: str) -> dict[str, Any]:
        if task_id in self.canceled and self.stop_on_cancel:
            state = "CANCELED"
        if view == "MINIMAL":
            return {"id": task_id, "state": state}
        return {**self.bodies[int(task_id)], **self.documents, "id": task_id, "state": state}


class Handler(BaseHTTPRequestHandler):
    tes: ClassVar[BadTes]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if self._is_down():
            return
        if path.endswith("/service-info"):
            status = 200 if self.tes.info else 404
            self._answer(status, self.tes.info or {"msg": "TES 1.0 has none"})
            return
        self.tes.seen.append(("GET", self.path))
        if path.endswith("/tasks"):
            self._list()
            return
        task_id = path.rsplit("/", 1)[1]
        told = 404 if task_id in self.tes.forgotten else self.tes.next_of(self.tes.script)
        if told == "drop":
            self._drop()
            return
        if isinstance(told, bytes):
            self._send(200, told)
            return
        if isinstance(told, int):
            self._answer(told, {"msg": f"told to answer {told}"})
            return
        view = "FULL" if "FULL" in query else "MINIMAL"
        self._answer(200, self.tes.document(task_id, told, view))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.tes.seen.append(("POST", self.path))
        self.tes.tokens.append(self.headers.get("Authorization", ""))
        if self._is_down():
            return
        if self.path.endswith(":cancel"):
            self.tes.canceled.add(self.path.rsplit("/", 1)[1].removesuffix(":cancel"))
            self._answer(200, {})
            return
        told = self.tes.next_of(self.tes.create)
        if isinstance(told, bytes):
            self._send(400, told)
            return
        if isinstance(told, int):
            self._answer(told, {"msg": f"told to answer {told}"})
            return
        self.tes.bodies.append(body)
        if told == "lost":
            self._drop()
            return
        self._answer(200, {"id": str(len(self.tes.bodies) - 1)})

    def _list(self) -> None:
        told = self.tes.next_of(self.tes.listing)
        if told is not None:
            self._answer(told, {"msg": f"told to answer {told}"})
            return
        tasks = [{"id": str(number), **body} for number, body in enumerate(self.tes.bodies)]
        tasks = [task for task in tasks if task["id"] not in self.tes.forgotten]
        self._answer(200, {"tasks": tasks, "next_page_token": ""})

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _is_down(self) -> bool:
        down = self.tes.down
        if self.headers.get("Authorization", "") in self.tes.refused:
            self._answer(401, {"msg": "told to refuse it"})
            return True
        if isinstance(down, bytes):
            self._send(200, down)
        elif down is not None:
            self._answer(down, {"msg": f"told to answer {down}"})
        return down is not None

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_args: Any) -> None:
        return


class SocketServer(socketserver.ThreadingUnixStreamServer):
    """By way of its folder's descriptor, as a socket's path may be 107 bytes long."""

    def __init__(self, socket: Path, handler: type[Handler]) -> None:
        socket.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(socket.parent, os.O_PATH)
        try:
            super().__init__(f"/proc/self/fd/{folder}/{socket.name}", handler)
        finally:
            os.close(folder)

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("socket", 0)


@contextmanager
def bad_tes(socket: Path | None = None) -> Iterator[BadTes]:
    """Runs one until the end of the block."""
    tes = BadTes()
    handler = type("BoundHandler", (Handler,), {"tes": tes})
    server = SocketServer(socket, handler) if socket else ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    path = "/ga4gh/tes/v1"
    tes.url = socket_url(socket, path) if socket else f"http://127.0.0.1:{server.socket.getsockname()[1]}{path}"
    try:
        yield tes
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
