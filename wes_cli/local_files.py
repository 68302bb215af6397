"""Files and folders of the user's machine: whether they are there, what is in them, and what lies beside them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from wes_service.languages.references import secondary_name

MAX_FILES = 10_000
NEVER_ATTACHED = (".git", ".hg", ".svn", ".snakemake", ".nextflow", ".nextflow.log*", "__pycache__")
"""What tools keep beside a workflow for themselves."""


def absolute(path: Path) -> Path:
    """Absolute and without `..`, but a symlink keeps its own name: engines go by the name."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow symlinks


def is_file(path: Path) -> bool:
    """Whether there is such a file; False too for a name that is no path, or that may not be looked at."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """The same for a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether it is a file or a folder."""
    return is_file(path) or is_folder(path)


def files_of(path: Path, leave_out: Sequence[str] = ()) -> Iterator[Path]:
    """The file itself, or every file below the folder, in a stable order; nothing where there is neither.

    `leave_out`: patterns of names of files and folders in it that are passed over.
    """
    if is_file(path):
        yield path
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not _fits(name, leave_out))
        kept = (Path(folder) / name for name in sorted(names) if not _fits(name, leave_out))
        yield from (file for file in kept if is_file(file))


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files below the folder that a glob names, the first 10,000; `**.txt` means any folder below, as elsewhere."""
    pattern = re.sub(r"\*\*(?=[^/])", "**/*", pattern)
    try:
        return sorted(islice((path for path in folder.glob(pattern) if is_file(path)), MAX_FILES))
    except (OSError, ValueError, NotImplementedError):
        return []


def is_within(path: Path, folders: Sequence[Path]) -> bool:
    """Whether the path lies in one of the folders."""
    return any(path.is_relative_to(folder) for folder in folders)


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that holds all the paths."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def secondary_file(path: Path, pattern: str) -> Path | None:
    """The file beside `path` that a pattern names; None where it would not be beside it."""
    name = secondary_name(path.name, pattern)
    return path.parent / name if name and "/" not in name and name not in {".", ".."} else None


def similar_name(path: Path) -> str:
    """The name of a file beside it that may have been meant; empty where there is none."""
    try:
        names = [each.name for each in islice(path.parent.iterdir(), MAX_FILES)]
    except (OSError, ValueError):
        return ""
    return next(iter(get_close_matches(path.name, names, n=1, cutoff=0.6)), "")


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
