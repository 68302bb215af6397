"""The gateway's HTTP side: the part of TES 1.1.0 that engines use, each run with a secret of its own."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Protocol

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from common import __version__
from common.errors import (
    DiskFull,
    InvalidField,
    InvalidRequest,
    ObjectStoreFailure,
    StaleClaim,
    StoreUnavailable,
    TaskNotFound,
    TooLarge,
    Unauthorized,
    WesError,
)
from common.json_types import BadJson, read_json
from common.paging import Cursor, Page, decode, encode
from gateway.followed_task import FollowedTask
from gateway.session import Session
from gateway.task_documents import engine_view
from gateway.translation import UnusableInput
from sandbox.unix_socket import PeerProcess, peer_of
from tes.task import TesTask, View
from wes_service.core.ports import Clock

BASE = "/ga4gh/tes/v1"
LARGEST_FETCH = 64 * 1024
"""Bytes of a request for one file."""
DEFAULT_PAGE, LARGEST_PAGE = 256, 2047
"""Tasks of one list (TES 1.1.0, ListTasks)."""
LONGEST_WAIT = 30.0
"""Seconds for which `Prefer: wait` may hold an answer back."""


class SessionRegistry(Protocol):
    """Where the open sessions are."""

    def by_token(self, token: str) -> Session:
        """`Unauthorized` where no open run has this secret."""


Handler = Callable[[Request, Session], Awaitable[Response]]
STATUS: dict[type[WesError], int] = {
    TooLarge: 413,
    InvalidRequest: 400,
    Unauthorized: 401,
    TaskNotFound: 404,
    StaleClaim: 409,
    UnusableInput: 410,
    ObjectStoreFailure: 503,
    StoreUnavailable: 503,
    DiskFull: 503,
}


def gateway_app(sessions: SessionRegistry, clock: Clock, largest_task: int) -> Router:
    """The ASGI application that engines talk to; a task may have `largest_task` bytes.

    No more than a router: thousands of engines' threads ask, and middleware takes as long as all that is done here.
    """

    async def create(request: Request, session: Session) -> Response:
        if session.closed:
            return _error(409, "the run is ending and takes no more tasks")
        task = await session.create(await _json_body(request, largest_task), clock.now())
        return JSONResponse({"id": task.id})

    def authorized(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                return await handler(request, sessions.by_token(_bearer(request)))
            except WesError as error:
                status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
                return _error(status, str(error))

        return handle

    return Router(
        routes=[
            Route(f"{BASE}/service-info", _info, methods=["GET"]),
            Route(f"{BASE}/tasks", authorized(create), methods=["POST"]),
            Route(f"{BASE}/tasks", authorized(_list), methods=["GET"]),
            Route(f"{BASE}/tasks/{{task_id}}:cancel", authorized(_cancel), methods=["POST"]),
            Route(f"{BASE}/tasks/{{task_id}}", authorized(_get), methods=["GET"]),
            # Beyond TES: for engines that take outputs on demand.
            Route(f"{BASE}/outputs:fetch", authorized(_fetch), methods=["POST"]),
        ]
    )


async def _get(request: Request, session: Session) -> Response:
    followed = session.get(request.path_params["task_id"])
    view = _view(request)
    wait = _wait_seconds(request.headers.get("prefer", ""))
    if wait and not followed.task.terminal:
        await followed.wait_for_change(followed.task.state, wait)
    return JSONResponse(await _shown(session, followed, view))


async def _shown(session: Session, followed: FollowedTask, view: View) -> TesTask:
    return engine_view(followed.task if view is View.MINIMAL else await session.recorded(followed), view)


async def _cancel(request: Request, session: Session) -> Response:
    session.cancel(request.path_params["task_id"])
    return JSONResponse({})


async def _fetch(request: Request, session: Session) -> Response:
    body = await _json_body(request, LARGEST_FETCH)
    url = body.get("url") if isinstance(body, dict) else None
    if not isinstance(url, str):
        raise InvalidField("url", "the URL of a file is needed, as a string")
    seconds = _wait_seconds(request.headers.get("prefer", ""))
    return JSONResponse({"fetched": await session.fetch(url, seconds)})


async def _list(request: Request, session: Session) -> Response:
    view, asked = _view(request), request.query_params
    tags = zip_longest(asked.getlist("tag_key"), asked.getlist("tag_value"), fillvalue="")
    found = session.tagged(dict(tags))
    page = page_of(found, asked.get("page_token"), _page_size(asked.get("page_size", "")))
    token = {"next_page_token": encode(page.next)} if page.next else {}
    return JSONResponse({"tasks": [await _shown(session, one, view) for one in page.items], **token})


def page_of(found: Sequence[FollowedTask], token: str | None, size: int) -> Page[FollowedTask]:
    """The newest first, from where the page before ended (TES 1.1.0, ListTasks); `InvalidField` for a foreign token.
    `found`: the oldest first."""
    end, after = len(found), decode(token)
    if after is not None:
        end = next((number for number, one in enumerate(found) if one.task.id == after.id), -1)
        if end < 0:
            raise InvalidField("page_token", "this is not a token of this list")
    begin = max(0, end - size)
    last = found[begin].task if begin < end else None
    following = Cursor(created=last.created, id=last.id) if last is not None and begin else None
    return Page(items=found[begin:end][::-1], next=following)


def _page_size(text: str) -> int:
    if not text:
        return DEFAULT_PAGE
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= LARGEST_PAGE:
        raise InvalidField("page_size", f"must be a number from 1 to {LARGEST_PAGE}")
    return int(text)


async def _info(_request: Request) -> Response:
    return JSONResponse(_service_info())


async def _json_body(request: Request, most: int) -> Any:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most:
            message = f"the task has more than {most} bytes (WES_MAX_TASK_BYTES)"
            raise TooLarge(message)
    try:
        return read_json(bytes(raw))
    except BadJson as error:
        raise InvalidField("task", str(error)) from None


def _view(request: Request) -> View:
    name = request.query_params.get("view") or View.MINIMAL
    if name not in set(View):
        raise InvalidField("view", f"{name!r} is none of {', '.join(View)}")
    return View(name)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized
    return token.strip()


def _wait_seconds(prefer: str) -> float:
    """`Prefer: wait=N` (RFC 7240, section 4.3), at most `LONGEST_WAIT`."""
    found = re.search(r"\bwait=(\d{1,4})", prefer)
    return min(LONGEST_WAIT, float(found[1])) if found else 0.0


def _error(status: int, message: str) -> Response:
    return JSONResponse({"msg": message, "status_code": status}, status_code=status)


def _service_info() -> dict[str, Any]:
    return {
        "id": "org.wes-tes.gateway",
        "name": "WES-TES task gateway",
        "type": {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"},
        "organization": {"name": "WES-TES", "url": "https://wes-tes.invalid"},
        "version": __version__,
        "storage": ["file"],
    }


log = structlog.get_logger(__name__)

IDLE_SECONDS = 60.0
MOST_CONNECTIONS = 256
"""Of one sandbox; an engine asks with a few dozen threads at most."""


class ConnectionLimiter:
    """Decides for each new connection; used in the gateway's loop only."""

    def __init__(self, uids: frozenset[int], most: int = MOST_CONNECTIONS) -> None:
        self._uids = uids
        self._most = most
        self._open: Counter[str] = Counter()

    def enter(self, peer: PeerProcess | None) -> str | None:
        """Where the connection is counted; None where it is refused."""
        if peer is not None and peer.uid not in self._uids:
            log.warning("another account was refused", action="connection_refused", uid=peer.uid)
            return None
        key = peer.sandbox if peer else "tcp"
        if self._open[key] >= self._most:
            log.warning("too many connections of one run", action="connection_refused", most=self._most)
            return None
        self._open[key] += 1
        return key

    def leave(self, key: str) -> None:
        """A connection that `enter` let in is closed."""
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]


class LimitedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, which itself ends what is idle after an answer, but waits for ever for a request."""

    limiter: ClassVar[ConnectionLimiter]
    _key: str | None = None
    _timer: asyncio.TimerHandle | None = None
    _heard = 0.0

    def connection_made(self, transport: Any) -> None:
        """Closes at once what the limiter refuses."""
        self._key = self.limiter.enter(peer_of(transport.get_extra_info("socket")))
        super().connection_made(transport)
        if self._key is None:
            transport.abort()
            return
        self._heard = self.loop.time()
        self._timer = self.loop.call_later(IDLE_SECONDS, self._look)

    def data_received(self, data: bytes) -> None:
        """Counts as activity."""
        self._heard = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives the connection back to the limiter."""
        if self._timer is not None:
            self._timer.cancel()
        if self._key is not None:
            self.limiter.leave(self._key)
            self._key = None
        super().connection_lost(exc)

    def _look(self) -> None:
        left = self._heard + IDLE_SECONDS - self.loop.time()
        if left <= 0 and self._waits():
            self.transport.abort()
            return
        self._timer = self.loop.call_later(max(left, IDLE_SECONDS / 4), self._look)

    def _waits(self) -> bool:
        """For the client: not for an answer of ours."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body


def limited_protocol(limiter: ConnectionLimiter) -> type[asyncio.Protocol]:
    """The protocol with a limiter, as uvicorn wants a class."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limiter": limiter})
