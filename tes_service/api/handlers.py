"""One function per operation of `openapi/tes.yaml`; requests are read here and nowhere else."""

import json
from collections.abc import Callable, Mapping

import flask

from common.errors import InvalidRequest
from common.json_types import Json, JsonObject
from common.paging import encode
from tes_service.api.query import read_listing, read_view
from tes_service.errors import UnsupportedMedia
from tes_service.service import Service

Handler = Callable[..., flask.Response]


def handlers(service: Service) -> Mapping[str, Handler]:
    """By operationId."""

    def info() -> flask.Response:
        return answer(service.info)

    def create() -> flask.Response:
        return answer({"id": service.create(read_body(flask.request))})

    def page() -> flask.Response:
        wanted = read_listing(flask.request.args)
        found = service.page(wanted.filter, wanted.size, wanted.after, wanted.view)
        shown: dict[str, Json] = {"tasks": list(found.items)}
        if found.next is not None:
            shown["next_page_token"] = encode(found.next)
        return answer(shown)

    def get(id: str) -> flask.Response:  # noqa: A002 - as the path in the document has it
        return answer(service.get(id, read_view(flask.request.args)))

    def cancel(id: str) -> flask.Response:  # noqa: A002
        service.cancel(id)
        return answer({})

    return {"GetServiceInfo": info, "CreateTask": create, "ListTasks": page, "GetTask": get, "CancelTask": cancel}


def answer(document: JsonObject, status: int = 200) -> flask.Response:
    return flask.Response(json.dumps(document), status=status, mimetype="application/json")


def read_body(request: flask.Request) -> Json:
    """The parsed body; JSON as the standard has it, without NaN and the like.

    The type has to be told: a page of another site can send any body without one, and the browser does not ask first.
    """
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise UnsupportedMedia
    text = request.get_data()
    if not text.strip():
        raise InvalidRequest("the body is empty; it must be a JSON object, a tesTask")
    try:
        body: Json = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    return body


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
