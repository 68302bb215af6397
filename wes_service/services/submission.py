"""From the fields of a submitted form to a `RunRequest`: everything that needs no look at engines or attachments."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from common.errors import InvalidField
from common.json_types import Json, check_depth
from wes_service.core.run import RunRequest

REQUIRED = ("workflow_type", "workflow_type_version", "workflow_url")
FIELDS = frozenset(
    {
        *REQUIRED,
        "workflow_params",
        "tags",
        "workflow_engine",
        "workflow_engine_version",
        "workflow_engine_parameters",
    }
)
MOST_TAGS = 1000
"""Each of them can be searched for, so each is a row."""
LONGEST_NAME = 4096
"""Characters of a field that is no JSON."""


def run_request(fields: Mapping[str, str]) -> RunRequest:
    """The request; `InvalidField` names the field (or all that are missing). Engine parameters become strings."""
    missing = [name for name in REQUIRED if not fields.get(name, "").strip()]
    if missing:
        raise InvalidField(
            ", ".join(missing), "needed, but missing" if len(missing) == 1 else "all needed, but missing"
        )
    engine, version = _optional(fields, "workflow_engine"), _optional(fields, "workflow_engine_version")
    if version is not None and engine is None:
        raise InvalidField("workflow_engine_version", "needs a workflow_engine beside it")
    return RunRequest(
        workflow_type=_text(fields, "workflow_type"),
        workflow_type_version=_text(fields, "workflow_type_version"),
        workflow_url=_text(fields, "workflow_url"),
        workflow_params=_json_object(fields, "workflow_params"),
        workflow_engine=engine,
        workflow_engine_version=version,
        workflow_engine_parameters=_scalars(_json_object(fields, "workflow_engine_parameters")),
        tags=_strings(_json_object(fields, "tags")),
    )


def _text(fields: Mapping[str, str], name: str) -> str:
    value = fields[name].strip()
    if len(value) > LONGEST_NAME:
        raise InvalidField(name, f"longer than {LONGEST_NAME} characters")
    if any(ord(character) < 32 for character in value):
        raise InvalidField(name, "holds a control character")
    return value


def _optional(fields: Mapping[str, str], name: str) -> str | None:
    return _text(fields, name) if fields.get(name, "").strip() else None


def _json_object(fields: Mapping[str, str], name: str) -> dict[str, Json]:
    text = fields.get(name, "")
    if not text.strip():
        return {}
    try:
        value: Any = json.loads(text, parse_constant=_no_json, parse_float=_finite)
        check_depth(value)
        if "\\u" in text:
            # An escape can write what UTF-8 and databases can't hold: half a character, or a NUL.
            _check_text(value)
    except (ValueError, RecursionError) as error:
        raise InvalidField(name, f"this is not JSON: {_told(error)}") from None
    if not isinstance(value, dict):
        raise InvalidField(name, f"a JSON object is needed, not {_kind(value)}")
    return value


def _check_text(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    text.encode()
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("a string holds a NUL character")


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a string holds half a character" if isinstance(error, UnicodeEncodeError) else str(error)


def _strings(tags: Mapping[str, Json]) -> dict[str, str]:
    if len(tags) > MOST_TAGS:
        raise InvalidField("tags", f"there are {len(tags)} tags, and {MOST_TAGS} at most are possible")
    for key, value in tags.items():
        if not isinstance(value, str):
            raise InvalidField("tags", f"the value of {key!r} must be a string, not {_kind(value)}")
    return {key: str(value) for key, value in tags.items()}


def _scalars(parameters: Mapping[str, Json]) -> dict[str, str]:
    return {key: _scalar(key, value) for key, value in parameters.items()}


def _scalar(key: str, value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidField(
        "workflow_engine_parameters", f"the value of {key!r} must be a string, number or boolean, not {_kind(value)}"
    )


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
