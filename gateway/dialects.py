"""What is special about one TES server, and about nothing else. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from common.json_types import JsonObject
from common.location import file_path_of

Dialect = Callable[[JsonObject], dict[str, Any]]
"""Puts a tesTask into the words of one server."""


def standard(body: JsonObject) -> dict[str, Any]:
    """As TES 1.1.0 says it."""
    return dict(body)


def funnel(body: JsonObject) -> dict[str, Any]:
    """Funnel 0.12 takes `file://` URLs to be plain paths: it does not undo percent-encoding (seen with 'a%20b.txt')."""
    return {**body, **{field: _plain(body[field]) for field in ("inputs", "outputs") if body.get(field)}}


def dialect_of(service_info: Mapping[str, Any]) -> Dialect:
    """By what the server calls itself in GET /service-info."""
    return funnel if "funnel" in str(service_info.get("id") or service_info.get("name")).lower() else standard


def _plain(items: Any) -> list[Any]:
    return [_plain_item(item) if isinstance(item, Mapping) else item for item in items]


def _plain_item(item: Mapping[str, Any]) -> dict[str, Any]:
    path = file_path_of(str(item.get("url") or ""))
    return dict(item) if path is None else {**item, "url": f"file://{path}"}
