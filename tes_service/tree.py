"""What is in a folder, listed before anything is copied or moved: folders, files, and what to do with each symlink."""

import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Literal

from tes_service.errors import TaskFault

MOST_LEVELS = 256
"""No result of a program is deeper, and each level costs more than the last one."""
Follow = Callable[[Path], Path | None]
"""Where a symlink that leaves the folder really leads, None where it leads nowhere that counts."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`path` is relative to the listed folder. `source` is the file or folder itself; `link` a symlink's target, which
    stays in the folder. `elsewhere` tells that `source` was reached by a symlink, so that it must not be moved. `names`
    is how many names (hard links) a file has, here and elsewhere."""

    path: str
    kind: Literal["folder", "file", "link"]
    source: Path
    link: str = ""
    size: int = 0
    elsewhere: bool = False
    names: int = 1


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Parents before what is in them. `skipped`: symlinks that lead nowhere, and what is no file at all."""

    entries: tuple[Entry, ...]
    skipped: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the folder can be moved as it is."""
        return not self.skipped and not any(entry.elsewhere or entry.names > 1 for entry in self.entries)


@dataclass(frozen=True, kw_only=True)
class _Open:
    folder: Path
    path: str
    trail: tuple[Path, ...]
    elsewhere: bool


def listing(folder: Path, follow: Follow) -> Listing:
    """Symlinks that stay in the folder are kept as they are; what others lead to is listed in their place. `TaskFault`
    where it is deeper than `MOST_LEVELS`."""
    entries: list[Entry] = []
    skipped: list[str] = []
    top = Path(os.path.realpath(folder))
    todo = [_Open(folder=top, path="", trail=(top,), elsewhere=False)]
    while todo:
        here = todo.pop()
        for name in sorted(one.name for one in here.folder.iterdir()):
            entry = _entry(here, name, follow)
            if entry is None:
                skipped.append(_join(here.path, name))
                continue
            entries.append(entry)
            if entry.kind == "folder":
                if len(here.trail) > MOST_LEVELS:
                    raise TaskFault(f"{folder.name} holds folders in more than {MOST_LEVELS} levels")
                trail = (*here.trail, Path(os.path.realpath(entry.source)))
                todo.append(_Open(folder=entry.source, path=entry.path, trail=trail, elsewhere=entry.elsewhere))
    return Listing(entries=tuple(entries), skipped=tuple(skipped))


def _entry(here: _Open, name: str, follow: Follow) -> Entry | None:
    source, path = here.folder / name, _join(here.path, name)
    status = source.lstat()
    if not S_ISLNK(status.st_mode):
        return _plain(source, path, elsewhere=here.elsewhere)
    link = str(source.readlink())
    if not here.elsewhere and _stays(here, link):
        return Entry(path=path, kind="link", source=source, link=link, size=source.stat().st_size)
    target = follow(source)
    if target is None or target in here.trail:
        return None
    return _plain(target, path, elsewhere=True)


def _plain(source: Path, path: str, *, elsewhere: bool) -> Entry | None:
    status = source.lstat()
    if S_ISDIR(status.st_mode):
        return Entry(path=path, kind="folder", source=source, elsewhere=elsewhere)
    if S_ISREG(status.st_mode):
        names = status.st_nlink
        return Entry(path=path, kind="file", source=source, size=status.st_size, elsewhere=elsewhere, names=names)
    return None


def _stays(here: _Open, link: str) -> bool:
    """Whether a link still leads to the same once the folder has another name and place."""
    lexical = posixpath.normpath(_join(here.path, link))
    if link.startswith("/") or lexical.split("/")[0] == "..":
        return False
    real = Path(os.path.realpath(here.folder / link))
    return real.exists() and real.is_relative_to(here.trail[0])


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
