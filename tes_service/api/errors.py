"""The one table from errors to HTTP; every error is a JSON document."""

import sqlite3

import structlog
from starlette.exceptions import HTTPException as StarletteError
from werkzeug.exceptions import HTTPException

from common.errors import InvalidRequest, NotFound, Unauthorized
from common.json_types import JsonObject
from tes_service.errors import UnsupportedMedia

log = structlog.get_logger()

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnsupportedMedia, 415),
    (InvalidRequest, 400),
    (Unauthorized, 401),
    (NotFound, 404),
    (sqlite3.OperationalError, 503),
)


def status_of(error: Exception) -> int:
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
