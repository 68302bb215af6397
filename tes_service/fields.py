"""Reads typed fields out of a JSON document; every refusal names the field (`executors[0].image`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import InvalidField
from common.json_types import Json, JsonObject


@dataclass(frozen=True, kw_only=True)
class Fields:
    """An object of the document and where it is. A field that is null counts as absent, as many clients send it."""

    document: JsonObject
    where: str = ""

    def name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, problem: str) -> InvalidField:
        return InvalidField(self.name(key), problem)

    def text(self, key: str) -> str | None:
        """A string, None where it is absent or empty; JSON can write NUL, but no path or argument can hold it."""
        value = self.any_text(key)
        if value and "\0" in value:
            raise self.fail(key, "must not contain NUL")
        return value or None

    def any_text(self, key: str) -> str | None:
        value = self.document.get(key)
        if value is None or isinstance(value, str):
            return _encodable(self.name(key), value)
        raise self.fail(key, "must be a string")

    def flag(self, key: str) -> bool:
        value = self.document.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.fail(key, "must be true or false")

    def number(self, key: str) -> float | None:
        """A finite number that is not negative."""
        value = self.document.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fail(key, "must be a number")
        if value < 0:
            raise self.fail(key, "must not be negative")
        return value

    def count(self, key: str) -> int | None:
        value = self.number(key)
        if value is not None and (value != int(value) or value >= 2**31):
            raise self.fail(key, "must be a 32-bit integer")
        return None if value is None else int(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._items(key)
        for index, item in enumerate(value):
            if not isinstance(item, str) or "\0" in item:
                raise self.fail(f"{key}[{index}]", "must be a string without NUL")
            _encodable(self.name(f"{key}[{index}]"), item)
        return tuple(str(item) for item in value)

    def mapping(self, key: str) -> Mapping[str, str]:
        value = self.document.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.fail(key, "must be an object of strings")
        for name, item in value.items():
            if not isinstance(item, str):
                raise self.fail(f"{key}.{name}", "must be a string")
            _encodable(self.name(f"{key}.{name}"), name + item)
        return {name: str(item) for name, item in value.items()}

    def objects(self, key: str) -> list["Fields"]:
        parts = []
        for index, item in enumerate(self._items(key)):
            where = self.name(f"{key}[{index}]")
            if not isinstance(item, Mapping):
                raise InvalidField(where, "must be an object")
            parts.append(Fields(document=item, where=where))
        return parts

    def object(self, key: str) -> "Fields":
        value = self.document.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise self.fail(key, "must be an object")
        return Fields(document=value, where=self.name(key))

    def _items(self, key: str) -> Sequence[Json]:
        value = self.document.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fail(key, "must be an array")
        return value


def _encodable(where: str, value: str | None) -> str | None:
    """JSON can hold lone surrogates, which are no text: neither a file nor the database takes them."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise InvalidField(where, "must be valid Unicode") from None
    return value
