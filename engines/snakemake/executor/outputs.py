"""The output object of a run: the files that it was to make."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote


def output_object(files: Iterable[str], work: Path) -> dict[str, Any]:
    """Each target's File or Directory by its path relative to the working folder; an attachment is no output."""
    found: dict[str, Any] = {}
    for name in sorted(set(files)):
        path = Path(os.path.normpath(work / name))
        if path.exists() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(work)):
            kind = "Directory" if path.is_dir() else "File"
            key = os.path.relpath(path, work)
            found[key] = {"class": kind, "location": "file://" + quote(str(path)), "basename": path.name}
    return found


def write_json(path: Path, document: Any) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(document, indent=1))
    unfinished.rename(path)
