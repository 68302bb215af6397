"""The one table from errors to HTTP; every response of an error is `{"msg", "status_code"}` and is made here."""

import errno
import http
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import structlog
from starlette.exceptions import HTTPException

from common import errors

LOG = structlog.get_logger(__name__)
SERVER_ERROR = "The service failed; its log says why."
DISK_FULL = "There is not enough free disk to take this request; ask the operator."


class UnsupportedMediaType(errors.InvalidRequest):
    """The body is not of a kind that this route takes."""


class BodyCutShort(errors.InvalidRequest):
    """The connection ended, or stood still, before the body was complete."""


class TooManyStreams(errors.WesError):
    """There are as many event streams as this server has; ask for the run's state instead, or try again later."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class RangeNotSatisfiable(errors.WesError):
    """The range begins after the end."""

    def __init__(self, size: int) -> None:
        super().__init__(f"Range: the file has {size} bytes")
        self.size = size


STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (errors.TooLarge, 413),
    (errors.IdempotencyConflict, 409),
    (errors.RunNotEnded, 409),
    (errors.RunNotResumable, 409),
    (UnsupportedMediaType, 415),
    (errors.InvalidRequest, 400),
    (errors.NotFound, 404),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (RangeNotSatisfiable, 416),
    (errors.StoreUnavailable, 503),
    (TooManyStreams, 503),
    (errors.SystemFailure, 500),
)
"""The first that fits counts; what is not here is a 500 that says nothing of its cause."""

MAX_REPEATED_NAME = 100
"""Characters of a name that a client chose and an error repeats."""
ROUTING_MESSAGES = {404: "There is no such route.", 405: "This route does not take this method."}


def unknown_name(what: str, name: str, known: Collection[str]) -> errors.InvalidField:
    """The error for a name that is not among the known ones, with the one that was probably meant.

    `what` is a noun, e.g. "form field".
    """
    shown = name[:MAX_REPEATED_NAME]
    near = get_close_matches(shown, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return errors.InvalidField(
        shown, f"there is no such {what}; {meant}The {what}s are: {', '.join(sorted(known)) or 'none'}"
    )


@dataclass(frozen=True, kw_only=True)
class ErrorResponse:
    """An error as it is sent."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """WES 1.1, schema ErrorResponse, in UTF-8."""
        return json.dumps({"msg": self.message, "status_code": self.status}).encode() + b"\n"


def error_response(error: BaseException) -> ErrorResponse:
    """What to send for an error of ours, or of Connexion's and Starlette's routing; the unforeseen is logged."""
    if isinstance(error, HTTPException):
        return _routing_response(error)
    for kind, status in STATUS:
        if isinstance(error, kind):
            return ErrorResponse(status=status, message=str(error), headers=_headers(error))
    LOG.error("request failed", action="answer", exc_info=error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ErrorResponse(status=500, message=DISK_FULL)
    return ErrorResponse(status=500, message=SERVER_ERROR)


def _routing_response(error: HTTPException) -> ErrorResponse:
    status = error.status_code
    message = ROUTING_MESSAGES.get(status) or f"{http.HTTPStatus(status).phrase}."
    if status >= 500:
        LOG.error("request failed", action="answer", exc_info=error)
        message = SERVER_ERROR
    allow = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return ErrorResponse(status=status, message=message, headers=allow)


def _headers(error: BaseException) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="wes"'}
    if isinstance(error, errors.StoreUnavailable):
        return {"Retry-After": "2"}
    if isinstance(error, TooManyStreams):
        return {"Retry-After": "30"}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}", "Accept-Ranges": "bytes"}
    return {}
