import asyncio

import pytest

from tests.fakes.seconds import Seconds
from wes_service.api.edge import CALLER, Caller, Message, Receive, Scope, Send
from wes_service.api.remembered import Remembered
from wes_service.core.links import Links
from wes_service.core.run import ANONYMOUS

PATH = "/same"


class Counter:
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


def ask(app: Remembered, *, method: str = "GET", path: str = PATH, base: str = "http://one") -> bytes:
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


def remembered(app: Counter, clock: Seconds) -> Remembered:
    return Remembered(app, frozenset({PATH}), 0.5, now=clock)


def test_an_answer_is_given_again_until_it_is_too_old(clock: Seconds) -> None:
    app = remembered(Counter(), clock)
    assert [ask(app), ask(app)] == [b"answer 1", b"answer 1"]
    clock.pass_by(0.5)
    assert ask(app) == b"answer 2"


def test_answers_hold_for_the_name_that_the_server_was_called_by(clock: Seconds) -> None:
    app = remembered(Counter(), clock)
    assert [ask(app), ask(app, base="http://two"), ask(app)] == [b"answer 1", b"answer 2", b"answer 1"]


def test_other_paths_and_methods_are_answered_each_time(clock: Seconds) -> None:
    app = remembered(Counter(), clock)
    assert [ask(app, path="/mine"), ask(app, path="/mine")] == [b"answer 1", b"answer 2"]
    assert [ask(app, method="HEAD"), ask(app, method="HEAD")] == [b"answer 3", b"answer 4"]


def test_after_a_request_that_may_change_something_all_is_asked_anew(clock: Seconds) -> None:
    app = remembered(Counter(), clock)
    assert ask(app) == b"answer 1"
    ask(app, method="POST", path="/runs")
    assert ask(app) == b"answer 3"


def test_an_error_is_not_kept(clock: Seconds) -> None:
    app = remembered(Counter(status=503), clock)
    assert [ask(app), ask(app)] == [b"answer 1", b"answer 2"]


def test_names_without_end_do_not_fill_the_memory(clock: Seconds) -> None:
    app = remembered(Counter(), clock)
    for number in range(200):
        ask(app, base=f"http://{number}")
    assert len(app._kept) <= 64
