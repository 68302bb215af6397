"""Inputs as Cromwell takes them: texts where numbers or booleans are wanted, and the other way round."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from WDL import Type


def coerced(kind: Type.Base, value: Any) -> Any:
    """The JSON of an input, changed where it then fits the type that the workflow declares."""
    if isinstance(value, list):
        return [coerced(kind.item_type, item) for item in value] if isinstance(kind, Type.Array) else value
    if isinstance(value, Mapping):
        return {name: coerced(_member(kind, str(name)), item) for name, item in value.items()}
    change = next((change for each, change in SCALARS if isinstance(kind, each)), None)
    return change(value) if change else value


def _member(kind: Type.Base, name: str) -> Type.Base:
    if isinstance(kind, Type.Map):
        return kind.item_type[1]
    if isinstance(kind, Type.Pair):
        return kind.left_type if name.lower() == "left" else kind.right_type
    return (getattr(kind, "members", None) or {}).get(name, Type.Any())


def _to_int(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _parsed(int, value)


def _to_float(value: Any) -> Any:
    return _parsed(float, value)


def _to_boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _to_string(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _parsed(parse: Callable[[str], Any], value: Any) -> Any:
    try:
        return parse(value) if isinstance(value, str) else value
    except ValueError:
        return value


SCALARS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Type.Int, _to_int),
    (Type.Float, _to_float),
    (Type.Boolean, _to_boolean),
    (Type.String, _to_string),
)
