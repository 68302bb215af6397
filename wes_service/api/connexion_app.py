"""Connexion over Flask, with the layers that this service needs and none that it does not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import flask
from connexion import FlaskApp
from connexion.apps.abstract import AbstractApp
from connexion.apps.flask import FlaskApi, FlaskASGIApp
from connexion.middleware.abstract import ROUTING_CONTEXT
from connexion.middleware.routing import RoutingMiddleware
from connexion.operations import AbstractOperation
from connexion.resolver import Resolver
from starlette.exceptions import HTTPException
from werkzeug.exceptions import NotFound

from wes_service.api.bridge import WsgiBridge
from wes_service.api.contract import QUERY, ContractMiddleware
from wes_service.api.edge import CALLER, AsgiApp, Caller, Edge, Gate, Receive, Scope, Send
from wes_service.api.errors import answer
from wes_service.api.monitoring import Alive

Handler: TypeAlias = Callable[..., flask.Response]
THREADS = 40
"""Requests that are worked at at once."""
UPLOADS = 40
"""Uploads that are taken at once, beside them: a slow one holds its thread."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """Layers of the composition: one around the edge, that sees every request, and one around the routing."""

    edge: Callable[[AsgiApp], AsgiApp]
    routing: Callable[[AsgiApp], AsgiApp]


def build(
    document: Mapping[str, Any],
    base_path: str,
    handlers: Mapping[str, Handler],
    gate: Gate,
    around: Around,
) -> "WesApp":
    """The app that serves a document's operations by `handlers`, keyed by operationId."""
    middlewares = [around.edge, Alive, partial(Edge, gate=gate), around.routing, Routing, ContractMiddleware]
    app = WesApp("wes_service", middlewares=middlewares)
    app.add_api(dict(document), base_path=base_path, resolver=Resolver(lambda operation_id: handlers[operation_id]))
    return app


def caller() -> Caller:
    """Who calls, in a handler."""
    found: Caller = flask.request.environ["asgi.scope"][CALLER]
    return found


class Routing(RoutingMiddleware):  # type: ignore[misc]
    """Finds the operation, and never redirects.

    A method that a path does not take is left to Flask, which knows all that it takes.
    """

    def add_api(self, specification: Any, **options: Any) -> None:
        super().add_api(specification, **options)
        for router in (self.router, *(route.app for route in self.router.routes)):
            router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Routing writes into the scope that it is given.
        unrouted = {**scope, "extensions": {**scope.get("extensions", {}), ROUTING_CONTEXT: {}}}
        try:
            await super().__call__(scope, receive, send)
        except HTTPException:
            await self.app(unrouted, receive, send)


class FormlessRequest(flask.Request):
    """Flask's request, which leaves the body alone: forms are read by `wes_service.api.forms`."""

    @property
    def want_form_data_parsed(self) -> bool:
        return False


class DirectOperation:
    """Calls a handler with the parameters that the contract has checked."""

    def __init__(self, operation: AbstractOperation) -> None:
        self._handler: Handler = operation.function
        self.__name__ = str(operation.operation_id)

    def __call__(self, **path_parameters: str) -> flask.Response:
        query = flask.request.environ["asgi.scope"].get(QUERY)
        if query is None:
            # Flask takes a line's end in a path, Connexion does not: what was not checked is not answered.
            raise NotFound
        return self._handler(**path_parameters, **query)


class DirectApi(FlaskApi):  # type: ignore[misc]
    def make_operation(self, operation: AbstractOperation) -> DirectOperation:
        return DirectOperation(operation)


class DirectFlask(FlaskASGIApp):  # type: ignore[misc]
    """Flask with nothing of a body read ahead, no redirects, and all its errors in the one shape."""

    def __init__(self, import_name: str) -> None:
        super().__init__(import_name, {"static_folder": None})
        self.app.request_class = FormlessRequest
        self.app.url_map.merge_slashes = False
        self.app.register_error_handler(Exception, _error_response)
        self.asgi_app = WsgiBridge(self.app.wsgi_app, threads=THREADS, uploads=UPLOADS)

    def add_api(self, specification: Any, *, name: str | None = None, **kwargs: Any) -> FlaskApi:
        api = DirectApi(specification, **kwargs)
        self.app.register_blueprint(api.blueprint, **({} if name is None else {"name": name}))
        return api


class WesApp(FlaskApp):  # type: ignore[misc]
    """A Connexion app on `DirectFlask`; `app` is the Flask application."""

    def __init__(self, import_name: str, **options: Any) -> None:
        self._middleware_app = DirectFlask(import_name)
        AbstractApp.__init__(self, import_name, **options)
        self.app = self._middleware_app.app


def _error_response(error: Exception) -> flask.Response:
    told = answer(error)
    return flask.Response(told.body, status=told.status, headers=dict(told.headers), mimetype="application/json")
