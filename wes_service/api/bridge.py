"""From ASGI to WSGI: Flask runs in a thread, with one way there and one back for nearly every request.

a2wsgi's own middleware changes threads for each message of a request, which took a third of the time of a small one
(docs/decisions/0006). A small body is whole before a thread takes the request; a larger one, an upload, is read as the
handler asks for it, in a pool of threads of its own, so that slow uploads keep nobody else waiting. An answer is sent
as fast as the client takes it: while it is being sent, it holds no thread.
"""

import asyncio
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

from a2wsgi.wsgi import build_environ

from wes_service.api.edge import Headers, Receive, Scope, Send

WsgiApp: TypeAlias = Callable[[Any, Any], Iterable[bytes]]
SMALL = 64 * 1024
"""A body of this many bytes or fewer is read before the handler begins; an answer goes out in pieces of about this."""


class WsgiBridge:
    """An ASGI app that calls a WSGI app, for `threads` requests and `uploads` at once; the others wait their turn."""

    def __init__(self, app: WsgiApp, *, threads: int, uploads: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")
        self._uploads = ThreadPoolExecutor(uploads, thread_name_prefix="wsgi-upload")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        body = RequestBody(loop, receive)
        length = _length(scope)
        upload = length is None or length > SMALL
        if length and not upload:
            await body.fetch_all()
        environ = build_environ(scope, io.BufferedReader(body, SMALL))  # type: ignore[arg-type]
        call = await loop.run_in_executor(self._uploads if upload else self._threads, Call.begin, self._app, environ)
        try:
            await send({"type": "http.response.start", "status": call.status, "headers": call.headers})
            while not call.ended:
                await send({"type": "http.response.body", "body": call.piece, "more_body": True})
                await loop.run_in_executor(self._threads, call.go_on)
            await send({"type": "http.response.body", "body": call.piece})
        finally:
            if not call.ended:
                await asyncio.shield(loop.run_in_executor(self._threads, call.close))


class RequestBody(io.RawIOBase):
    """The body as the handler's thread reads it; each message of the server is fetched when the one before is read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive) -> None:
        super().__init__()
        self._loop = loop
        self._receive = receive
        self._rest = memoryview(b"")
        self._more = True

    async def fetch(self) -> None:
        """The next message, in the loop's thread."""
        message = await self._receive()
        self._rest = memoryview(message.get("body", b""))
        self._more = message.get("more_body", False)

    async def fetch_all(self) -> None:
        """The rest of it, in the loop's thread."""
        pieces = []
        while self._more:
            await self.fetch()
            pieces.append(self._rest)
        self._rest = memoryview(b"".join(pieces))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """In the handler's thread."""
        while self._more and not self._rest:
            asyncio.run_coroutine_threadsafe(self.fetch(), self._loop).result()
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


@dataclass(kw_only=True)
class Call:
    """An answer that has begun: `piece` is what is to be sent next, and after the last one the call has ended."""

    status: int
    headers: Headers
    chunks: Iterator[bytes]
    close: Callable[[], None]
    piece: bytes = b""
    ended: bool = False

    @classmethod
    def begin(cls, app: WsgiApp, environ: Any) -> "Call":
        """Calls the handler, and takes the first piece of its answer."""
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], None]:
            head[:] = [(status, headers)]
            return _write

        answer = app(environ, start_response)
        # WSGI lets an app begin its answer as late as with its first chunk.
        chunks = iter(answer)
        first = next(chunks, b"")
        status, headers = head[0]
        call = cls(
            status=int(status[:3]),
            headers=[(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            chunks=chain([first], chunks),
            close=getattr(answer, "close", lambda: None),
        )
        call.go_on()
        return call

    def go_on(self) -> None:
        """Takes the next piece."""
        chunks: list[bytes] = []
        size = 0
        for chunk in self.chunks:
            chunks.append(chunk)
            size += len(chunk)
            if size >= SMALL:
                break
        else:
            self.ended = True
            self.close()
        self.piece = b"".join(chunks)


def _length(scope: Scope) -> int | None:
    """Of the body that comes, in bytes; None where it is not told, or where the client waits to be told to go on.

    Such a client is told so by the handler's first read, not before.
    """
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    unknown = b"transfer-encoding" in headers or b"expect" in headers or not length.isdigit()
    return None if unknown else int(length)


def _write(_: bytes) -> None:
    raise NotImplementedError("this app answers by what it returns")
