"""Brings a task's inputs to where it expects them (TES 1.1.0, tesInput; acceptance: tes, 6)."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.location import FileLocation, parse_location
from sandbox.bubblewrap import Mount
from sandbox.identity import Identity
from tes_service.access import Access, AllowedFolders, Source, folder_beneath, open_source, readable
from tes_service.copying import Copier, already_gathered, crowded_folders, gather, make_place
from tes_service.errors import TaskFault
from tes_service.input_folders import FolderInput
from tes_service.layout import SCRATCH, Layout, declared_folders, outermost, placed_inputs, root_files
from tes_service.task import FileType, Input, TaskRequest

AT_ONCE = 8
"""Inputs of one task that are copied or fetched at the same time."""


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

    allowed: AllowedFolders
    identity: Identity
    fetcher: Fetcher


@contextmanager
def staged(staging: Staging, request: TaskRequest, root: Path, stop: Stop, *, anew: bool = True) -> Iterator[Layout]:
    """The layout of a task with all its inputs there; bound inputs stay open until the end. Not `anew`: an earlier
    server has put them there."""
    folders, stubs = declared_folders(request) | {SCRATCH}, root_files(request)
    writable = outermost(folders)
    copier = Copier(identity=staging.identity, stop=stop.check)
    with ExitStack() as stack:
        inputs = _Inputs(staging=staging, access=staging.allowed.of(request.tags), copier=copier, root=root, stop=stop)
        sources = {one.path: inputs.open(one, stack) for one in request.inputs if is_local(one)}
        apart = sources.keys() - placed_inputs(request)
        # Only what nobody but the operator can exchange is mounted where it lies: a container engine mounts whatever
        # its path leads to by then.
        in_place = {path: sources[path] for path in apart if sources[path].fixed}
        linked = frozenset(path for path in apart if not _in(path, writable))
        if anew:
            _make_folders(staging.identity, root, folders, stubs)
        crowds = crowded_folders(path for path in linked if not sources[path].is_folder)
        bound = _bound(root, in_place, crowds, copier, anew=anew)
        placed = [one for one in request.inputs if one.path not in in_place]
        if anew:
            inputs.place_all(placed, sources, linked)
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


def is_local(one: Input) -> bool:
    return one.url is not None and isinstance(parse_location(one.url), FileLocation)


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


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Brings the inputs of one task into its tree at `root`."""

    staging: Staging
    access: Access
    copier: Copier
    root: Path
    stop: Stop

    def open(self, one: Input, stack: ExitStack) -> Source:
        location = parse_location(one.url or "")
        assert isinstance(location, FileLocation)  # noqa: S101 - as `is_local` has seen
        source = open_source(self.access, location.path)
        stack.callback(os.close, source.fd)
        if source.is_folder != (one.type is FileType.DIRECTORY):
            found = "a folder" if source.is_folder else "a file"
            raise TaskFault(f"the input {one.path} is {found}, but its type is {one.type}")
        if not readable(self.staging.identity, source.fd):
            uid = self.staging.identity.uid
            raise TaskFault(f"the input {one.path} can't be read by uid {uid}, which tasks run as")
        return source

    def place_all(self, inputs: list[Input], sources: Mapping[str, Source], linked: frozenset[str]) -> None:
        """Folders first, as others may lie in them; then texts; all the rest at the same time. Those of `linked` are
        mounted read-only: they need no bytes of their own."""

        def place(one: Input) -> None:
            self._place(one, sources.get(one.path), linked=one.path in linked)

        for one in sorted((one for one in inputs if one.type is FileType.DIRECTORY), key=lambda one: one.path):
            place(one)
        files = [one for one in inputs if one.type is FileType.FILE]
        for one in files:
            if one.content is not None:
                place(one)
        # A pool of its own: slow servers of one task hold up no other.
        with ThreadPoolExecutor(AT_ONCE, "stage") as pool:
            running = [pool.submit(place, one) for one in files if one.content is None]
        problems = [problem for problem in (future.exception() for future in running) if problem is not None]
        if problems:
            raise problems[0]

    def _place(self, one: Input, source: Source | None, *, linked: bool) -> None:
        self.stop.check()
        *above, name = _parts(one.path)
        try:
            with folder_beneath(self.root, tuple(above), self.staging.identity) as folder:
                if source is None:
                    self._write(one, folder, name)
                elif source.is_folder:
                    brought = FolderInput(access=self.access, copier=self.copier, source=source, linked=linked)
                    brought.bring(folder, name)
                elif linked:
                    self.copier.link_or_copy(source.fd, folder, name)
                else:
                    self.copier.copy(source.fd, folder, name)
        except OSError as error:
            raise TaskFault(f"the input {one.path} could not be staged: {error.strerror}") from None

    def _write(self, one: Input, folder: int, name: str) -> None:
        with self.copier.new_file(folder, name) as fd:
            if one.url is not None:
                self.staging.fetcher.fetch(one.url, fd, self.stop)
            else:
                with os.fdopen(fd, "wb", closefd=False) as file:
                    file.write((one.content or "").encode())
