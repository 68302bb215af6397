"""Connexion as this API uses it: its routing finds the operation of a document, and the operation checks and calls.

Connexion's own validation and its call of the handler are not used: they read a whole form, attachments and all, before
the handler is called (docs/decisions/0006).
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.operations import AbstractOperation
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import InvalidField
from wes_service.api.errors import UnsupportedMediaType, unknown_name

Handler: TypeAlias = Callable[..., Response | Awaitable[Response]]
"""Takes the request, and the parameters of path and query by name. One that is not async is called in a thread."""
QueryValue: TypeAlias = str | int | list[str]
LARGEST_INTEGER = 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


class ApiRouting(RoutingMiddleware):  # type: ignore[misc]
    """Connexion's routing without redirects; a method that a path does not take is told which ones it takes."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        # It would redirect the base path to itself with a slash, which the middleware takes off again.
        self.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # Starlette's router writes where it went into the scope that it is given.
            await super().__call__({**scope}, receive, send)
        except HTTPException as error:
            if error.status_code != 405:
                raise
            # Each method of a path is a route of its own here, so that the error tells the first one's only.
            methods = {*str((error.headers or {}).get("Allow", "")).split(", "), *self._methods(scope), "OPTIONS"}
            allow = {"Allow": ", ".join(sorted(methods - {""}))}
            if scope["method"] != "OPTIONS":
                raise HTTPException(405, headers=allow) from None
            await Response(headers=allow)(scope, receive, send)

    def _methods(self, scope: Scope) -> set[str]:
        found: set[str] = set()
        for mount in self.router.routes:
            match, below = mount.matches(scope)
            if match is not Match.NONE:
                inside = {**scope, **below}
                fitting = (route for route in mount.routes if route.matches(inside)[0] is not Match.NONE)
                found |= {method for route in fitting for method in route.methods}
        return found


class CheckedOperation:
    """One operation: an ASGI app that checks query and media type by the document, then calls the handler."""

    def __init__(self, operation: AbstractOperation) -> None:
        self._handler: Handler = operation.function
        self._is_async = inspect.iscoroutinefunction(operation.function)
        self._query = {p["name"]: str(p["schema"]["type"]) for p in operation.parameters if p["in"] == "query"}
        self._media_types = frozenset(kind.lower() for kind in operation.consumes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parameters = {**scope["path_params"], **read_query(scope["query_string"].decode(), self._query)}
        request = Request(scope, receive)
        check_media_type(request.headers.get("content-type", ""), self._media_types)
        if self._is_async:
            response = await self._handler(request, **parameters)  # type: ignore[misc]
        else:
            response = await run_in_threadpool(self._handler, request, **parameters)
        await response(scope, receive, send)


class OperationsApi(RoutedAPI[CheckedOperation]):  # type: ignore[misc]
    """The operations of one document."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> CheckedOperation:
        """One operation, as Connexion has read it; references are resolved."""
        return CheckedOperation(operation)


class OperationsMiddleware(RoutedMiddleware[OperationsApi]):  # type: ignore[misc]
    """Answers requests whose operation `ApiRouting` has found; all others go on to the app behind it."""

    api_cls = OperationsApi


def read_query(text: str, types: Mapping[str, str]) -> dict[str, QueryValue]:
    """The query's parameters by name; `types` are those that the document knows, by name.

    `InvalidField` names one that the document does not know, or of the wrong type. An array is written by repeating its
    name; of anything else the last value counts.
    """
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in types:
            raise unknown_name("query parameter", name, types)
        values.setdefault(name, []).append(value)
    return {name: _typed(name, texts, types[name]) for name, texts in values.items()}


def _typed(name: str, values: Sequence[str], kind: str) -> QueryValue:
    if kind == "array":
        return list(values)
    value = values[-1]
    if kind != "integer":
        return value
    if not _INTEGER.fullmatch(value) or abs(int(value)) > LARGEST_INTEGER:
        raise InvalidField(name, f"{value[:40]!r} is not an integer")
    return int(value)


def check_media_type(content_type: str, known: frozenset[str]) -> None:
    """`UnsupportedMediaType` where a body has another type; no type at all is left to the reader of the body."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type and known and media_type not in known:
        raise UnsupportedMediaType(f"Content-Type: {media_type} is not taken here; send {' or '.join(sorted(known))}")
