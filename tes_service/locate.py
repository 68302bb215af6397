"""Finds what a task sees at one of its own paths, following symlinks as the task would, inside."""

import os
from dataclasses import dataclass
from pathlib import Path

from tes_service.access import Access, Folder
from tes_service.layout import Layout
from tes_service.task import is_beneath, normal

MOST_LINKS = 40


@dataclass(frozen=True, kw_only=True)
class Located:
    """`inside`: it lies where only the task wrote (not in an input), so that it may be moved."""

    path: Path
    inside: bool


def results_of(layout: Layout) -> Access:
    """Where the results of a task may come from: its own tree, and inputs that are mounted in place."""
    root = layout.root.resolve()
    inputs = [Folder(path=one.source, trusted=one.source, fd=one.fd) for one in layout.bound]
    return Access(folders=(Folder(path=root, trusted=root, also=layout.root.absolute()), *inputs))


def locate(layout: Layout, path: str) -> Located | None:
    """None where there is nothing, or a symlink leads out of what belongs to the task."""
    todo = [part for part in path.split("/") if part]
    here, links = "/", 0
    while todo:
        part = todo.pop(0)
        here = normal(f"{here}/{part}")
        host = _host(layout, here).path
        if not host.is_symlink() or any(one.target == here for one in layout.bound):
            continue
        links += 1
        if links > MOST_LINKS:
            return None
        target = _as_seen_inside(layout, str(host.readlink()))
        todo = [one for one in target.split("/") if one] + todo
        here = "/" if target.startswith("/") else normal(f"{here}/..")
        while todo and todo[0] == "..":
            todo.pop(0)
            here = normal(f"{here}/..")
    found = _host(layout, here)
    return found if os.path.lexists(found.path) else None


def inside_path(layout: Layout, host: Path) -> str | None:
    """The task's own path of a host path, None where it has none."""
    if host.is_relative_to(layout.root):
        return "/" + str(host.relative_to(layout.root))
    for mount in layout.bound:
        if host.is_relative_to(mount.source):
            return normal(f"{mount.target}/{host.relative_to(mount.source)}")
    return None


def _host(layout: Layout, path: str) -> Located:
    for mount in layout.bound:
        if is_beneath(path, mount.target):
            rest = path[len(mount.target) :].lstrip("/")
            return Located(path=mount.source / rest, inside=False)
    own = any(is_beneath(path, folder) for folder in (*layout.writable, *layout.stubs))
    return Located(path=layout.host(path), inside=own)


def _as_seen_inside(layout: Layout, target: str) -> str:
    """Without a sandbox, tasks see host paths and write them into symlinks."""
    if not target.startswith("/"):
        return target
    return inside_path(layout, Path(target)) or target
