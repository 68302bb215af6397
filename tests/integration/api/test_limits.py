"""What is over a limit is refused in words, whatever the client does meanwhile."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.api.server import BASE, Server, running_server
from tests.integration.api.test_server import MEGABYTE, head, parts

MOST = 1_000_000
BODY = parts("large.bin") + b"x" * 8 * MEGABYTE + b"\r\n--B--\r\n"
KIND = "Content-Type: multipart/form-data; boundary=B"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("limited"), WES_MAX_REQUEST_BYTES=str(MOST)) as running:
        yield running


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=15)


def answer(connection: socket.socket) -> bytes:
    """All of one answer, by its Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    top, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in top.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += received(connection)
    return top + b"\r\n\r\n" + body


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the connection ended before the answer did"
    return data


def refused(data: bytes) -> str:
    top, _, body = data.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 413 "), top
    told = json.loads(body)
    assert set(told) == {"msg", "status_code"}
    assert told["status_code"] == 413
    return str(told["msg"])


def test_a_client_that_waits_for_the_word_to_go_on_is_refused_before_it_sends(server: Server) -> None:
    with connect(server) as connection:
        wanted = ("Expect: 100-continue", KIND, f"Content-Length: {len(BODY)}")
        connection.sendall(head("POST", f"{BASE}/runs", *wanted))
        assert "WES_MAX_REQUEST_BYTES" in refused(answer(connection))


def test_a_client_that_waits_for_the_word_to_go_on_and_may_gets_it(server: Server) -> None:
    body = parts("main.cwl") + b"x\r\n--B--\r\n"
    with connect(server) as connection:
        wanted = ("Expect: 100-continue", KIND, f"Content-Length: {len(body)}")
        connection.sendall(head("POST", f"{BASE}/runs", *wanted))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answer(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("kept", ["close", "keep-alive"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_client_that_sends_all_before_it_reads_gets_the_answer(server: Server, kept: str, *, announced: bool) -> None:
    length = f"Content-Length: {len(BODY)}" if announced else "Transfer-Encoding: chunked"
    lines = [f"POST {BASE}/runs HTTP/1.1", "Host: localhost", f"Connection: {kept}", KIND, length]
    with connect(server) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if announced:
            connection.sendall(BODY)
        else:
            for start in range(0, len(BODY), 65536):
                chunk = BODY[start : start + 65536]
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
        told = answer(connection)
        assert "WES_MAX_REQUEST_BYTES" in refused(told)
        assert (b"connection: close" in told) == (kept == "close")
        if kept == "close":
            assert connection.recv(1) == b""
    wait_until_runs_have_no_leftovers(server)


def test_a_client_that_stops_midway_after_its_refusal_is_left_after_a_while(tmp_path: Path) -> None:
    program = "import wes_service.api.protocol as p; p.LINGER_SECONDS = 1.0\n"
    with running_server(tmp_path, before=program, WES_MAX_REQUEST_BYTES=str(MOST)) as server, connect(server) as client:
        client.sendall(head("POST", f"{BASE}/runs", KIND, f"Content-Length: {len(BODY)}").replace(b"close", b"x"))
        assert refused(answer(client))
        client.sendall(BODY[:1000])
        began = time.monotonic()
        assert client.recv(1) == b""
        assert time.monotonic() - began < 50


def test_a_client_that_never_reads_holds_nothing_up(server: Server) -> None:
    connections = [connect(server) for _ in range(50)]
    for connection in connections:
        connection.sendall(head("POST", f"{BASE}/runs", KIND, f"Content-Length: {len(BODY)}") + BODY[:100_000])
    began = time.monotonic()
    assert httpx.get(f"{server.url}/runs").status_code == 200
    assert time.monotonic() - began < 30
    for connection in connections:
        connection.close()
    wait_until_runs_have_no_leftovers(server)


def wait_until_runs_have_no_leftovers(server: Server) -> None:
    staging: Path = server.data / "runs" / ".staging"
    for _ in range(100):
        if not staging.exists() or not any(staging.iterdir()):
            return
        time.sleep(0.05)
    raise AssertionError(list(staging.iterdir()))
