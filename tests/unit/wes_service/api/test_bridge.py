import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from wes_service.api.bridge import SMALL, WsgiApp, WsgiBridge
from wes_service.api.edge import Message, Scope

OK = "200 OK"


def scope_of(*headers: tuple[bytes, bytes]) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/a",
        "query_string": b"",
        "http_version": "1.1",
        "headers": list(headers),
    }


def answered(app: WsgiApp, *messages: Message, headers: tuple[tuple[bytes, bytes], ...] = ()) -> list[Message]:
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(WsgiBridge(app, threads=2, uploads=2)(scope_of(*headers), receive, send))
    return sent


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def echo(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response(OK, [("Content-Length", str(len(body))), ("X-Name", "ü")])
    return [body]


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_in_many_messages_is_read_whole(announced: bool) -> None:
    headers = ((b"content-length", b"6"),) if announced else ((b"transfer-encoding", b"chunked"),)
    sent = answered(echo, part(b"ab", more=True), part(b"", more=True), part(b"cdef", more=False), headers=headers)
    assert sent == [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6"), (b"x-name", b"\xfc")]},
        {"type": "http.response.body", "body": b"abcdef"},
    ]


def test_a_handler_may_leave_the_body_alone() -> None:
    def refuse(_: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("413 Content Too Large", [])
        return [b"no"]

    large = str(SMALL + 1).encode()
    sent = answered(refuse, headers=((b"content-length", large),))
    assert [sent[0]["status"], sent[1]["body"]] == [413, b"no"]
    # A client that asks first is not told to go on.
    sent = answered(refuse, headers=((b"content-length", b"5"), (b"expect", b"100-continue")))
    assert sent[0]["status"] == 413


class Chunks:
    """An answer in chunks that tells whether it was closed, and in which threads it was asked."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.closed = 0
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.current_thread().name)
        return next(self._chunks)

    def close(self) -> None:
        self.closed += 1

    def __call__(self, _: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(OK, [])
        return self


def test_a_long_answer_goes_out_in_pieces_and_is_closed_once() -> None:
    chunks = Chunks([b"x" * (SMALL // 2)] * 5)
    bodies = [message["body"] for message in answered(chunks)[1:]]
    assert [len(body) for body in bodies] == [SMALL, SMALL, SMALL // 2]
    assert chunks.closed == 1
    assert all(name.startswith("wsgi") for name in chunks.threads)


def test_an_answer_of_no_bytes_is_an_answer() -> None:
    assert answered(Chunks([]))[1] == {"type": "http.response.body", "body": b""}


def test_an_answer_is_closed_where_the_client_is_gone() -> None:
    chunks = Chunks([b"x" * SMALL] * 3)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionError("gone")

    async def receive() -> Message:
        return part(b"", more=False)

    with pytest.raises(ConnectionError):
        asyncio.run(WsgiBridge(chunks, threads=2, uploads=2)(scope_of(), receive, send))
    assert chunks.closed == 1


def test_an_error_of_the_handler_is_for_the_layers_above() -> None:
    def fail(_: Any, __: Any) -> Iterable[bytes]:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        answered(fail)
