import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from common.browsers import policy
from tests.fakes.seconds import Seconds
from wes_service.api.middleware import CALLER, ApiMiddleware, ResponseCache
from wes_service.auth.access import CLIENT_UID, AccessPolicy, BearerAuth, Caller
from wes_service.core.links import Links
from wes_service.core.run import ANONYMOUS

CACHED_PATH = "/same"
ACCESS = AccessPolicy(
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


def ignore(scope: Scope, status: str, seconds: float) -> None:
    """Observes nothing."""


def answered(
    app: ASGIApp, messages: Sequence[Message], access: AccessPolicy = ACCESS, scope: Mapping[str, Any] = SCOPE
) -> list[Message]:
    """All that is sent when `app` stands behind the middleware and these messages arrive; then nothing does."""
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(ApiMiddleware(app, access, ignore)(dict(scope), receive, send))
    return sent


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def test_the_app_sees_the_path_without_its_last_slash() -> None:
    assert answered(reads_all, [{"type": "http.request", "body": b""}])[1]["body"] == b"/a"


def test_a_caller_is_known_behind_the_middleware() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope[CALLER].links.base.encode()})

    assert answered(app, [])[1]["body"] == b"http://localhost"


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


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ({CLIENT_UID: lambda: 1000}, 200),
        ({CLIENT_UID: lambda: 1001}, 403),
        ({CLIENT_UID: lambda: None}, 403),
        ({}, 403),
    ],
)
def test_where_accounts_count_only_those_are_served_that_are_known_to_be_among_them(
    peer: Mapping[str, Any], status: int
) -> None:
    access = replace(ACCESS, uids=frozenset({0, 1000}))
    sent = answered(reads_all, [{"type": "http.request", "body": b""}], access, {**SCOPE, **peer})
    assert sent[0]["status"] == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_server_whose_threads_are_all_busy_still_says_that_it_is_alive(method: str) -> None:
    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    # From whoever asks, under whatever name.
    scope = {**SCOPE, "method": method, "path": "/healthz", "headers": []}
    head, content = answered(hangs, [], replace(ACCESS, uids=frozenset()), scope)
    assert head["status"] == 200
    assert content["body"] == b"ok\n"


def test_all_else_of_the_health_path_is_left_to_the_application() -> None:
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(405)

    assert answered(refuses, [], scope={**SCOPE, "path": "/healthz"})[0]["status"] == 405


def test_what_is_observed_is_each_requests_status_and_time() -> None:
    seen: list[tuple[str, str, float]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    def observe(scope: Scope, status: str, seconds: float) -> None:
        seen.append((scope["path"], status, seconds))

    async def send(message: Message) -> None:
        pass

    with capture_logs():
        asyncio.run(ApiMiddleware(app, ACCESS, observe)(dict(SCOPE), send, send))  # type: ignore[arg-type]
    ((path, status, seconds),) = seen
    assert (path, status) == ("/a", "500")
    assert seconds < 1


class CountingApp:
    """An app that counts its answers, in two messages."""

    def __init__(self, status: int = 200) -> None:
        self.answers = 0
        self.status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == (await receive())["type"].removesuffix(".request")
        self.answers += 1
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"answer ", "more_body": True})
        await send({"type": "http.response.body", "body": str(self.answers).encode()})


def ask(app: ResponseCache, *, method: str = "GET", path: str = CACHED_PATH, base: str = "http://one") -> bytes:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    caller = Caller(owner=ANONYMOUS, links=Links(base=base))
    asyncio.run(app({"type": "http", "method": method, "path": path, CALLER: caller}, receive, send))
    assert sent[0]["type"] == "http.response.start"
    return b"".join(message.get("body", b"") for message in sent)


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


def cache(app: CountingApp, clock: Seconds) -> ResponseCache:
    return ResponseCache(app, frozenset({CACHED_PATH}), 0.5, now=clock)


def test_an_answer_is_given_again_until_it_is_too_old(clock: Seconds) -> None:
    app = cache(CountingApp(), clock)
    assert [ask(app), ask(app)] == [b"answer 1", b"answer 1"]
    clock.pass_by(0.5)
    assert ask(app) == b"answer 2"


def test_answers_hold_for_the_name_that_the_server_was_called_by(clock: Seconds) -> None:
    app = cache(CountingApp(), clock)
    assert [ask(app), ask(app, base="http://two"), ask(app)] == [b"answer 1", b"answer 2", b"answer 1"]


def test_other_paths_and_methods_are_answered_each_time(clock: Seconds) -> None:
    app = cache(CountingApp(), clock)
    assert [ask(app, path="/mine"), ask(app, path="/mine")] == [b"answer 1", b"answer 2"]
    assert [ask(app, method="HEAD"), ask(app, method="HEAD")] == [b"answer 3", b"answer 4"]


def test_after_a_request_that_may_change_something_all_is_asked_anew(clock: Seconds) -> None:
    app = cache(CountingApp(), clock)
    assert ask(app) == b"answer 1"
    ask(app, method="POST", path="/runs")
    assert ask(app) == b"answer 3"


def test_an_error_is_not_kept(clock: Seconds) -> None:
    app = cache(CountingApp(status=503), clock)
    assert [ask(app), ask(app)] == [b"answer 1", b"answer 2"]


def test_names_without_end_do_not_fill_the_memory(clock: Seconds) -> None:
    app = cache(CountingApp(), clock)
    for number in range(200):
        ask(app, base=f"http://{number}")
    assert len(app._responses) <= 64
