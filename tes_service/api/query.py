"""Reads the query parameters of TES 1.1.0; `InvalidField` names the one that is wrong (acceptance: tes, 2 and 3)."""

from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from common.errors import InvalidField
from common.paging import Cursor, decode
from tes.task import TaskState
from tes_service.store import Filter
from tes_service.task import View

DEFAULT_SIZE = 256
LARGEST_SIZE = 2047

Arguments = MultiDict[str, str]


@dataclass(frozen=True, kw_only=True)
class Listing:
    filter: Filter
    size: int
    after: Cursor | None
    view: View


def read_listing(arguments: Arguments) -> Listing:
    wanted = Filter(name_prefix=arguments.get("name_prefix", ""), state=_state(arguments), tags=_tags(arguments))
    after = decode(arguments.get("page_token"))
    return Listing(filter=wanted, size=_size(arguments), after=after, view=read_view(arguments))


def read_view(arguments: Arguments) -> View:
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
