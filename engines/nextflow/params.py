"""`workflow_params` as Nextflow takes them: plain names of files, where other engines take File objects."""

from collections.abc import Mapping
from pathlib import Path

from common.errors import EngineError, InvalidLocation
from common.json_types import Json, JsonObject
from common.location import RemoteLocation, parse_location

FILES = frozenset({"File", "Directory"})


def nextflow_params(params: JsonObject, attachments: Path) -> dict[str, Json]:
    """File and Directory objects become paths; a text that names a file is a path from the launch folder already."""
    return {name: _value(value, attachments, name) for name, value in params.items()}


def _value(value: Json, attachments: Path, name: str) -> Json:
    if isinstance(value, Mapping):
        if value.get("class") in FILES:
            return _path(value, attachments, name)
        return {key: _value(item, attachments, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, attachments, name) for item in value]
    return value


def _path(entry: Mapping[str, Json], attachments: Path, name: str) -> str:
    location = entry.get("location", entry.get("path"))
    if not isinstance(location, str):
        raise EngineError(f"the parameter '{name}' is a {entry.get('class')} without a location")
    try:
        place = parse_location(location)
    except InvalidLocation:
        raise _not_attached(name, location) from None
    if isinstance(place, RemoteLocation):
        return place.url
    if place.path.is_relative_to(attachments) and not place.path.exists():
        raise _not_attached(name, location)
    return str(place.path)


def _not_attached(name: str, location: str) -> EngineError:
    return EngineError(f"the parameter '{name}' names {location!r}, which is not among the attachments")
