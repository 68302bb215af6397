"""Gives each local file its attachment name, relative and without `..`; relative references still resolve. Pure."""

import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path, PurePosixPath

INPUTS = "inputs"


def attachment_names(workflow: Iterable[Path], data: Iterable[Path]) -> dict[Path, str]:
    """Absolute paths to attachment names.

    Files of the workflow are named from their common folder on. Data in that folder keeps its place there; other data
    goes below `inputs/`, named from its own common folder, as params name it by location and so can follow it.
    """
    documents, others = list(dict.fromkeys(workflow)), list(dict.fromkeys(data))
    if not documents and not others:
        return {}
    root = common_folder(documents or others)
    names = {path: path.relative_to(root).as_posix() for path in documents}
    outside: list[Path] = []
    for path in others:
        if path in names:
            continue
        if path.is_relative_to(root):
            names[path] = path.relative_to(root).as_posix()
        else:
            outside.append(path)
    if outside:
        folder, base = _free_folder(names.values()), common_folder(outside)
        names |= {path: f"{folder}/{path.relative_to(base).as_posix()}" for path in outside}
    return names


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all the paths."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def _free_folder(taken: Iterable[str]) -> str:
    tops = {PurePosixPath(name).parts[0] for name in taken}
    if INPUTS not in tops:
        return INPUTS
    return next(name for number in count(2) if (name := f"{INPUTS}-{number}") not in tops)
