import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.browsers import policy
from wes_service.api import edge
from wes_service.api.edge import CALLER, PEER, AsgiApp, Edge, Gate, Message, Receive, Scope, Send
from wes_service.auth.bearer import BearerAuth

GATE = Gate(
    auth=BearerAuth(token=None),
    browsers=policy(token=False, origins=(), host="127.0.0.1", public_url=""),
    public_url="",
    open_paths=frozenset(),
)
SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/a/",
    "query_string": b"",
    "headers": [(b"host", b"localhost")],
    "scheme": "http",
}


def answered(
    app: AsgiApp, messages: Sequence[Message], gate: Gate = GATE, scope: Mapping[str, Any] = SCOPE
) -> list[Message]:
    """All that is sent when `app` stands behind the edge and these messages arrive; then nothing does."""
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Edge(app, gate)(dict(scope), receive, send))
    return sent


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def test_the_app_sees_the_path_without_its_last_slash() -> None:
    assert answered(reads_all, [{"type": "http.request", "body": b""}])[1]["body"] == b"/a"


def test_a_caller_is_known_behind_the_edge() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope[CALLER].links.base.encode()})

    assert answered(app, [])[1]["body"] == b"http://localhost"


def test_a_body_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "STALL_SECONDS", 0.05)
    sent = answered(reads_all, [{"type": "http.request", "body": b"x", "more_body": True}])
    assert sent[0]["status"] == 400
    assert b"stood still" in sent[1]["body"]


def test_a_connection_that_ends_is_no_end_of_the_body() -> None:
    sent = answered(reads_all, [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])
    assert sent[0]["status"] == 400


def test_a_fault_before_an_answer_is_a_500_and_after_its_start_ends_it_short() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with capture_logs() as logs:
        assert answered(early, [])[0]["status"] == 500
        assert [message["type"] for message in answered(late, [])] == ["http.response.start"]
    assert len(logs) == 2


@dataclass(frozen=True, kw_only=True)
class AnyPeer:
    uid: int | None


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ({PEER: AnyPeer(uid=1000)}, 200),
        ({PEER: AnyPeer(uid=1001)}, 403),
        ({PEER: AnyPeer(uid=None)}, 403),
        ({}, 403),
    ],
)
def test_where_accounts_count_only_those_are_served_that_are_known_to_be_among_them(
    peer: Mapping[str, Any], status: int
) -> None:
    gate = replace(GATE, uids=frozenset({0, 1000}))
    sent = answered(reads_all, [{"type": "http.request", "body": b""}], gate, {**SCOPE, **peer})
    assert sent[0]["status"] == status
