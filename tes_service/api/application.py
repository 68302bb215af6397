"""Builds the ASGI application from `openapi/tes.yaml` and the handlers."""

import json
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
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope

from common.browsers import BrowserPolicy
from tes_service.api.auth import Gate
from tes_service.api.errors import document, status_of
from tes_service.api.handlers import answer, handlers
from tes_service.service import Service

log = structlog.get_logger()

SPECIFICATION = Path(__file__).parents[2] / "openapi" / "tes.yaml"


class _OwnChecks:
    """Connexion's place for a validator. Ours are in `tes_service.parse` and `.query`: theirs can't say what is
    exact in this standard, and read `view` and `page_size` before we could name the field."""

    def __init__(self, *_args: object, **_options: object) -> None: ...

    def validate(self, _scope: Scope) -> None: ...

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        return receive, scope


def application(service: Service, token: str | None, largest: int, browsers: BrowserPolicy | None) -> ASGIApp:
    app = connexion.FlaskApp("tes_service", swagger_ui_options=SwaggerUIOptions(swagger_ui=False, serve_spec=False))
    app.add_api(
        _specification(),
        resolver=Resolver(dict(handlers(service)).__getitem__),
        validator_map={"parameter": _OwnChecks, "body": MediaTypeDict({"*/*": _OwnChecks})},
    )
    app.app.config["MAX_CONTENT_LENGTH"] = largest
    app.app.before_request(_take_chunks)
    app.app.register_error_handler(Exception, _flask_error)
    for kind in (ProblemException, HTTPException, Exception):
        app.add_error_handler(kind, _connexion_error)
    return Gate(app, token, browsers)


def _specification() -> dict[str, Any]:
    """The document, without its security schemes: `Gate` has checked before Connexion sees a request."""
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
