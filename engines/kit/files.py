"""Files of a run: their URLs for a TES, folders that nothing used before, documents that are never half written."""

import json
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import quote

REMOTE_SCHEMES = ("http://", "https://", "ftp://", "s3://", "gs://", "drs://", "az://")


def is_remote(location: str) -> bool:
    """Whether it is a URL that the engine leaves to the TES."""
    return location.startswith(REMOTE_SCHEMES)


def file_url(path: str | Path) -> str:
    """The `file://` URL of an absolute path, without the `..` that a TES may refuse."""
    return "file://" + quote(normpath(path))


def url_of(source: str) -> str:
    """The URL of a path; a URL stays as it is."""
    return source if is_remote(source) or source.startswith("file://") else file_url(source)


def new_folder(parent: Path, name: str) -> Path:
    """Makes `name` in `parent`, or `name~2`, `name~3` and so on where that is taken."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}~{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def write_json(path: Path, document: Any) -> None:
    """Readers see the old document or the new one, never a part of it."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(document))
    unfinished.rename(path)
