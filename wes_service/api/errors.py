"""The one table from errors to HTTP; every answer that is not 2xx is `{"msg", "status_code"}` and is made here."""

import errno
import http
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from starlette.exceptions import HTTPException as AsgiError
from werkzeug.exceptions import HTTPException as WsgiError
from werkzeug.exceptions import MethodNotAllowed as WsgiMethodNotAllowed

from common import errors

LOG = structlog.get_logger(__name__)
SERVER_ERROR = "The service failed; its log says why."


class Forbidden(errors.WesError):
    """The caller may not do this."""


class UnsupportedMediaType(errors.InvalidRequest):
    """The body is not of a kind that this route takes."""


class BodyCutShort(errors.InvalidRequest):
    """The connection ended, or stood still, before the body was complete."""


class RangeNotSatisfiable(errors.WesError):
    """The range begins after the end."""

    def __init__(self, size: int) -> None:
        super().__init__(f"Range: the file has {size} bytes")
        self.size = size


STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (errors.TooLarge, 413),
    (errors.IdempotencyConflict, 409),
    (errors.RunNotEnded, 409),
    (UnsupportedMediaType, 415),
    (errors.InvalidRequest, 400),
    (errors.NotFound, 404),
    (errors.Unauthorized, 401),
    (Forbidden, 403),
    (RangeNotSatisfiable, 416),
    (errors.StoreUnavailable, 503),
    (errors.SystemFailure, 500),
)
"""The first that fits counts; what is not here is a 500 that says nothing of its cause."""

FRAMEWORK_MESSAGES = {
    400: "The request can't be read.",
    404: "There is no such route.",
    405: "This route does not take this method.",
    413: "The request is too large.",
    415: "The body is not of a kind that this route takes.",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An error as it is sent."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return json.dumps({"msg": self.message, "status_code": self.status}).encode() + b"\n"


def answer(error: BaseException) -> Answer:
    """What to send for an error of ours, of Flask or of Connexion; the unforeseen is logged."""
    if isinstance(error, AsgiError | WsgiError):
        return _framework_answer(error)
    for kind, status in STATUS:
        if isinstance(error, kind):
            return Answer(status=status, message=str(error), headers=_headers(error))
    LOG.error("request failed", action="answer", exc_info=error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Answer(status=500, message="There is not enough free disk to take this request; ask the operator.")
    return Answer(status=500, message=SERVER_ERROR)


def _framework_answer(error: AsgiError | WsgiError) -> Answer:
    status = (error.status_code if isinstance(error, AsgiError) else error.code) or 500
    message = FRAMEWORK_MESSAGES.get(status) or f"{http.HTTPStatus(status).phrase}."
    if status >= 500:
        LOG.error("request failed", action="answer", exc_info=error)
        message = SERVER_ERROR
    return Answer(status=status, message=message, headers=_framework_headers(error))


def _framework_headers(error: AsgiError | WsgiError) -> dict[str, str]:
    if isinstance(error, AsgiError):
        return {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if isinstance(error, WsgiMethodNotAllowed) and error.valid_methods:
        return {"Allow": ", ".join(sorted(error.valid_methods))}
    return {}


def _headers(error: BaseException) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="wes"'}
    if isinstance(error, errors.StoreUnavailable):
        return {"Retry-After": "2"}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}", "Accept-Ranges": "bytes"}
    return {}
