"""Engine parameters against the engine's allow-list. Pure."""

import math
import re
from collections.abc import Mapping

from common.engine import Engine, EngineParameter
from common.errors import InvalidField

FIELD = "workflow_engine_parameters"
_INT = re.compile(r"[+-]?[0-9]{1,18}")


def checked_parameters(engine: Engine, submitted: Mapping[str, str]) -> dict[str, str]:
    """The parameters in the spelling of their types; `InvalidField` for one that is not known or does not fit."""
    known = {parameter.name: parameter for parameter in engine.parameters}
    for name in submitted:
        if name not in known:
            there = ", ".join(known) or "none"
            raise InvalidField(FIELD, f"{engine.name} has no parameter {name!r}; there is {there}")
    return {name: _value(known[name], text) for name, text in submitted.items()}


def _value(parameter: EngineParameter, text: str) -> str:
    value = _READERS[parameter.type](text)
    if value is None:
        raise InvalidField(FIELD, f"{parameter.name!r} must be of type {parameter.type}, not {text[:80]!r}")
    if parameter.choices and value not in parameter.choices:
        raise InvalidField(
            FIELD, f"{parameter.name!r} must be one of {', '.join(parameter.choices)}, not {text[:80]!r}"
        )
    if parameter.minimum is not None and float(value) < parameter.minimum:
        raise InvalidField(FIELD, f"{parameter.name!r} must be at least {parameter.minimum:g}, not {value}")
    return value


def _int(text: str) -> str | None:
    return str(int(text)) if _INT.fullmatch(text.strip()) else None


def _float(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return text.strip() if math.isfinite(number) else None


def _boolean(text: str) -> str | None:
    word = text.strip().lower()
    return word if word in {"true", "false"} else None


def _string(text: str) -> str | None:
    return None if any(ord(character) < 32 for character in text) else text


_READERS = {"int": _int, "float": _float, "boolean": _boolean, "string": _string}
