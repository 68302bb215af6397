"""Which files and URLs a task of a run may name: an allow-list, and whatever is not on it is refused by its field."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InvalidField, InvalidLocation
from common.json_types import Json, JsonObject
from common.location import REMOTE, STORES, FileLocation, Location, parse_location

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class FilePolicy:
    """Folders that tasks of one run may read from and write to, as real paths; what may be written may be read."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]

    def permitted(self, body: JsonObject) -> dict[str, Any]:
        """The task in which every input and output has the URL that was checked, in the one spelling that there is.

        `InvalidField` names the first field that is not this run's to use, or that can't be understood.
        """
        inputs = [self._input(f"inputs[{index}]", item) for index, item in enumerate(_items(body, "inputs"))]
        outputs = [self._output(f"outputs[{index}]", item) for index, item in enumerate(_items(body, "outputs"))]
        given = {"inputs": inputs, "outputs": outputs}
        return {**body, **{field: items for field, items in given.items() if field in body}}

    def _input(self, field: str, item: Json) -> JsonObject:
        document = _document(field, item)
        _check_path(f"{field}.path", document.get("path"))
        if not document.get("url") and isinstance(document.get("content"), str):
            return {name: value for name, value in document.items() if name != "url"}
        location = _location(f"{field}.url", document.get("url"), REMOTE)
        return {**document, "url": self._checked(f"{field}.url", location, (*self.readable, *self.writable))}

    def _output(self, field: str, item: Json) -> JsonObject:
        document = _document(field, item)
        _check_path(f"{field}.path", document.get("path"))
        if document.get("path_prefix"):
            _check_path(f"{field}.path_prefix", document["path_prefix"])
        location = _location(f"{field}.url", document.get("url"), STORES)
        return {**document, "url": self._checked(f"{field}.url", location, self.writable)}

    def _checked(self, field: str, location: Location, roots: Sequence[Path]) -> str:
        if isinstance(location, FileLocation):
            real = _real(location.path)
            if real is None or not any(real.is_relative_to(root) for root in roots):
                problem = f"{location.path} is neither in this run's folder nor in a folder that --allow-data names"
                raise InvalidField(field, problem)
        return location.url


def _real(path: Path) -> Path | None:
    """None where the way there can't be looked at, as behind another process's `/proc/PID/root`."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return None


def _location(field: str, value: Json, remote: frozenset[str]) -> Location:
    if not isinstance(value, str) or not value:
        raise InvalidField(field, "a URL is needed, as a string")
    try:
        location = parse_location(value)
    except InvalidLocation as error:
        raise InvalidField(field, str(error)) from None
    if not isinstance(location, FileLocation) and location.scheme not in remote:
        raise InvalidField(field, f"a task can't write to {location.scheme}: URLs, only to files and {_listed(remote)}")
    return location


def _check_path(field: str, value: Json) -> None:
    """In the container. A TES joins what follows `path_prefix` to the URL, so that `..` would lead out of it."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise InvalidField(field, "an absolute path is needed, as a string")
    if "\0" in value or ".." in _ESCAPED.sub(r"\1", value).split("/") or ".." in value.split("/"):
        raise InvalidField(field, "must not contain '..' or NUL")


def _items(body: JsonObject, field: str) -> Sequence[Json]:
    value = body.get(field)
    return value if isinstance(value, list) else []


def _document(field: str, item: Json) -> JsonObject:
    if not isinstance(item, Mapping):
        raise InvalidField(field, "an object is needed")
    return item


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
