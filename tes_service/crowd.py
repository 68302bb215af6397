"""Many inputs of one task: bubblewrap needs a time for its mounts that grows with their square (2000 take 20 s), so
that a crowd of files is linked into one folder, which is then mounted as a whole, read-only."""

import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tes_service.access import Source, folder_beneath
from tes_service.copying import Copier
from tes_service.layout import parent

CROWD = 100
COPIED_BYTES = 16 * 1024**2
"""A file that can't be linked, as it is on another file system, is copied up to this size, and mounted above."""


def crowded_folders(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders that hold, somewhere below, more than `CROWD` of the paths; never `/`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[path.split("/")[1]].append(parent(path))
    crowds = (posixpath.commonpath(group) for group in groups.values() if len(group) > CROWD)
    return tuple(folder for folder in crowds if folder != "/")


def gather(root: Path, sources: Mapping[str, Source], copier: Copier) -> set[str]:
    """Brings files into the tree without their bytes, where that is possible; the paths of those for which it is."""
    return {path for path, source in sources.items() if not source.is_folder and _gathered(root, path, source, copier)}


def already_gathered(root: Path, sources: Mapping[str, Source]) -> set[str]:
    """The same of an earlier server: what has the size of its source is no placeholder."""
    found = set()
    for path, source in sources.items():
        with suppress(OSError):
            status = (root / path.lstrip("/")).lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size == source.size:
                found.add(path)
    return found


def _gathered(root: Path, path: str, source: Source, copier: Copier) -> bool:
    copier.stop()
    *above, name = path.strip("/").split("/")
    with folder_beneath(root, tuple(above), copier.identity) as folder:
        if copier.link(source.fd, folder, name):
            return True
        if source.size > COPIED_BYTES:
            return False
        copier.copy(source.fd, folder, name)
    return True


def make_place(root: Path, path: str, source: Source, copier: Copier) -> None:
    """Something to mount on, in a folder that is itself mounted read-only."""
    *above, name = path.strip("/").split("/")
    with folder_beneath(root, tuple(above), copier.identity) as folder:
        if source.is_folder:
            os.close(copier.enter(folder, name))
        else:
            with copier.new_file(folder, name):
                pass
