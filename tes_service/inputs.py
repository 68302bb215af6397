"""Brings a task's inputs to where it expects them (TES 1.1.0, tesInput; acceptance: tes, 6)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Protocol

from common.location import FileLocation, parse_location
from sandbox.bubblewrap import Mount
from sandbox.foreign_files import folder_beneath
from sandbox.identity import Identity
from tes.task import TesInput
from tes_service.copying import Copier, already_linked, beneath, link_all, make_mount_point, shared_mounts
from tes_service.errors import TaskFault
from tes_service.folder_access import (
    PATH_ONLY,
    AllowedFolders,
    FolderAccess,
    OpenedSource,
    OutsideFault,
    open_source,
    readable,
)
from tes_service.layout import SCRATCH, Layout, declared_folders, outermost, placed_inputs, root_files
from tes_service.processes import StopSignal
from tes_service.remote_files import MissingFault, RemoteFile
from tes_service.task_request import TaskRequest, is_directory
from tes_service.transfers import each_at_once

AT_ONCE = 8
"""Inputs of one task that are copied or fetched at the same time."""


class InputFetcher(Protocol):
    """How inputs that are not files of this machine are had, by their URLs."""

    def bring(self, url: str, folder: int, name: str, stop: StopSignal, *, read_only: bool) -> None:
        """What is there as `name` in the open `folder`, which is the task's own unless it is `read_only`, so that the
        task can't write to it. `TaskFault`, a `MissingFault` where there is none, or OSError."""

    def files(self, url: str, stop: StopSignal) -> Sequence[RemoteFile]:
        """All beneath it, at least one; `TaskFault`."""


@dataclass(frozen=True, kw_only=True)
class StagingContext:
    """What staging needs besides the task; one for the whole server."""

    allowed: AllowedFolders
    identity: Identity
    fetcher: InputFetcher


@contextmanager
def staged(
    staging: StagingContext, request: TaskRequest, root: Path, stop: StopSignal, *, anew: bool = True
) -> Iterator[Layout]:
    """The layout of a task with all its inputs there; bound inputs stay open until the end. Not `anew`: an earlier
    server has put them there."""
    folders, stubs = declared_folders(request) | {SCRATCH}, root_files(request)
    writable = outermost(folders)
    copier = Copier(identity=staging.identity, stop=stop.check)
    with ExitStack() as stack:
        inputs = _Inputs(
            staging=staging,
            access=staging.allowed.of(request.tags),
            copier=copier,
            root=root,
            writable=writable,
            stop=stop,
        )
        sources = {one["path"]: inputs.open(one, stack) for one in request.inputs if is_local(one)}
        apart = sources.keys() - placed_inputs(request)
        # Only what nobody but the operator can exchange is mounted where it lies: a container engine mounts whatever
        # its path leads to by then.
        in_place = {path: sources[path] for path in apart if sources[path].fixed}
        linked = frozenset(path for path in apart if not _in(path, writable))
        if anew:
            _make_folders(staging.identity, root, folders, stubs)
        shared = shared_mounts(path for path in linked if not sources[path].is_folder)
        bound = _bound(root, in_place, shared, copier, anew=anew)
        placed = [one for one in request.inputs if one["path"] not in in_place]
        if anew:
            inputs.place_all(placed, sources, linked)
        yield Layout(
            root=root,
            writable=writable,
            stubs=stubs,
            placed=outermost([*shared, *(one["path"] for one in placed if not _in(one["path"], writable))]),
            bound=tuple(Mount(source=one.path, target=path, fd=one.fd) for path, one in bound.items()),
        )


def _bound(
    root: Path, in_place: dict[str, OpenedSource], shared: tuple[str, ...], copier: Copier, *, anew: bool
) -> dict[str, OpenedSource]:
    """The inputs that are mounted each by itself: all but those in a folder of `shared`."""
    in_shared = {path: source for path, source in in_place.items() if _in(path, shared)}
    present = link_all(root, in_shared, copier) if anew else already_linked(root, in_shared)
    if anew:
        for path in in_shared.keys() - present:
            make_mount_point(root, path, in_shared[path], copier)
    return {path: source for path, source in in_place.items() if path not in present}


def is_local(one: TesInput) -> bool:
    """Whether its URL names a file or folder of this machine."""
    url = one.get("url")
    return bool(url) and isinstance(parse_location(url or ""), FileLocation)


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

    staging: StagingContext
    access: FolderAccess
    copier: Copier
    root: Path
    writable: tuple[str, ...]
    stop: StopSignal

    def open(self, one: TesInput, stack: ExitStack) -> OpenedSource:
        location = parse_location(one.get("url") or "")
        assert isinstance(location, FileLocation)  # noqa: S101 - as `is_local` has seen
        source = open_source(self.access, location.path)
        stack.callback(os.close, source.fd)
        if source.is_folder != is_directory(one):
            found = "a folder" if source.is_folder else "a file"
            raise TaskFault(f"the input {one['path']} is {found}, but its type is {one['type']}")
        if not readable(self.staging.identity, source.fd):
            uid = self.staging.identity.uid
            raise TaskFault(f"the input {one['path']} can't be read by uid {uid}, which tasks run as")
        return source

    def place_all(self, inputs: list[TesInput], sources: Mapping[str, OpenedSource], linked: frozenset[str]) -> None:
        """Folders first, as others may lie in them; then texts; all the rest at the same time. Those of `linked` are
        mounted read-only: they need no bytes of their own."""

        def place(one: TesInput) -> None:
            self._place(one, sources.get(one["path"]), linked=one["path"] in linked)

        for one in sorted((one for one in inputs if is_directory(one)), key=lambda one: one["path"]):
            if one["path"] in sources:
                place(one)
        files = [one for one in inputs if not is_directory(one)]
        for one in files:
            if "content" in one:
                place(one)
        remote = (one for one in inputs if is_directory(one) and one["path"] not in sources)
        rest = [partial(place, one) for one in files if "content" not in one]
        beneath_remote = chain.from_iterable(self._beneath(one) for one in remote)
        each_at_once(chain[Callable[[], None]](rest, beneath_remote), _do, AT_ONCE)

    def _beneath(self, folder: TesInput) -> Iterator[Callable[[], None]]:
        """What brings each file of a folder on another server."""
        self._bring(folder["path"], lambda parent, name: os.close(self.copier.enter(parent, name)))
        for file in self.staging.fetcher.files(folder.get("url") or "", self.stop):
            path = f"{folder['path']}/{_safe_path(folder['path'], file)}"
            yield partial(self._bring, path, partial(self._fetched_file, file, self._is_read_only(path)))

    def _place(self, one: TesInput, source: OpenedSource | None, *, linked: bool) -> None:
        self._bring(one["path"], partial(self._placed, one, source, linked))

    def _bring(self, path: str, write: Callable[[int, str], None]) -> None:
        """Calls `write` with the open folder, and the name in it, of a container path."""
        self.stop.check()
        *above, name = _parts(path)
        try:
            with folder_beneath(self.root, tuple(above), self.staging.identity) as folder:
                write(folder, name)
        except OSError as error:
            raise TaskFault(f"the input {path} could not be staged: {error.strerror}") from None

    def _placed(self, one: TesInput, source: OpenedSource | None, linked: bool, folder: int, name: str) -> None:
        if source is None:
            self._write(one, folder, name)
        elif source.is_folder:
            FolderInput(access=self.access, copier=self.copier, source=source, linked=linked).bring(folder, name)
        elif linked:
            self.copier.link_or_copy(source.fd, folder, name)
        else:
            self.copier.copy(source.fd, folder, name)

    def _write(self, one: TesInput, folder: int, name: str) -> None:
        if url := one.get("url"):
            self.staging.fetcher.bring(url, folder, name, self.stop, read_only=self._is_read_only(one["path"]))
            return
        with self.copier.new_file(folder, name) as fd, os.fdopen(fd, "wb", closefd=False) as file:
            file.write((one.get("content") or "").encode())

    def _is_read_only(self, path: str) -> bool:
        return not _in(path, self.writable)

    def _fetched_file(self, file: RemoteFile, read_only: bool, folder: int, name: str) -> None:
        try:
            self.staging.fetcher.bring(file.url, folder, name, self.stop, read_only=read_only)
        except MissingFault:
            if file.size:
                raise
            # An empty folder, in a store that keeps one as an object with another name.
            os.close(self.copier.enter(folder, name))


def _do(job: Callable[[], None]) -> None:
    job()


def _safe_path(folder: str, file: RemoteFile) -> str:
    """The path of a file relative to its folder. Another server tells it: it must not lead elsewhere."""
    if any(part in {"", ".", ".."} for part in file.path.split("/")) or "\0" in file.path:
        raise TaskFault(f"the input {folder} holds {file.path!r}, which is no name of a file")
    return file.path


@dataclass(frozen=True, kw_only=True)
class _Subfolder:
    """A folder of what is brought: `below` the opened `source`, and `target` in the new folder.

    `above`: the folders (device, inode) that lead to it, as a symlink among them may lead back.
    """

    source: OpenedSource
    below: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    above: frozenset[tuple[int, int]] = frozenset()

    def path(self, name: str) -> Path:
        return self.source.path.joinpath(*self.below, name)


@dataclass(frozen=True, kw_only=True)
class FolderInput:
    """`linked`: files are other names of the same ones, and symlinks stay as they are, as in a folder that is mounted.
    Otherwise files are copies, and what a symlink out of the folder leads to is in its place."""

    access: FolderAccess
    copier: Copier
    source: OpenedSource
    linked: bool
    _stack: ExitStack = field(default_factory=ExitStack)

    def bring(self, folder: int, name: str) -> None:
        """As `name` in the open `folder`. `TaskFault`, or OSError."""
        top = self.copier.enter(folder, name)
        with self._stack:
            self._stack.callback(os.close, top)
            todo = [_Subfolder(source=self.source)]
            while todo:
                todo += self._one(todo.pop(), top)

    def _one(self, part: _Subfolder, top: int) -> list[_Subfolder]:
        """Everything in one folder but for what is in its folders, which are returned."""
        with beneath(part.source.fd, part.below) as reader, beneath(top, part.target) as writer:
            status = os.fstat(reader)
            above = part.above | {(status.st_dev, status.st_ino)}
            with os.scandir(reader) as entries:
                names = sorted(entry.name for entry in entries)
            return [inner for name in names for inner in self._entry(part, above, name, reader, writer)]

    def _entry(
        self, part: _Subfolder, above: frozenset[tuple[int, int]], name: str, reader: int, writer: int
    ) -> Iterator[_Subfolder]:
        self.copier.stop()
        fd = os.open(name, PATH_ONLY, dir_fd=reader)
        try:
            mode = os.fstat(fd).st_mode
            if S_ISDIR(mode):
                os.close(self.copier.enter(writer, name))
                yield _Subfolder(
                    source=part.source, below=(*part.below, name), target=(*part.target, name), above=above
                )
            elif S_ISREG(mode):
                self._file(fd, writer, name)
            elif S_ISLNK(mode):
                yield from self._symlink(part, above, name, os.readlink("", dir_fd=fd), writer)
        finally:
            os.close(fd)

    def _file(self, fd: int, writer: int, name: str) -> None:
        if self.linked and self.copier.link(fd, writer, name):
            return
        if not readable(self.copier.identity, fd):
            problem = f"holds {name}, which uid {self.copier.identity.uid}, which tasks run as, can't read"
            raise TaskFault(f"the input {self.source.path} {problem}")
        self.copier.copy(fd, writer, name)

    def _symlink(
        self, part: _Subfolder, above: frozenset[tuple[int, int]], name: str, text: str, writer: int
    ) -> Iterator[_Subfolder]:
        if self.linked or self._stays(part, text):
            self.copier.symlink(text, writer, name)
            return
        with ExitStack() as until_here:
            found = self._followed(part, name)
            until_here.callback(os.close, found.fd)
            status = os.fstat(found.fd)
            if not found.is_folder:
                self._file(found.fd, writer, name)
                return
            if (status.st_dev, status.st_ino) in above:
                problem = f"holds {_path_in(part, name)}, a symlink to a folder that holds it"
                raise TaskFault(f"the input {self.source.path} {problem}")
            os.close(self.copier.enter(writer, name))
            self._stack.push(until_here.pop_all())
        yield _Subfolder(source=found, target=(*part.target, name), above=above)

    def _stays(self, part: _Subfolder, text: str) -> bool:
        """Whether a symlink of the input itself means the same in its new place; what is copied from elsewhere has
        none that do."""
        folder = str(self.source.path)
        lexical = os.path.normpath(part.path("").joinpath(text))
        return part.source is self.source and not text.startswith("/") and lexical.startswith(f"{folder}/")

    def _followed(self, part: _Subfolder, name: str) -> OpenedSource:
        problem = (
            f"the input {self.source.path} holds {_path_in(part, name)}, a symlink that leaves the allowed folders"
        )
        try:
            return open_source(self.access, part.path(name))
        except OutsideFault:
            raise TaskFault(problem) from None
        except TaskFault as fault:
            raise TaskFault(f"{problem} or leads nowhere ({fault})") from None


def _path_in(part: _Subfolder, name: str) -> str:
    return "/".join((*part.target, name))
