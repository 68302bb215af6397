"""The API as it is deployed: uvicorn, SQLite, a disk; raw and broken requests, and large ones."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.api.server import BASE, Server, running_server
from tests.other_account import NOBODY, root_only, say_as
from wes_service.api.forms import UPLOADS

FORM = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}
MEGABYTE = 1024 * 1024
LARGE = int(os.environ.get("WES_TEST_LARGE_MB", "300"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def head(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read(answer: bytes) -> tuple[int, dict[str, object]]:
    first, _, rest = answer.partition(b"\r\n")
    top, _, body = rest.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in top.lower()
    return int(first.split()[1]), json.loads(body)


def parts(name: str) -> bytes:
    fields = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n' for field, value in FORM.items()
    )
    return (
        f'{fields}--B\r\nContent-Disposition: form-data; name="workflow_attachment"; filename="{name}"\r\n\r\n'.encode()
    )


def wait_until_empty(server: Server) -> None:
    for _ in range(100):
        if server.stored_files() == []:
            return
        time.sleep(0.05)
    raise AssertionError(server.stored_files())


def wait_until_stored(server: Server, name: str, number: int) -> None:
    for _ in range(400):
        if len([path for path in server.stored_files() if path.endswith(name)]) >= number:
            return
        time.sleep(0.05)
    raise AssertionError(server.stored_files())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nbroken header\r\n\r\n",
        b"GET \xff\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        head("POST", f"{BASE}/runs", "Content-Length: x"),
        head("GET", f"{BASE}/runs?page_token=\xff"),
        head("POST", f"{BASE}/runs"),
        head("POST", f"{BASE}/runs", "Content-Length: 0", "Content-Type: multipart/form-data"),
    ],
)
def test_what_is_no_request_is_a_400_in_json(server: Server, request_bytes: bytes) -> None:
    status, body = read(server.say(request_bytes))
    assert (status, body["status_code"]) == (400, 400)
    assert set(body) == {"msg", "status_code"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/ga4gh/wes/v1/runs/../../../../etc/passwd", 404),
        ("GET", "/ga4gh/wes/v1/runs/x/outputs/../../../../etc/passwd", 404),
        ("GET", "/ga4gh/wes/v1/runs/x/outputs/a%2f..%2f..%2fb", 404),
        ("GET", "//evil.example/%2e%2e", 404),
        ("PUT", "/ga4gh/wes/v1/runs", 405),
        ("PATCH", "/", 405),
    ],
)
def test_a_raw_path_is_taken_as_it_is_and_never_redirected(server: Server, method: str, path: str, status: int) -> None:
    told, body = read(server.say(head(method, path)))
    assert (told, body["status_code"]) == (status, status)


def test_head_has_no_body(server: Server) -> None:
    answer = server.say(head("HEAD", f"{BASE}/service-info"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("last", [b"x" * 100_000, b"x\r\n--B\r\n", b""])
def test_a_body_that_breaks_off_leaves_nothing(server: Server, last: bytes) -> None:
    body = parts("sub/main.cwl") + last
    kind = ("Content-Type: multipart/form-data; boundary=B", f"Content-Length: {len(body) + 1000}")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head("POST", f"{BASE}/runs", *kind) + body)
        time.sleep(0.2)
    wait_until_empty(server)
    assert httpx.get(f"{server.url}/runs").json()["runs"] == []


def test_slow_uploads_keep_nobody_waiting_but_other_uploads(tmp_path: Path) -> None:
    kind = ("Content-Type: multipart/form-data; boundary=B", f"Content-Length: {MEGABYTE}")
    with running_server(tmp_path) as server, ExitStack() as uploads:
        for _ in range(UPLOADS + 5):
            upload = uploads.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            upload.sendall(head("POST", f"{BASE}/runs", *kind) + parts("large.bin") + b"x" * 200_000)
        wait_until_stored(server, "large.bin", UPLOADS)
        files = [("workflow_attachment", ("main.cwl", b"x"))]
        run_id = httpx.post(f"{server.url}/runs", data=FORM, files=files, timeout=20).json()["run_id"]
        assert httpx.get(f"{server.url}/runs", timeout=20).json()["runs"][0]["run_id"] == run_id
        assert httpx.post(f"{server.url}/runs/{run_id}/cancel", timeout=20).status_code == 200
        assert httpx.get(f"{server.url}/runs/{run_id}/status", timeout=20).json()["state"] == "CANCELED"
        uploads.close()
        body = b"x" * MEGABYTE
        after = httpx.post(f"{server.url}/runs", data=FORM, files=[*files, ("workflow_attachment", ("b", body))])
        assert after.status_code == 200, after.text


@pytest.mark.timeout(600)
def test_a_large_attachment_is_streamed_to_disk(tmp_path: Path) -> None:
    block = b"0123456789abcdef" * (MEGABYTE // 16)

    def body() -> Iterator[bytes]:
        yield parts("main.cwl") + b"cwlVersion: v1.2\r\n"
        yield parts("data/large.bin").partition(b'name="workflow_url"\r\n\r\nmain.cwl\r\n')[2]
        for _ in range(LARGE):
            yield block
        yield b"\r\n--B--\r\n"

    with running_server(tmp_path) as server:
        before = server.peak_megabytes()
        kind = {"Content-Type": "multipart/form-data; boundary=B"}
        answer = httpx.post(f"{server.url}/runs", content=body(), headers=kind, timeout=600)
        assert answer.status_code == 200, answer.text
        grown = server.peak_megabytes() - before
        stored = server.data / "runs" / answer.json()["run_id"] / "attachments/data/large.bin"
        assert stored.stat().st_size == LARGE * MEGABYTE
        assert grown < 30, f"{grown:.0f} MB for an attachment of {LARGE} MB"


def test_a_large_log_is_streamed_from_disk(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        submitted = httpx.post(f"{server.url}/runs", data=FORM, files=[("workflow_attachment", ("main.cwl", b"x"))])
        run_id = submitted.json()["run_id"]
        log = server.data / "runs" / run_id / "logs/stdout"
        log.parent.mkdir()
        with log.open("wb") as file:
            file.truncate(LARGE * MEGABYTE)
        before, received = server.peak_megabytes(), 0
        with httpx.stream("GET", f"{server.url}/runs/{run_id}/logs/stdout", timeout=120) as answer:
            assert int(answer.headers["content-length"]) == LARGE * MEGABYTE
            for chunk in answer.iter_raw():
                received += len(chunk)
        assert received == LARGE * MEGABYTE
        assert server.peak_megabytes() - before < 30
        tail = httpx.get(f"{server.url}/runs/{run_id}/logs/stdout", headers={"Range": "bytes=-10"})
        assert (tail.status_code, tail.content) == (206, b"\0" * 10)


def test_runs_are_there_after_a_restart_and_the_tokens_of_their_pages_too(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        files = [("workflow_attachment", ("main.cwl", b"x"))]
        ids = [httpx.post(f"{server.url}/runs", data=FORM, files=files).json()["run_id"] for _ in range(3)][::-1]
        first = httpx.get(f"{server.url}/runs", params={"page_size": 2}).json()
    with running_server(tmp_path) as server:
        token = first["next_page_token"]
        second = httpx.get(f"{server.url}/runs", params={"page_size": 2, "page_token": token}).json()
        canceled = httpx.post(f"{server.url}/runs/{ids[0]}/cancel")
        log = httpx.get(f"{server.url}/runs/{ids[0]}").json()
    assert [run["run_id"] for run in first["runs"] + second["runs"]] == ids
    assert second["next_page_token"] == ""
    assert canceled.status_code == 200
    assert (log["state"], log["run_log"]["system_logs"]) == ("CANCELED", ["The run was canceled."])


def test_a_token_file_guards_the_server(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    with running_server(tmp_path, WES_TOKEN_FILE=str(tmp_path / "token")) as server:
        assert httpx.get(f"{server.url}/runs").status_code == 401
        assert httpx.get(f"{server.url}/service-info").status_code == 200
        assert httpx.get(f"{server.url}/runs", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert "s3cret" not in server.log.read_text()


def test_every_line_of_the_servers_log_is_json(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        files = [("workflow_attachment", ("main.cwl", b"x"))]
        run_id = httpx.post(f"{server.url}/runs", data=FORM, files=files).json()["run_id"]
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any(line.get("action") == "submit" and line.get("run_id") == run_id for line in lines)


@root_only
@pytest.mark.parametrize("path", [f"{BASE}/service-info", f"{BASE}/runs", "/docs", "/metrics", "/auth-instructions"])
def test_without_a_token_another_account_is_refused_and_told_how_to_be_let_in(server: Server, path: str) -> None:
    status, body = read(say_as(NOBODY, head("GET", path), server.port))
    assert status == 403
    assert "--token-file" in str(body["msg"])


@root_only
def test_without_a_token_another_account_starts_nothing(server: Server) -> None:
    form = b"--B\r\n" + parts("main.cwl") + b"hello\r\n--B--\r\n"
    request = head(
        "POST", f"{BASE}/runs", f"Content-Length: {len(form)}", "Content-Type: multipart/form-data; boundary=B"
    )
    status, _ = read(say_as(NOBODY, request + form, server.port))
    assert status == 403
    assert server.stored_files() == []


@root_only
def test_with_a_token_every_account_that_has_it_is_served(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with running_server(tmp_path, WES_TOKEN_FILE=str(tmp_path / "token")) as server:
        request = head("GET", f"{BASE}/runs", "Authorization: Bearer secret")
        status, _ = read(say_as(NOBODY, request, server.port))
        assert status == 200
