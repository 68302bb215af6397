"""Builds the ASGI application from `openapi/tes.yaml` and the handlers."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import connexion
import flask
import structlog
import yaml
from connexion.datastructures import MediaTypeDict
from connexion.exceptions import ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from connexion.options import SwaggerUIOptions
from connexion.resolver import Resolver
from starlette.exceptions import HTTPException as StarletteError
from starlette.types import ASGIApp, Receive, Scope
from werkzeug.exceptions import HTTPException

from common.browsers import BrowserPolicy
from common.errors import InvalidRequest, NotFound, Unauthorized
from common.json_types import JsonObject
from tes_service.api.auth import AccessMiddleware
from tes_service.api.handlers import answer, handlers
from tes_service.errors import UnsupportedMedia
from tes_service.service import TaskService

log = structlog.get_logger()

SPECIFICATION = Path(__file__).parents[2] / "openapi" / "tes.yaml"


class _OwnChecks:
    """Connexion's place for a validator. Ours are in `tes_service.parse` and `.query`: theirs can't say what is
    exact in this standard, and read `view` and `page_size` before we could name the field."""

    def __init__(self, *_args: object, **_options: object) -> None: ...

    def validate(self, _scope: Scope) -> None: ...

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        return receive, scope


def application(service: TaskService, token: str | None, largest: int, browsers: BrowserPolicy | None) -> ASGIApp:
    """The ASGI application; a request may have `largest` bytes, and without `browsers` none can connect."""
    app = connexion.FlaskApp("tes_service", swagger_ui_options=SwaggerUIOptions(swagger_ui=False, serve_spec=False))
    app.add_api(
        _specification(),
        resolver=Resolver(dict(handlers(service)).__getitem__),
        validator_map={"parameter": _OwnChecks, "body": MediaTypeDict({"*/*": _OwnChecks})},
    )
    app.app.config["MAX_CONTENT_LENGTH"] = largest
    app.app.before_request(_take_chunks)
    app.app.register_error_handler(Exception, _flask_error)
    for kind in (ProblemException, StarletteError, Exception):
        app.add_error_handler(kind, _connexion_error)
    return AccessMiddleware(app, token, browsers)


def _specification() -> dict[str, Any]:
    """The document, without its security schemes: `AccessMiddleware` has checked before Connexion sees a request."""
    loaded: dict[str, Any] = yaml.safe_load(SPECIFICATION.read_text())
    loaded.pop("security", None)
    for path in loaded["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    return loaded


def _take_chunks() -> None:
    """A body may come without a length; the ASGI server has found its end."""
    flask.request.environ["wsgi.input_terminated"] = True


def _flask_error(error: Exception) -> flask.Response:
    _tell(error)
    return answer(document(error), status_of(error))


def _connexion_error(_request: ConnexionRequest, error: Exception) -> ConnexionResponse:
    _tell(error)
    text = json.dumps(document(error))
    return ConnexionResponse(status_code=status_of(error), content_type="application/json", body=text)


def _tell(error: Exception) -> None:
    if status_of(error) >= 500:
        log.error("request.failed", action="answer", exc_info=error)


log = structlog.get_logger()

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnsupportedMedia, 415),
    (InvalidRequest, 400),
    (Unauthorized, 401),
    (NotFound, 404),
    (sqlite3.OperationalError, 503),
)


def status_of(error: Exception) -> int:
    """The HTTP status by which a client is told of an error; 500 for a bug."""
    if isinstance(error, HTTPException):
        return error.code or 500
    if isinstance(error, StarletteError):
        return error.status_code
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def document(error: Exception) -> JsonObject:
    """What the client is told; of a bug only that there is one."""
    status = status_of(error)
    return {"msg": _sentence(error, status), "status_code": status}


def _sentence(error: Exception, status: int) -> str:
    if isinstance(error, sqlite3.OperationalError):
        return f"the server's database can't be used at the moment: {error}"
    if status >= 500:
        return "the server failed at this request; its log tells more"
    if isinstance(error, HTTPException):
        return str(error.description or error.name)
    if isinstance(error, StarletteError):
        return str(error.detail or type(error).__name__)
    return str(error)
