"""Which files are a task's outputs: folders, wildcards (TES 1.1.0, tesOutput path_prefix), and where they go."""

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Literal

from tes_service.errors import TaskFault
from tes_service.folder_access import AllowedFolder, FolderAccess
from tes_service.layout import Layout
from tes_service.task_request import WILDCARD, is_beneath, normal_path

MOST_LINKS = 40


@dataclass(frozen=True, kw_only=True)
class ResolvedPath:
    """`inside`: it lies where only the task wrote (not in an input), so that it may be moved."""

    path: Path
    inside: bool


def results_of(layout: Layout) -> FolderAccess:
    """Where the results of a task may come from: its own tree, and inputs that are mounted in place."""
    root = layout.root.resolve()
    inputs = [AllowedFolder(path=one.source, trusted=one.source, fd=one.fd) for one in layout.bound]
    return FolderAccess(folders=(AllowedFolder(path=root, trusted=root, also=layout.root.absolute()), *inputs))


def locate(layout: Layout, path: str) -> ResolvedPath | None:
    """None where there is nothing, or a symlink leads out of what belongs to the task."""
    todo = [part for part in path.split("/") if part]
    here, links = "/", 0
    while todo:
        part = todo.pop(0)
        here = normal_path(f"{here}/{part}")
        host = _host(layout, here).path
        if not host.is_symlink() or any(one.target == here for one in layout.bound):
            continue
        links += 1
        if links > MOST_LINKS:
            return None
        target = _as_seen_inside(layout, str(host.readlink()))
        todo = [one for one in target.split("/") if one] + todo
        here = "/" if target.startswith("/") else normal_path(f"{here}/..")
        while todo and todo[0] == "..":
            todo.pop(0)
            here = normal_path(f"{here}/..")
    found = _host(layout, here)
    return found if os.path.lexists(found.path) else None


def inside_path(layout: Layout, host: Path) -> str | None:
    """The task's own path of a host path, None where it has none."""
    if host.is_relative_to(layout.root):
        return "/" + str(host.relative_to(layout.root))
    for mount in layout.bound:
        if host.is_relative_to(mount.source):
            return normal_path(f"{mount.target}/{host.relative_to(mount.source)}")
    return None


def _host(layout: Layout, path: str) -> ResolvedPath:
    for mount in layout.bound:
        if is_beneath(path, mount.target):
            rest = path[len(mount.target) :].lstrip("/")
            return ResolvedPath(path=mount.source / rest, inside=False)
    own = any(is_beneath(path, folder) for folder in (*layout.writable, *layout.stubs))
    return ResolvedPath(path=layout.host(path), inside=own)


def _as_seen_inside(layout: Layout, target: str) -> str:
    """Without a sandbox, tasks see host paths and write them into symlinks."""
    if not target.startswith("/"):
        return target
    return inside_path(layout, Path(target)) or target


MOST_LEVELS = 256
"""No result of a program is deeper, and each level costs more than the last one."""
MOST_ENTRIES = 1_000_000
"""A few symlinks that lead to each other's folders hold as many as one likes."""
Follow = Callable[[Path], Path | None]
"""Where a symlink that leaves the folder really leads, None where it leads nowhere that counts."""


@dataclass(frozen=True, kw_only=True)
class TreeEntry:
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
class FolderListing:
    """Parents before what is in them. `skipped`: symlinks that lead nowhere, and what is no file at all."""

    entries: tuple[TreeEntry, ...]
    skipped: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the folder can be moved as it is."""
        return not self.skipped and not any(entry.elsewhere or entry.names > 1 for entry in self.entries)


@dataclass(frozen=True, kw_only=True)
class _OpenFolder:
    folder: Path
    path: str
    trail: tuple[Path, ...]
    elsewhere: bool


def listing(folder: Path, follow: Follow, *, links: bool = True) -> FolderListing:
    """Symlinks that stay in the folder are kept as they are, unless it is to have no `links`; what others lead to is
    listed in their place. `TaskFault` where it is deeper than `MOST_LEVELS`, or has more than `MOST_ENTRIES`."""
    entries: list[TreeEntry] = []
    skipped: list[str] = []
    top = Path(os.path.realpath(folder))
    todo = [_OpenFolder(folder=top, path="", trail=(top,), elsewhere=False)]
    while todo:
        here = todo.pop()
        for name in sorted(one.name for one in here.folder.iterdir()):
            entry = _entry(here, name, follow, links=links)
            if entry is None:
                skipped.append(_join(here.path, name))
                continue
            entries.append(entry)
            _refuse_endless(folder.name, len(here.trail), len(entries))
            if entry.kind == "folder":
                trail = (*here.trail, Path(os.path.realpath(entry.source)))
                todo.append(_OpenFolder(folder=entry.source, path=entry.path, trail=trail, elsewhere=entry.elsewhere))
    return FolderListing(entries=tuple(entries), skipped=tuple(skipped))


def _refuse_endless(name: str, levels: int, entries: int) -> None:
    if levels > MOST_LEVELS:
        raise TaskFault(f"{name} holds folders in more than {MOST_LEVELS} levels")
    if entries > MOST_ENTRIES:
        raise TaskFault(f"{name} holds more than {MOST_ENTRIES} files, those behind symlinks included")


def _entry(here: _OpenFolder, name: str, follow: Follow, *, links: bool) -> TreeEntry | None:
    source, path = here.folder / name, _join(here.path, name)
    status = source.lstat()
    if not S_ISLNK(status.st_mode):
        return _plain(source, path, elsewhere=here.elsewhere)
    link = str(source.readlink())
    if links and not here.elsewhere and _stays(here, link):
        return TreeEntry(path=path, kind="link", source=source, link=link, size=source.stat().st_size)
    target = follow(source)
    if target is None or target in here.trail:
        return None
    return _plain(target, path, elsewhere=True)


def _plain(source: Path, path: str, *, elsewhere: bool) -> TreeEntry | None:
    status = source.lstat()
    if S_ISDIR(status.st_mode):
        return TreeEntry(path=path, kind="folder", source=source, elsewhere=elsewhere)
    if S_ISREG(status.st_mode):
        names = status.st_nlink
        return TreeEntry(path=path, kind="file", source=source, size=status.st_size, elsewhere=elsewhere, names=names)
    return None


def _stays(here: _OpenFolder, link: str) -> bool:
    """Whether a link still leads to the same once the folder has another name and place."""
    lexical = posixpath.normpath(_join(here.path, link))
    if link.startswith("/") or lexical.split("/")[0] == "..":
        return False
    real = Path(os.path.realpath(here.folder / link))
    return real.exists() and real.is_relative_to(here.trail[0])


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


ESCAPED = re.compile(r"\\(.)")
UNESCAPED = r"\1"


def matches(layout: Layout, pattern: str) -> Iterator[tuple[str, ResolvedPath]]:
    """The task's paths that match, sorted, and what they are."""
    yield from _below(layout, "", [part for part in pattern.split("/") if part])


def _below(layout: Layout, path: str, parts: list[str]) -> Iterator[tuple[str, ResolvedPath]]:
    found = locate(layout, path or "/")
    if found is None:
        return
    if not parts:
        yield path, found
        return
    first, *rest = parts
    if not WILDCARD.search(first):
        yield from _below(layout, f"{path}/{ESCAPED.sub(UNESCAPED, first)}", rest)
        return
    if found.path.is_dir():
        regex = expression(first)
        for name in sorted(one.name for one in found.path.iterdir()):
            if regex.fullmatch(name) and (first[0] == "." or name[0] != "."):
                yield from _below(layout, f"{path}/{name}", rest)


def expression(pattern: str) -> re.Pattern[str]:
    """One part of a pattern as a regular expression.

    What lies between two `*` is taken where it comes first, once and for all (an atomic group): that is enough, and
    else a name that does not match would be tried in as many ways as there are to place them all.
    """
    pieces = re.findall(r"\\.|\[!?\]?[^]]*\]|.", pattern, re.DOTALL)
    stretches = [""]
    for piece in pieces:
        if piece == "*":
            stretches.append("")
        else:
            stretches[-1] += _piece(piece)
    first, *rest = stretches
    middle = "".join(f"(?>.*?{stretch})" for stretch in rest[:-1] if stretch)
    return re.compile(first + middle + (f".*{rest[-1]}" if rest else ""), re.DOTALL)


def _piece(piece: str) -> str:
    if piece == "?":
        return "."
    if len(piece) > 2 and piece[0] == "[":
        inner = re.sub(r"([\\\[^&~|])", r"\\\1", piece[1:-1].removeprefix("!"))
        return f"[{'^' if piece[1] == '!' else ''}{inner}]"
    return re.escape(piece[-1])
