"""The type of a parsed JSON document."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]


DEEPEST = 64
"""Nothing that TES or WES know of is nested half as deep."""


class BadJson(ValueError):
    """What is wrong with a text that should be JSON."""


def read_json(raw: bytes | str, deepest: int = DEEPEST) -> Any:
    """The document; `BadJson` where there is none, or arrays and objects in it are nested deeper than `deepest`."""
    try:
        document: Json = json.loads(raw)
    except RecursionError:
        raise _too_deep(deepest) from None
    except ValueError:
        message = "this is not JSON"
        raise BadJson(message) from None
    check_depth(document, deepest)
    return document


def check_depth(document: Json, deepest: int = DEEPEST) -> None:
    """`BadJson` where arrays and objects are nested deeper: code that walks a document calls itself for each."""
    level: list[Any] = [document]
    for _ in range(deepest + 1):
        level = [item for value in level for item in _items(value)]
        if not level:
            return
    raise _too_deep(deepest)


def _items(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(deepest: int) -> BadJson:
    return BadJson(f"it is nested deeper than {deepest} levels")
