"""The LIMS of the example: what it takes for genuine, and that it takes each result once."""

import base64
import hashlib
import hmac
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.http_client import http
from wes_cli.private_server import free_port

PROGRAM = Path(__file__).parents[3] / "examples" / "lims" / "lims.py"
KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lims", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def signed(body: bytes, *, age: float = 0.0, key: bytes = KEY) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    sent = str(int(time.time() - age))
    digest = hmac.new(key, f"msg-1.{sent}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": "msg-1",
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{base64.b64encode(b'another').decode()} v1,{base64.b64encode(digest).decode()}",
    }


def test_only_what_was_signed_with_the_secret_a_moment_ago_is_genuine(example: ModuleType) -> None:
    body = b'{"a": 1}'
    assert example.is_genuine(SECRET, signed(body), body)
    assert not example.is_genuine(SECRET, signed(body), body + b" ")
    assert not example.is_genuine(SECRET, signed(body, key=b"x" * 32), body)
    assert not example.is_genuine(SECRET, signed(body, age=3600), body)
    assert not example.is_genuine(SECRET, {**signed(body), "webhook-id": "msg-2"}, body)
    assert not example.is_genuine(SECRET, {}, body)


@pytest.fixture
def receiver(example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """A LIMS that listens, and the URL; what the service would tell of a run is its number."""
    lims = example.Lims(wes="http://127.0.0.1:9", secret=SECRET, results=tmp_path)
    monkeypatch.setattr(lims, "_table", lambda run_id: f"sample\n{run_id}\n")
    port = free_port()
    server = lims.listen(port)
    yield lims, f"http://127.0.0.1:{port}/"
    server.shutdown()
    server.server_close()


def message(order: str, state: str = "COMPLETE", run_id: str = "r1") -> bytes:
    data = {"run_id": run_id, "state": state, "reason": "why", "tags": {"order": order}}
    return json.dumps({"id": "msg-1", "data": data}).encode()


def test_a_result_is_taken_once_and_a_forged_message_never(receiver: tuple[Any, str]) -> None:
    lims, url = receiver
    for run_id in ("r1", "r2"):
        body = message("7", run_id=run_id)
        assert http.post(url, content=body, headers=signed(body)).status_code == httpx.codes.NO_CONTENT
    failed = message("8", state="EXECUTOR_ERROR")
    assert http.post(url, content=failed, headers=signed(failed)).status_code == httpx.codes.NO_CONTENT
    forged = message("9")
    assert http.post(url, content=forged, headers=signed(b"")).status_code == httpx.codes.UNAUTHORIZED
    assert lims.collected() == {"7": "sample\nr1\n", "8": "EXECUTOR_ERROR: why\n"}


def test_a_result_that_can_not_be_had_now_is_asked_for_again(
    receiver: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lims, url = receiver

    def away(run_id: str) -> str:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(lims, "_table", away)
    body = message("7")
    assert http.post(url, content=body, headers=signed(body)).status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert lims.collected() == {}
