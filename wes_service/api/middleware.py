"""The middleware around the API: who calls, from which page, errors in one shape, metrics; behind it a cache."""

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

from cachetools import TTLCache
from connexion.middleware.abstract import ROUTING_CONTEXT
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.browsers import SAFE_METHODS
from common.errors import Forbidden, InvalidRequest
from wes_service.api.errors import ErrorResponse, error_response
from wes_service.auth.access import AccessPolicy, Caller, RequestHead

HEALTH_PATH = "/healthz"
CALLER = "wes.caller"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Range, If-Range"
MAX_CACHED_RESPONSES = 64
"""One per path, and per name that this server is called by."""
MAX_CACHED_BYTES = 256 * 1024

Headers: TypeAlias = list[tuple[bytes, bytes]]
Observer: TypeAlias = Callable[[Scope, str, float], None]
"""Told the scope of each request, the status of its response (`none` where there was none) and the seconds it took."""


def caller_of(scope: Scope) -> Caller:
    """The caller of a request that has passed the middleware."""
    caller: Caller = scope[CALLER]
    return caller


class ApiMiddleware:
    """Admits the caller, sends every error as `{"msg", "status_code"}`, adds the CORS headers, and tells `observe`."""

    def __init__(self, app: ASGIApp, access: AccessPolicy, observe: Observer) -> None:
        self._app = app
        self._access = access
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        # Connexion's routing writes the operation's id into `extensions`, which its copies of the scope share.
        scope = {**scope, "path": scope["path"].rstrip("/") or "/", "extensions": {**scope.get("extensions", {})}}
        head = RequestHead(scope)
        response = ResponseSender(send, self._access.cors_headers(head))
        try:
            await self._respond(scope, head, receive, response)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets the one shape
            await response.send_error(error_response(error))
        finally:
            self._observe(scope, response.status, time.perf_counter() - began)

    async def _respond(self, scope: Scope, head: RequestHead, receive: Receive, response: "ResponseSender") -> None:
        if head.path == HEALTH_PATH and head.method in {"GET", "HEAD"}:
            # It says the same to everybody, and while all threads are busy.
            await PlainTextResponse("ok\n")(scope, receive, response.send)
            return
        if head.is_preflight:
            await response.send_preflight()
            return
        scope[CALLER] = self._access.admit(head)
        if not scope["query_string"].isascii():
            raise InvalidRequest("the query holds characters that are not percent-encoded")
        await self._app(scope, receive, response.send)


def operation_of(scope: Scope) -> tuple[str, str] | None:
    """Base path and operationId that Connexion's routing has found for a request; None where it found none."""
    found = scope["extensions"].get(ROUTING_CONTEXT, {})
    return (found["api_base_path"], found["operation_id"]) if found.get("operation_id") else None


class ResponseSender:
    """Sends a response with the CORS headers; `status` is `none` until it has begun."""

    def __init__(self, send: Send, cors: Mapping[str, str]) -> None:
        self.status = "none"
        self._send = send
        self._cors = _encoded(cors.items())
        self._page_may_read = "Access-Control-Allow-Origin" in cors

    async def send(self, message: Message) -> None:
        """The `send` of ASGI."""
        if message["type"] == "http.response.start":
            self.status = str(message["status"])
            if self._cors:
                message = {**message, "headers": [*message["headers"], *self._cors]}
        await self._send(message)

    async def send_error(self, error: ErrorResponse) -> None:
        """Too late once a response has begun, which then ends short."""
        if self.status == "none":
            await self._send_whole(error.status, error.headers.items(), error.body, b"application/json")

    async def send_preflight(self) -> None:
        """What the page may send; 403 where it could not read the response (Fetch, CORS-preflight fetch)."""
        if not self._page_may_read:
            await self.send_error(error_response(Forbidden("Origin: pages of this origin may not use this server")))
            return
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }
        await self._send_whole(204, headers.items(), b"", None)

    async def _send_whole(
        self, status: int, headers: Iterable[tuple[str, str]], body: bytes, content_type: bytes | None
    ) -> None:
        encoded = _encoded(headers)
        if content_type:
            encoded += [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers]


class ResponseCache:
    """Middleware that answers GETs of `paths` by a response of the last `seconds`: it must be the same for everybody.

    A request that may change something, and came to this process, empties it.
    """

    def __init__(
        self, app: ASGIApp, paths: frozenset[str], seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._paths = paths
        self._responses: MutableMapping[tuple[str, str], list[Message]] = TTLCache(MAX_CACHED_RESPONSES, seconds, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and self._is_cached(scope):
            await self._answer((scope["path"], caller_of(scope).links.base), scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if scope.get("method") not in SAFE_METHODS:
                self._responses.clear()

    def _is_cached(self, scope: Scope) -> bool:
        return scope["path"] in self._paths and not scope.get("query_string")

    async def _answer(self, key: tuple[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        if (cached := self._responses.get(key)) is not None:
            for message in cached:
                await send(message)
            return
        messages: list[Message] = []

        async def record(message: Message) -> None:
            messages.append(message)
            await send(message)

        await self._app(scope, receive, record)
        if _is_cacheable(messages):
            self._responses[key] = messages


def _is_cacheable(messages: list[Message]) -> bool:
    """Whether it is a whole response of status 200, and not too large."""
    size = sum(len(message.get("body", b"")) for message in messages)
    last: MutableMapping[str, Any] = messages[-1] if messages else {}
    is_whole = last.get("type") == "http.response.body" and not last.get("more_body", False)
    return is_whole and messages[0].get("status") == 200 and size <= MAX_CACHED_BYTES
