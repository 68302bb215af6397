"""The folder that a workflow may take files from by itself: what lies outside of it only a person may name.

A workflow from elsewhere is foreign text: it must not be able to upload a key by naming it.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from wes_cli.errors import Unusable
from wes_cli.local_files import is_there, is_within

REPOSITORY = ".git"
SHOWN = 10


def workflow_folder(project: Path) -> Path:
    """The git checkout that holds the workflow's own folder, unless that is the home folder; else its own folder."""
    for folder in (project, *project.parents):
        if is_there(folder / REPOSITORY):
            return project if _holds_home(folder) else folder
    return project


def check_inside(files: Mapping[Path, Path], project: Path, allowed: Sequence[Path]) -> None:
    """`Unusable` names the files outside of the workflow's folder.

    `files`: each with the document that names it. `allowed`: what a person named. A symlink is where it leads to.
    """
    folder = workflow_folder(project)
    outside = [path for path in files if not is_within(path, allowed) and not _is_inside(path, folder)]
    if not outside:
        return
    lines = [f"  {path}{_target(path)}  (named by {files[path]})" for path in outside[:SHOWN]]
    lines += [f"  and {len(outside) - SHOWN} more"] if len(outside) > SHOWN else []
    raise Unusable(
        f"the workflow names files outside of its folder {folder}, and these are not uploaded by themselves:\n"
        + "\n".join(lines)
        + "\nif they may be sent, name them with --attach FILE, or allow all of them with --allow-outside"
    )


def _is_inside(path: Path, folder: Path) -> bool:
    real, top = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    if not real.is_relative_to(top):
        return False
    parts = real.relative_to(top).parts
    return REPOSITORY not in parts and not (_holds_home(folder) and any(part.startswith(".") for part in parts))


def _holds_home(folder: Path) -> bool:
    """Whether it is the home folder or above it."""
    return Path.home().is_relative_to(folder)


def _target(path: Path) -> str:
    real = os.path.realpath(path)
    return "" if real == str(path) else f" -> {real}"
