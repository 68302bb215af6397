"""Many clients at once, cheap enough to leave the machine to the server that is measured.

Requests are bytes made once and sent over kept connections; the clients are threads of a process of their own:

    .venv/bin/python -m tests.bench.load URL --clients 32 --requests 3200 [--body FILE --content-type TYPE]

prints one JSON line: requests per second, and p50 and p99 in ms. With `--answers FILE` the answers' bodies go there, a
line each, flushed as they come: what a client was told before everything was killed.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a load saw: answers a second, and times in milliseconds."""

    per_second: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.per_second:7.0f} /s   p50 {self.p50:6.1f} ms   p99 {self.p99:6.1f} ms"


def load(url: str, clients: int, requests: int, body: Path | None = None, content_type: str = "") -> Figures:
    """Runs it in a process of its own."""
    done = subprocess.run(
        command(url, clients, requests, body, content_type), capture_output=True, check=True, cwd=ROOT
    )
    return Figures(**json.loads(done.stdout))


def command(url: str, clients: int, requests: int, body: Path | None = None, content_type: str = "") -> list[str]:
    argv = [sys.executable, "-m", "tests.bench.load", url, "--clients", str(clients), "--requests", str(requests)]
    return [*argv, "--body", str(body), "--content-type", content_type] if body else argv


def multipart(fields: dict[str, str], files: dict[str, str]) -> tuple[bytes, str]:
    """The body of a form, and its media type; `files` are attachments by name."""
    boundary = "wes-bench-0f1e2d3c"
    parts = [(f'form-data; name="{name}"', value) for name, value in fields.items()]
    parts += [(f'form-data; name="workflow_attachment"; filename="{name}"', text) for name, text in files.items()]
    text = "".join(f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n{value}\r\n" for head, value in parts)
    return f"{text}--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Clients:
    """The threads; each has a connection, and sends its next request once the last one is answered."""

    def __init__(self, url: str, request: bytes, answers: IO[bytes] | None) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._request = request
        self._answers = answers
        self._lock = threading.Lock()
        self.seconds: list[float] = []

    def run(self, clients: int, requests: int) -> Figures:
        threads = [threading.Thread(target=self._one, args=(requests // clients,)) for _ in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        cuts = statistics.quantiles(self.seconds, n=100)
        return Figures(per_second=len(self.seconds) / took, p50=cuts[49] * 1000, p99=cuts[98] * 1000)

    def _one(self, requests: int) -> None:
        with socket.create_connection(self._address) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(requests):
                began = time.perf_counter()
                connection.sendall(self._request)
                answer = _answer(connection)
                took = time.perf_counter() - began
                with self._lock:
                    self.seconds.append(took)
                    if self._answers is not None:
                        self._answers.write(answer.strip() + b"\n")
                        self._answers.flush()


def _answer(connection: socket.socket) -> bytes:
    """The body of an answer with status 200 and a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError(head + body)
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    if not (data := connection.recv(65536)):
        raise ConnectionError("the server is gone")
    return data


def _request(url: str, body: bytes | None, content_type: str) -> bytes:
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if body is None:
        return f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + body


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=3200)
    parser.add_argument("--body", type=Path)
    parser.add_argument("--content-type", default="")
    parser.add_argument("--answers", type=Path)
    given = parser.parse_args()
    request = _request(given.url, given.body.read_bytes() if given.body else None, given.content_type)
    with given.answers.open("wb") if given.answers else nullcontext() as answers:
        figures = Clients(given.url, request, answers).run(given.clients, given.requests)
    sys.stdout.write(json.dumps(vars(figures)) + "\n")


if __name__ == "__main__":
    main()
