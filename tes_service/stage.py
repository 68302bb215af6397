"""Brings a task's inputs to where it expects them (TES 1.1.0, tesInput; acceptance: tes, 6)."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor as Pool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tes_service.copying import Copier
from tes_service.crowd import already_gathered, crowded_folders, gather, make_place
from tes_service.errors import TaskFault
from tes_service.layout import SCRATCH, Layout, declared_folders, outermost, placed_inputs, root_files
from tes_service.places import Places, Source, file_path, folder_beneath, open_source, readable
from tes_service.task import FileType, Input, TaskRequest
from tes_service.tree import listing
from wes_service.launch.identity import Identity
from wes_service.launch.sandbox import Mount


class Stop(Protocol):
    """Tells a task's thread to give up."""

    def check(self) -> None:
        """Raises `TaskStopped` once the task was told to end."""


class Fetcher(Protocol):
    def fetch(self, url: str, target: int, stop: Stop) -> None:
        """Writes what is at an http(s) URL to the open file `target`; `TaskFault` where that can't be done."""


@dataclass(frozen=True, kw_only=True)
class Staging:
    """What staging needs besides the task; one for the whole server."""

    places: Places
    identity: Identity
    fetcher: Fetcher
    pool: Pool


@contextmanager
def staged(staging: Staging, request: TaskRequest, root: Path, stop: Stop, *, anew: bool = True) -> Iterator[Layout]:
    """The layout of a task with all its inputs there; bound inputs stay open until the end. Not `anew`: an earlier
    server has put them there."""
    folders, stubs = declared_folders(request) | {SCRATCH}, root_files(request)
    writable = outermost(folders)
    copier = Copier(identity=staging.identity, places=staging.places, stop=stop.check)
    with ExitStack() as stack:
        sources = {one.path: _open(staging, one, stack) for one in request.inputs if _is_local(one)}
        in_place = {path: sources[path] for path in sources.keys() - placed_inputs(request)}
        if anew:
            _make_folders(staging.identity, root, folders, stubs)
        crowds = crowded_folders(
            path for path, one in in_place.items() if not one.is_folder and not _in(path, writable)
        )
        bound = _bound(root, in_place, crowds, copier, anew=anew)
        placed = [one for one in request.inputs if one.path not in in_place]
        if anew:
            _place_all(staging, placed, sources, root, copier, stop)
        yield Layout(
            root=root,
            writable=writable,
            stubs=stubs,
            placed=outermost([*crowds, *(one.path for one in placed if not _in(one.path, writable))]),
            bound=tuple(Mount(source=one.path, target=path, fd=one.fd) for path, one in bound.items()),
        )


def _bound(
    root: Path, in_place: dict[str, Source], crowds: tuple[str, ...], copier: Copier, *, anew: bool
) -> dict[str, Source]:
    """The inputs that are mounted each by itself: all but those of a crowd."""
    crowd = {path: source for path, source in in_place.items() if _in(path, crowds)}
    gathered = gather(root, crowd, copier) if anew else already_gathered(root, crowd)
    if anew:
        for path in crowd.keys() - gathered:
            make_place(root, path, crowd[path], copier)
    return {path: source for path, source in in_place.items() if path not in gathered}


def _is_local(one: Input) -> bool:
    return one.url is not None and file_path(one.url) is not None


def _open(staging: Staging, one: Input, stack: ExitStack) -> Source:
    source = open_source(staging.places, file_path(one.url or "") or "")
    stack.callback(os.close, source.fd)
    if source.is_folder != (one.type is FileType.DIRECTORY):
        found = "a folder" if source.is_folder else "a file"
        raise TaskFault(f"the input {one.path} is {found}, but its type is {one.type}")
    if not readable(staging.identity, source):
        raise TaskFault(f"the input {one.path} can't be read by uid {staging.identity.uid}, which tasks run as")
    return source


def _in(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _make_folders(identity: Identity, root: Path, folders: frozenset[str], stubs: tuple[str, ...]) -> None:
    for path in sorted(folders):
        with folder_beneath(root, _parts(path), identity):
            pass
    for path in stubs:
        target = root / path.lstrip("/")
        target.touch(mode=0o644)
        os.utime(target, ns=(0, 0))
        identity.own(target)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def _place_all(
    staging: Staging, inputs: list[Input], sources: dict[str, Source], root: Path, copier: Copier, stop: Stop
) -> None:
    """Folders first, as others may lie in them; then texts; all the rest at the same time."""

    def place(one: Input) -> None:
        _place(staging, one, sources.get(one.path), root, copier, stop)

    for one in sorted((one for one in inputs if one.type is FileType.DIRECTORY), key=lambda one: one.path):
        place(one)
    files = [one for one in inputs if one.type is FileType.FILE]
    for one in files:
        if one.content is not None:
            place(one)
    running = [staging.pool.submit(place, one) for one in files if one.content is None]
    problems = [problem for problem in (future.exception() for future in running) if problem is not None]
    if problems:
        raise problems[0]


def _place(staging: Staging, one: Input, source: Source | None, root: Path, copier: Copier, stop: Stop) -> None:
    stop.check()
    *above, name = _parts(one.path)
    try:
        with folder_beneath(root, tuple(above), staging.identity) as folder:
            if source is None:
                _write(staging, copier, one, (folder, name), stop)
            elif source.is_folder:
                _copy_folder(copier, source, folder, name)
            else:
                copier.copy(source.path, folder, name)
    except OSError as error:
        raise TaskFault(f"the input {one.path} could not be staged: {error.strerror}") from None


def _copy_folder(copier: Copier, source: Source, folder: int, name: str) -> None:
    found = listing(source.path, lambda link: _allowed(copier.places, link))
    if found.skipped:
        raise TaskFault(f"the input {source.path} holds {found.skipped[0]}, a symlink that leaves the allowed folders")
    inner = copier.enter(folder, name)
    try:
        copier.tree(found, inner, lambda entry, parent, leaf: copier.copy(entry.source, parent, leaf))
    finally:
        os.close(inner)


def _allowed(places: Places, link: Path) -> Path | None:
    real = Path(os.path.realpath(link))
    return real if real.exists() and places.may_read(real) else None


def _write(staging: Staging, copier: Copier, one: Input, place: tuple[int, str], stop: Stop) -> None:
    with copier.new_file(*place) as fd:
        if one.url is not None:
            staging.fetcher.fetch(one.url, fd, stop)
        else:
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write((one.content or "").encode())
