"""Whatever a client does, the answer is JSON that says what is wrong."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.tes.served import EXECUTOR, Tes, served

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", "", {}, 404),
        ("GET", "/tasks/unknown", "", {}, 404),
        ("GET", "/tasks/unknown?view=FULL", "", {}, 404),
        ("POST", "/tasks/unknown:cancel", "", {}, 404),
        ("PUT", "/tasks", "{}", JSON, 405),
        ("DELETE", "/tasks/unknown", "", {}, 405),
        ("POST", "/tasks/unknown", "", {}, 405),
        ("POST", "/tasks", "{}", {"content-type": "text/plain"}, 415),
        ("POST", "/tasks", "{}", {}, 415),
        ("POST", "/tasks", "a=b", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/tasks", "", JSON, 400),
        ("POST", "/tasks", "{", JSON, 400),
        ("POST", "/tasks", "\xff", JSON, 400),
        ("POST", "/tasks", "null", JSON, 400),
        ("POST", "/tasks", "[]", JSON, 400),
        ("POST", "/tasks", '{"resources": {"ram_gb": NaN}}', JSON, 400),
        ("POST", "/tasks", '{"resources": {"ram_gb": 1e999}}', JSON, 400),
        ("POST", "/tasks", "[" * 100_000, JSON, 400),
    ],
)
def test_errors_are_json(tes: Tes, method: str, path: str, body: str, headers: dict[str, str], status: int) -> None:
    response = tes.client.request(method, path, content=body.encode("latin-1"), headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json()["status_code"] == status
    assert response.json()["msg"]


def test_a_body_may_come_in_chunks(tes: Tes) -> None:
    parts = iter([b'{"executors": [{"image": "x:0", ', b'"command": ["true"]}]}'])
    assert tes.client.post("/tasks", content=parts, headers=JSON).status_code == 200


def test_a_body_that_is_too_large_is_refused(folder: Path) -> None:
    with served(folder / "small", running=False, max_task_bytes=1000) as tes:
        assert tes.post(description="x" * 500).status_code == 200
        response = tes.post(description="x" * 1000)
        assert response.status_code == 413
        assert response.json()["status_code"] == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8090"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_without_a_token_no_page_of_another_site_starts_a_task(tes: Tes, headers: dict[str, str]) -> None:
    body = {"executors": [EXECUTOR]}
    answer = tes.client.post("/tasks", json=body, headers=headers)
    assert (answer.status_code, answer.json()["status_code"]) == (403, 403)
    assert tes.client.post("/tasks/x:cancel", headers=headers).status_code == 403


def test_a_name_that_others_point_here_reads_nothing(tes: Tes) -> None:
    assert tes.client.get("/tasks", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("headers", [{"host": "localhost"}, {"host": "[::1]:8090"}, {"sec-fetch-site": "same-origin"}])
def test_this_machine_s_own_names_are_known(tes: Tes, headers: dict[str, str]) -> None:
    assert tes.client.post("/tasks", json={"executors": [EXECUTOR]}, headers=headers).status_code == 200


def test_with_a_token_the_host_may_be_any(guarded: Tes) -> None:
    headers = {"authorization": "Bearer the-token", "host": "tes:8090", "origin": "https://portal.example"}
    assert guarded.client.get("/tasks", headers=headers).status_code == 200


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[Tes]:
    token = folder / "token"
    token.write_text("the-token\n")
    token.chmod(0o600)
    with served(folder / "guarded", running=False, token_file=token) as server:
        yield server


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer the-token", 200),
        ("bearer the-token", 200),
        ("Bearer the-toke", 401),
        ("Bearer", 401),
        ("Basic " + base64.b64encode(b"anyone:the-token").decode(), 200),
        ("Basic " + base64.b64encode(b"the-token").decode(), 401),
        ("Basic ???", 401),
        ("the-token", 401),
    ],
)
def test_every_operation_needs_the_token(guarded: Tes, header: str | None, status: int) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = guarded.client.get("/tasks", headers=headers)
    assert answer.status_code == status
    assert answer.json() == {"tasks": []} if status == 200 else answer.json()["status_code"] == 401
    assert guarded.client.get("/nothing", headers=headers).status_code == (404 if status == 200 else 401)


def test_service_info_needs_none(guarded: Tes) -> None:
    assert guarded.get("/service-info")["type"] == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
