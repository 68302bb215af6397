"""One function per operation of `openapi/tes.yaml`; requests are read here and nowhere else."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flask
from werkzeug.datastructures import MultiDict

from common.errors import InvalidField, InvalidRequest
from common.json_types import Json
from common.paging import Cursor, decode, encode
from tes.task import TaskState, View
from tes_service.errors import UnsupportedMedia
from tes_service.service import TaskService
from tes_service.store import TaskQuery

Handler = Callable[..., flask.Response]


def handlers(service: TaskService) -> Mapping[str, Handler]:
    """By operationId."""

    def info() -> flask.Response:
        return answer(service.info)

    def create() -> flask.Response:
        return answer({"id": service.create(read_body(flask.request))})

    def page() -> flask.Response:
        listing = read_list_request(flask.request.args)
        found = service.page(listing.query, listing.size, listing.after, listing.view)
        shown: dict[str, Any] = {"tasks": list(found.items)}
        if found.next is not None:
            shown["next_page_token"] = encode(found.next)
        return answer(shown)

    def get(id: str) -> flask.Response:  # noqa: A002 - as the path in the document has it
        return answer(service.get(id, read_view(flask.request.args)))

    def cancel(id: str) -> flask.Response:  # noqa: A002
        service.cancel(id)
        return answer({})

    return {"GetServiceInfo": info, "CreateTask": create, "ListTasks": page, "GetTask": get, "CancelTask": cancel}


def answer(document: Mapping[str, Any], status: int = 200) -> flask.Response:
    """A JSON response."""
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


DEFAULT_SIZE = 256
LARGEST_SIZE = 2047

Arguments = MultiDict[str, str]


@dataclass(frozen=True, kw_only=True)
class ListRequest:
    """The parameters of ListTasks (TES 1.1.0): at most `size` tasks that match, from after the cursor."""

    query: TaskQuery
    size: int
    after: Cursor | None
    view: View


def read_list_request(arguments: Arguments) -> ListRequest:
    """From the query string; `InvalidField`."""
    query = TaskQuery(name_prefix=arguments.get("name_prefix", ""), state=_state(arguments), tags=_tags(arguments))
    after = decode(arguments.get("page_token"))
    return ListRequest(query=query, size=_size(arguments), after=after, view=read_view(arguments))


def read_view(arguments: Arguments) -> View:
    """The `view` parameter, MINIMAL where it is absent; `InvalidField`."""
    value = arguments.get("view", "") or View.MINIMAL
    if value not in set(View):
        raise InvalidField("view", f"must be one of {', '.join(View)}")
    return View(value)


def _state(arguments: Arguments) -> TaskState | None:
    value = arguments.get("state", "")
    if not value:
        return None
    if value not in set(TaskState):
        raise InvalidField("state", f"must be one of {', '.join(TaskState)}")
    return TaskState(value)


def _size(arguments: Arguments) -> int:
    value = arguments.get("page_size", "")
    if not value:
        return DEFAULT_SIZE
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= LARGEST_SIZE or len(value) > 9:
        raise InvalidField("page_size", f"must be a number from 1 to {LARGEST_SIZE}")
    return int(value)


def _tags(arguments: Arguments) -> tuple[tuple[str, str | None], ...]:
    """Keys and values by position; a value that is missing or empty matches any."""
    keys, values = arguments.getlist("tag_key"), arguments.getlist("tag_value")
    if len(values) > len(keys):
        raise InvalidField("tag_value", "there are more values than keys")
    filled = [*values, *[""] * (len(keys) - len(values))]
    return tuple((key, value or None) for key, value in zip(keys, filled, strict=True))
