"""Where a task's inputs lie in its container (WDL 1.1, Task Input Localization)."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from engines.kit.files import is_remote

INPUTS = "/mnt/wes/wdl/inputs"
"""Beside the working directory, not in it: what is in there is brought back as output."""
WRITTEN_FILES = "write_"
"""The folder into which miniwdl writes what `write_lines()` and the like make, under random names."""


def localized(paths: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Container paths by paths and URLs: the `known` ones, and new ones for the others.

    Folders have a `/` at the end, on both sides. Files that lie in the same folder get into the same one, and all of
    them into one as long as their names differ, as an index is looked for beside its file. A run that is started again
    gets the same paths.
    """
    targets = dict(known)
    taken = set(targets.values())
    number = max((int(target.removeprefix(INPUTS + "/").partition("/")[0]) for target in taken), default=0)
    for group in _by_folder(path for path in paths if path not in targets):
        group_targets = {path: f"{INPUTS}/0/{name}" for name, path in group.items()}
        if taken.intersection(group_targets.values()):
            number += 1
            group_targets = {path: f"{INPUTS}/{number}/{name}" for name, path in group.items()}
        targets |= group_targets
        taken.update(group_targets.values())
    return targets


def _by_folder(paths: Iterable[str]) -> Iterator[dict[str, str]]:
    """Paths by name, of files that lie in one folder, links followed; two of the same name are in different groups."""
    groups: dict[str, list[dict[str, str]]] = {}
    for path in sorted(set(paths), key=_order):
        folder = path.rpartition("/")[0] if is_remote(path) else str(Path(os.path.realpath(path)).parent)
        name = _name(path)
        fitting = groups.setdefault(folder, [])
        group = next((each for each in fitting if name not in each), None)
        if group is None:
            fitting.append({name: path})
        else:
            group[name] = path
    for fitting in groups.values():
        yield from fitting


def _order(path: str) -> tuple[bool, str]:
    # By what is made last, as its path is random, and its name is not.
    written = _is_written_file(path)
    return written, _name(path) if written else path


def _name(path: str) -> str:
    end = "/" if path.endswith("/") else ""
    if _is_written_file(path):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] + Path(path).suffix
    return os.path.basename(path.rstrip("/")) + end  # noqa: PTH119 - of a URL too


def _is_written_file(path: str) -> bool:
    return not is_remote(path) and Path(path).parent.name == WRITTEN_FILES and Path(path).is_file()


def identity(path: str) -> str:
    """What stands for the content of a path in the step's key."""
    if is_remote(path):
        return path
    if _is_written_file(path):
        return _name(path)
    real = Path(os.path.realpath(path))
    return str(real) if path.endswith("/") else f"{real}:{real.stat().st_size}"
