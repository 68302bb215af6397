"""Outputs of a run: checked, measured, and named so that the API can link to them."""

import hashlib
import mimetypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wes_service.core.errors import SystemFailure
from wes_service.core.json_types import Json
from wes_service.core.location import file_path_of
from wes_service.core.output_links import SCHEME

CHUNK = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Size in bytes, and the two digests of a file in hexadecimal."""

    size: int
    sha1: str
    sha256: str


def collected(outputs: Mapping[str, Json], work: Path) -> dict[str, Json]:
    """The output object in which each File and Directory is named below `work`, with size, checksum and sha256.

    Raises `SystemFailure` for a file that is not there or lies elsewhere, symlinks resolved.
    """
    root = Path(os.path.realpath(work))
    return {name: _collected(value, root) for name, value in outputs.items()}


def _collected(value: Json, root: Path) -> Json:
    if isinstance(value, Mapping):
        if value.get("class") == "File":
            return _file(value, root)
        if value.get("class") == "Directory":
            return _directory(value, root)
        return {name: _collected(item, root) for name, item in value.items()}
    if isinstance(value, list):
        return [_collected(item, root) for item in value]
    return value


def _file(entry: Mapping[str, Json], root: Path) -> dict[str, Json]:
    path = _inside(entry, root)
    measured = measure(path)
    rest = {name: value for name, value in entry.items() if name not in {"path", "dirname"}}
    result: dict[str, Any] = {
        **rest,
        "location": _named(path, root),
        "basename": entry.get("basename") or path.name,
        "size": measured.size,
        "checksum": f"sha1${measured.sha1}",
        "sha256": measured.sha256,
        "mediaType": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
    }
    if "secondaryFiles" in entry:
        result["secondaryFiles"] = _collected(entry["secondaryFiles"], root)
    return result


def _directory(entry: Mapping[str, Json], root: Path) -> dict[str, Json]:
    path = _inside(entry, root)
    rest = {name: value for name, value in entry.items() if name not in {"path", "dirname", "listing"}}
    listing = [_collected(_entry(child), root) for child in sorted(path.iterdir())]
    return {
        **rest,
        "location": _named(path, root),
        "basename": entry.get("basename") or path.name,
        "listing": listing,
    }


def _entry(path: Path) -> dict[str, Json]:
    return {"class": "Directory" if path.is_dir() else "File", "location": str(path), "basename": path.name}


def _inside(entry: Mapping[str, Json], root: Path) -> Path:
    location = str(entry.get("location") or entry.get("path") or "")
    named = file_path_of(location)
    if named is None:
        raise SystemFailure(f"the output {location or entry.get('basename')!r} is not a file of this run")
    real = Path(os.path.realpath(named))
    if root not in real.parents:
        raise SystemFailure(f"the output {named.name!r} lies outside the run's folder and is not given out")
    if not real.exists():
        raise SystemFailure(f"the output {named.name!r} is missing")
    return real


def measure(path: Path) -> Measured:
    """Reads the file once, in pieces; a symlink is not followed. It is on disk before the run is called complete."""
    sha1, sha256, size = hashlib.sha1(usedforsecurity=False), hashlib.sha256(), 0
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as source:
        while data := source.read(CHUNK):
            sha1.update(data)
            sha256.update(data)
            size += len(data)
        os.fsync(source.fileno())
    return Measured(size=size, sha1=sha1.hexdigest(), sha256=sha256.hexdigest())


def _named(path: Path, root: Path) -> str:
    return SCHEME + quote(str(path.relative_to(root)))
