"""The attachments, as a workflow's author sees them: relative to the folder that Snakemake works in."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LOCAL = "file://"


def attached_files(attachments: Path) -> tuple[str, ...]:
    """All of them, by their path below the folder, in order."""
    found = (Path(folder) / name for folder, _, names in os.walk(attachments) for name in names)
    return tuple(sorted(str(path.relative_to(attachments)) for path in found))


def mirror(attachments: Path, work: Path, names: Iterable[str]) -> None:
    """Links each attachment into the working folder under the same name; what is there already stays."""
    for name in names:
        link = work / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(link):
            link.symlink_to(attachments / name)


def with_paths(value: Any) -> Any:
    """A value of `workflow_params` in which each local File or Directory object is its path, as Snakefiles want it."""
    if isinstance(value, dict):
        location = str(value.get("location", ""))
        if value.get("class") in {"File", "Directory"} and location.startswith(LOCAL):
            return unquote(location.removeprefix(LOCAL))
        return {name: with_paths(item) for name, item in value.items()}
    return [with_paths(item) for item in value] if isinstance(value, list) else value


def is_attached(path: str, attachments: Path) -> bool:
    """Whether it is an attachment, by whichever name."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(attachments))
