"""HTTP/1.1 as uvicorn speaks it, but errors of the protocol are JSON too, and a refused client gets its response.

Methods of uvicorn's protocol that are not documented are overridden, as nothing that is documented does it: so
`pyproject.toml` bounds its version, and tests/integration/api/test_limits.py shows each of them on a real connection.
"""

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wes_service.api.errors import ErrorResponse
from wes_service.auth.access import CLIENT_UID
from wes_service.auth.peer_credentials import uid_of_client

EVENT_STREAM = "/events/stream"
"""How paths of event streams end."""
LINGER_SECONDS = 30.0
"""How long a client may go on to send a body after the response to it."""


class WesHttpProtocol(HttpToolsProtocol):
    """Lets a client that is refused midway read the response.

    A connection that is closed while its client still sends is reset, and the response lost with it: what comes is read
    and dropped, for `LINGER_SECONDS`.
    """

    _closes = False
    _path = ""
    _deadline: asyncio.TimerHandle | None = None

    def send_400_response(self, msg: str) -> None:
        body = ErrorResponse(status=400, message=msg).body
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        transport: asyncio.Transport = self.transport
        transport.write(head.encode() + body)
        transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._client_uid = cache(partial(uid_of_client, transport.get_extra_info("socket")))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CLIENT_UID] = self._client_uid  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._path = self.scope["path"]
        self.cycle.transport = cast("asyncio.Transport", ResponseTransport(self.transport, self._close_after_answer))

    def on_response_complete(self) -> None:
        if self.cycle.response_complete and self.cycle.more_body and self._deadline is None:
            self._linger()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._deadline is not None:
            self._end_lingering()
            if self._closes:
                self.transport.close()

    def shutdown(self) -> None:
        super().shutdown()
        # A stream lasts as long as its run, and its client comes again with `Last-Event-ID`: the server waits for none.
        if self._path.rstrip("/").endswith(EVENT_STREAM):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_lingering()
        super().connection_lost(exc)

    def _close_after_answer(self) -> None:
        if not (self.cycle.response_complete and self.cycle.more_body):
            self.transport.close()
            return
        self._closes = True
        # The client sees the response's end at once.
        self.transport.write_eof()
        self._linger()

    def _linger(self) -> None:
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _end_lingering(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class ResponseTransport:
    """A connection as the response to one request uses it; `close` is the protocol's own."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
