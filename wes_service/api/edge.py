"""The outermost layer: who calls, from which page, and that every error goes out in the one shape."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from common.browsers import SAFE_METHODS, BrowserPolicy
from common.errors import InvalidRequest
from wes_service.api.errors import Answer, BodyCutShort, Forbidden, answer
from wes_service.auth.bearer import BearerAuth
from wes_service.core.links import Links
from wes_service.core.run import ANONYMOUS, Owner

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

CALLER = "wes.caller"
PEER = "wes.peer"
"""In the scope: who is at the other end of the connection, a `Peer`."""
STALL_SECONDS = 60.0
"""How long a body may stand still before its request is given up, and its thread freed."""
EXPOSED = "Accept-Ranges, Content-Range, Content-Length, ETag, WWW-Authenticate"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Range, If-Range"
OTHER_ACCOUNT = (
    "This server runs without a token, so it serves only programs of the account that started it, and of root. Its "
    "operator can let others in: start it with --token-file FILE (WES_TOKEN_FILE), and give them that token."
)
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, and how this server's own URLs begin for him."""

    owner: Owner
    links: Links


class Peer(Protocol):
    """The other end of a connection."""

    @property
    def uid(self) -> int | None:
        """The account of the process there; None where it can't be told."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the edge decides by. `open_paths` are read without a token; `public_url` is empty where none is set.

    `uids`: the accounts of this machine that are served at all; None where a token decides.
    """

    auth: BearerAuth
    browsers: BrowserPolicy
    public_url: str
    open_paths: frozenset[str]
    uids: frozenset[int] | None = None

    def admit(self, request: "Request") -> Caller:
        """The caller; `Unauthorized`, `Forbidden` or `InvalidRequest` where there is none to let in."""
        if self.uids is not None and request.uid not in self.uids:
            raise Forbidden(OTHER_ACCOUNT)
        if not _HOST.fullmatch(request.host):
            raise InvalidRequest("Host: this is not a host name")
        if not self.browsers.knows_host(request.host):
            raise Forbidden(f"Host: {request.host} is not a name of this server; set WES_PUBLIC_URL to use it")
        if request.method not in SAFE_METHODS:
            self._check_origin(request)
        links = Links(base=self.public_url.rstrip("/") or request.origin)
        if request.path in self.open_paths and request.method in SAFE_METHODS:
            return Caller(owner=ANONYMOUS, links=links)
        return Caller(owner=self.auth.owner(request.header("authorization")), links=links)

    def cors(self, request: "Request") -> dict[str, str]:
        """The headers by which a browser lets the page that asks see the answer."""
        origin = request.header("origin")
        if origin is None:
            return {}
        if self.browsers.every_page_reads or (self.browsers.token and request.path in self.open_paths):
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
        if not self.browsers.lets_read(origin):
            return {"Vary": "Origin"}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}

    def _check_origin(self, request: "Request") -> None:
        origin = request.header("origin")
        if not self.browsers.lets_write(origin, request.header("sec-fetch-site"), request.origin):
            raise Forbidden(f"Origin: pages of {origin or 'other sites'} may not start runs; see WES_CORS_ORIGINS")


class Request:
    """The head of a request, as far as the edge needs it."""

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._scheme: str = scope.get("scheme") or "http"
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        server = scope.get("server") or ("localhost", None)
        self._server = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
        self._peer: Peer | None = scope.get(PEER)

    @property
    def host(self) -> str:
        return self.header("host") or self._server

    @property
    def uid(self) -> int | None:
        """The account that the request comes from; None where it can't be told."""
        return None if self._peer is None else self._peer.uid

    @property
    def origin(self) -> str:
        return f"{self._scheme}://{self.host}"

    @property
    def is_preflight(self) -> bool:
        return self.method == "OPTIONS" and b"access-control-request-method" in self._headers

    def header(self, name: str) -> str | None:
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")


class Edge:
    """ASGI middleware around everything else."""

    def __init__(self, app: AsgiApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        request = Request(scope)
        reply = Reply(send, self._gate.cors(request))
        try:
            await self._pass(scope, request, receive, reply)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets the one shape
            await reply.fail(answer(error))

    async def _pass(self, scope: Scope, request: Request, receive: Receive, reply: "Reply") -> None:
        caller = self._gate.admit(request) if not request.is_preflight else None
        if caller is None:
            await reply.preflight()
            return
        if not scope["query_string"].isascii():
            raise InvalidRequest("the query holds characters that are not percent-encoded")
        scope[CALLER] = caller
        await self._app(scope, lambda: _receive(receive), reply.send)


class Reply:
    """Sends with the CORS headers, and knows whether an answer has begun."""

    def __init__(self, send: Send, cors: dict[str, str]) -> None:
        self._send = send
        self._cors = _encoded(cors.items())
        self._begun = False
        self._readable = "Access-Control-Allow-Origin" in cors

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            if self._cors:
                message = {**message, "headers": [*message["headers"], *self._cors]}
        await self._send(message)

    async def fail(self, error: Answer) -> None:
        """Answers with an error; too late once an answer has begun, which then ends short."""
        if not self._begun:
            await self._whole(error.status, error.headers.items(), error.body, b"application/json")

    async def preflight(self) -> None:
        if not self._readable:
            await self.fail(answer(Forbidden("Origin: pages of this origin may not use this server")))
            return
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }
        await self._whole(204, headers.items(), b"", None)

    async def _whole(
        self, status: int, headers: Iterable[tuple[str, str]], body: bytes, content_type: bytes | None
    ) -> None:
        head = _encoded(headers)
        if content_type:
            head += [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers]


async def _receive(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            message = await receive()
    except TimeoutError:
        raise BodyCutShort(f"the body stood still for {STALL_SECONDS:.0f} s") from None
    if message["type"] == "http.disconnect":
        raise BodyCutShort("the connection ended before the body was complete")
    return message
