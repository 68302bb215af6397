"""The gateway's HTTP side: the part of TES 1.1.0 that engines use, each run with a secret of its own."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common import __version__
from common.errors import (
    DiskFull,
    InvalidField,
    InvalidRequest,
    StaleClaim,
    StoreUnavailable,
    TaskNotFound,
    TooLarge,
    Unauthorized,
    WesError,
)
from common.json_types import BadJson, read_json
from gateway.documents import engine_view
from gateway.session import Session
from wes_service.core.ports import Clock

BASE = "/ga4gh/tes/v1"
LONGEST_WAIT = 30.0
VIEWS = frozenset({"MINIMAL", "BASIC", "FULL"})


class Sessions(Protocol):
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
    StoreUnavailable: 503,
    DiskFull: 503,
}


def gateway_app(sessions: Sessions, clock: Clock, largest_task: int) -> Starlette:
    """The ASGI application that engines talk to; a task may have `largest_task` bytes."""

    async def create(request: Request, session: Session) -> Response:
        if session.closed:
            return _error(409, "the run is ending and takes no more tasks")
        task = await session.create(await _json_body(request, largest_task), clock.now())
        return JSONResponse({"id": task.id})

    def guarded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                return await handler(request, sessions.by_token(_bearer(request)))
            except WesError as error:
                status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
                return _error(status, str(error))

        return handle

    return Starlette(
        routes=[
            Route(f"{BASE}/service-info", _info, methods=["GET"]),
            Route(f"{BASE}/tasks", guarded(create), methods=["POST"]),
            Route(f"{BASE}/tasks", guarded(_list), methods=["GET"]),
            Route(f"{BASE}/tasks/{{task_id}}:cancel", guarded(_cancel), methods=["POST"]),
            Route(f"{BASE}/tasks/{{task_id}}", guarded(_get), methods=["GET"]),
        ]
    )


async def _get(request: Request, session: Session) -> Response:
    watched = session.get(request.path_params["task_id"])
    view = _view(request)
    wait = _wait_seconds(request.headers.get("prefer", ""))
    if wait and not watched.task.terminal:
        await watched.wait_for_change(watched.task.state, wait)
    return JSONResponse(engine_view(watched.task, view))


async def _cancel(request: Request, session: Session) -> Response:
    session.cancel(request.path_params["task_id"])
    return JSONResponse({})


async def _list(request: Request, session: Session) -> Response:
    view = _view(request)
    return JSONResponse({"tasks": [engine_view(w.task, view) for w in reversed(list(session.tasks.values()))]})


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


def _view(request: Request) -> str:
    view = request.query_params.get("view") or "MINIMAL"
    if view not in VIEWS:
        raise InvalidField("view", f"{view!r} is none of MINIMAL, BASIC, FULL")
    return view


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
