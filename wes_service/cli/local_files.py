"""Paths on this machine, as an upload sees them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def absolute(path: Path) -> Path:
    """Absolute and without `..`, but a symlink keeps its own name: engines go by the name."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow symlinks


def files_of(path: Path) -> Iterator[Path]:
    """The file itself, or every file below the folder, in a stable order; nothing where there is neither."""
    if path.is_file():
        yield path
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (file for name in sorted(names) if (file := Path(folder) / name).is_file())


def is_within(path: Path, folders: Sequence[Path]) -> bool:
    """Whether the path lies in one of the folders."""
    return any(path.is_relative_to(folder) for folder in folders)
