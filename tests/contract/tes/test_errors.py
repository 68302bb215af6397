"""Whatever a client does, the answer is JSON that says what is wrong."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.tes.served import Tes, served

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


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[Tes]:
    token = folder / "token"
    token.write_text("the-token\n")
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
