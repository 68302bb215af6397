"""Brings a task's outputs to where they were asked for (TES 1.1.0, tesOutput; acceptance: tes, 6).

A file appears at its destination whole or not at all: it is moved there, or copied under another name and renamed.
A task that writes to where it reads can't be run a second time: what it left gets a second name in place of a new one,
so that all of it can be delivered again after a server that was ended meanwhile.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from common.location import FileLocation, parse_location
from sandbox.identity import Identity
from tes_service.copying import Copier
from tes_service.errors import TaskFault
from tes_service.folder_access import AllowedFolders, FolderAccess, opened_for_writing, opened_path, opened_source
from tes_service.layout import Layout, declared_folders
from tes_service.output_paths import FolderListing, TreeEntry, results_of
from tes_service.output_selection import Deliverable, Delivered, OutputFolder, regular_file, select
from tes_service.processes import StopSignal
from tes_service.task_log import OutputLog
from tes_service.task_request import TaskRequest, writes_where_it_reads
from tes_service.uploads import OutputStorage, Uploads, is_remote


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """`missing`: plain outputs that are not there. `notes`: lines for the system log."""

    files: tuple[OutputLog, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OutputDelivery:
    """What delivering needs besides the task; one for the whole server."""

    allowed: AllowedFolders
    identity: Identity
    storage: OutputStorage

    def deliver(self, request: TaskRequest, layout: Layout, stop: StopSignal) -> DeliveryResult:
        """`TaskFault` where a destination can't be written."""
        items, missing = select(request, layout)
        named = declared_folders(request) | {one["path"] for one in request.inputs}
        # What goes to other servers goes first, as what stays here may be moved.
        remote = [item for item in items if is_remote(item.url)]
        done = Uploads(storage=self.storage, layout=layout, named=named, stop=stop).deliver(remote)
        local = [item for item in items if not is_remote(item.url)]
        kept = writes_where_it_reads(request)
        for index, last in in_order([item.found.path for item in local]):
            one = _OutputTransfer(
                item=local[index],
                layout=layout,
                named=named,
                access=self.allowed.of(request.tags),
                results=results_of(layout),
                copier=Copier(identity=self.identity, stop=stop.check),
                last=last,
                kept=kept,
            )
            done[local[index]] = one.deliver()
        return DeliveryResult(
            files=tuple(file for item in items for file in done[item].files),
            missing=tuple(missing),
            notes=tuple(note for item in items for note in done[item].notes),
        )


def in_order(paths: list[Path]) -> list[tuple[int, bool]]:
    """The order in which outputs at these paths are delivered, and whether each may be moved, as nothing after it needs
    any of it: what lies in another one (the log of a tool in its working directory) goes first, so that the large
    folder itself need not be copied."""
    order = sorted(range(len(paths)), key=lambda index: -len(paths[index].parts))
    found: list[tuple[int, bool]] = []
    later: set[Path] = set()
    for index in reversed(order):
        # Nothing that comes later is deeper, so what shares anything with this one is it, or a folder above it.
        found.append((index, later.isdisjoint((paths[index], *paths[index].parents))))
        later.add(paths[index])
    return found[::-1]


@dataclass(frozen=True, kw_only=True)
class _OutputTransfer:
    """The delivery of one item. `last`: no other output wants any of it after this, so that it may be moved. `kept`: it
    stays in the task all the same, and what has been delivered is left as it is. `results` is where its bytes may come
    from, `access` where they may go. `named`: what the task itself calls an input, output or volume."""

    item: Deliverable
    layout: Layout
    named: frozenset[str]
    access: FolderAccess
    results: FolderAccess
    copier: Copier
    last: bool
    kept: bool

    def deliver(self) -> Delivered:
        location = parse_location(self.item.url)
        assert isinstance(location, FileLocation)  # noqa: S101 - the others are uploaded
        target, name = location.path, location.path.name
        try:
            with destination(self.access, target.parent, self.copier) as folder:
                return self._folder(folder, name) if self.item.found.path.is_dir() else self._file(folder, name)
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            raise TaskFault(f"the output {self.item.path} could not be written to {target}: {reason}") from None

    def _file(self, folder: int, name: str) -> Delivered:
        status = regular_file(self.item)
        source = self.item.found.path
        entry = TreeEntry(path=name, kind="file", source=source, size=status.st_size, names=status.st_nlink)
        self._transfer(entry, folder, name)
        return Delivered(files=(OutputLog(url=self.item.url, path=self.item.path, size_bytes=status.st_size),))

    def _folder(self, folder: int, name: str) -> Delivered:
        contents = OutputFolder(item=self.item, layout=self.layout, named=self.named)
        found = contents.listing(links=True)
        if not self._moved_whole(found, folder, name):
            inner = self.copier.enter(folder, name)
            try:
                self.copier.tree(found, inner, self._transfer)
            finally:
                os.close(inner)
        return contents.delivered(found)

    def _moved_whole(self, found: FolderListing, folder: int, name: str) -> bool:
        """A folder that is nobody else's, has nothing to replace and no links to resolve is moved in one step."""
        if self.kept or not (
            self.last and found.whole and self.item.found.inside and self._owned(self.item.found.path)
        ):
            return False
        try:
            if _exists(folder, name):
                return False
            os.rename(self.item.found.path, name, dst_dir_fd=folder)
        except OSError:
            return False
        return True

    def _owned(self, path: Path) -> bool:
        """An engine may leave files of another owner: what is moved must belong to the identity."""
        return not self.copier.identity.drop or path.lstat().st_uid == self.copier.identity.uid

    def _transfer(self, entry: TreeEntry, folder: int, name: str) -> None:
        if _exists(folder, name) and _is_folder(folder, name):
            raise TaskFault(f"the output {self.item.path} would replace the folder {opened_path(folder) / name}")
        if self.kept and _is_same(entry.source, folder, name):
            return
        if self._movable(entry) and (self._linked if self.kept else _moved)(entry.source, folder, name):
            return
        part = self._part(name)
        _remove(folder, part)
        try:
            with opened_source(self.results, entry.source) as source:
                self.copier.copy(source.fd, folder, part)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(folder, part)
            raise

    def _linked(self, source: Path, folder: int, name: str) -> bool:
        try:
            return _link(source, folder, name) or self._replaced(source, folder, name)
        except OSError:
            return False

    def _replaced(self, source: Path, folder: int, name: str) -> bool:
        part = self._part(name)
        _remove(folder, part)
        _link(source, folder, part)
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        return True

    def _part(self, name: str) -> str:
        """What it is called until it is whole; the same when this task delivers again, so that nothing is left."""
        task = hashlib.sha256(os.fsencode(self.layout.root)).hexdigest()
        return f".{name[:100]}.{task[:8]}.part"

    def _movable(self, entry: TreeEntry) -> bool:
        """Never an input, nor a file that has another name: who writes to the one writes to the other."""
        only = not entry.elsewhere and entry.names == 1
        return self.last and self.item.found.inside and only and self._owned(entry.source)


def _moved(source: Path, folder: int, name: str) -> bool:
    try:
        os.rename(source, name, dst_dir_fd=folder)
    except OSError:
        return False
    return True


def _link(source: Path, folder: int, name: str) -> bool:
    """False where there is something by this name."""
    try:
        os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    return True


def _is_same(source: Path, folder: int, name: str) -> bool:
    try:
        return os.path.samestat(source.lstat(), os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_folder(folder: int, name: str) -> bool:
    return S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


@contextmanager
def destination(access: FolderAccess, path: Path, copier: Copier) -> Iterator[int]:
    """The open folder `path`, made where it is missing; `TaskFault` where it is outside of what may be written."""
    with opened_for_writing(access, path) as (there, missing):
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=there)
        try:
            for name in missing:
                inner = copier.enter(fd, name)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)
