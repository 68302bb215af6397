import asyncio

import pytest

from wes_service.api.edge import Message, Receive, Scope, Send
from wes_service.api.monitoring import Alive


def asked(method: str, path: str) -> list[Message]:
    """What is sent where all behind hangs for ever."""
    sent: list[Message] = []

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError("no body is read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        async with asyncio.timeout(0.5):
            await Alive(hangs)({"type": "http", "method": method, "path": path}, receive, send)

    asyncio.run(ask())
    return sent


@pytest.mark.parametrize(("method", "body"), [("GET", b"ok\n"), ("HEAD", b"")])
def test_a_server_whose_threads_are_all_busy_still_says_that_it_is_alive(method: str, body: bytes) -> None:
    head, content = asked(method, "/healthz")
    assert head["status"] == 200
    assert content["body"] == body


@pytest.mark.parametrize(("method", "path"), [("POST", "/healthz"), ("GET", "/readyz")])
def test_all_else_is_left_to_the_application(method: str, path: str) -> None:
    with pytest.raises(TimeoutError):
        asked(method, path)
