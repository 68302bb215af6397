"""Brings a task's outputs to where they were asked for (TES 1.1.0, tesOutput; acceptance: tes, 6).

A file appears at its destination whole or not at all: it is moved there, or copied under another name and renamed.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from urllib.parse import quote

from common.location import FileLocation, parse_location
from sandbox.identity import Identity
from tes.task import FileType
from tes_service.copying import Copier
from tes_service.errors import TaskFault
from tes_service.folder_access import AllowedFolders, FolderAccess, opened_for_writing, opened_path, opened_source
from tes_service.layout import SCRATCH, Layout, declared_folders
from tes_service.output_paths import (
    FolderListing,
    ResolvedPath,
    TreeEntry,
    inside_path,
    listing,
    locate,
    matches,
    results_of,
)
from tes_service.processes import StopSignal
from tes_service.task_log import OutputLog
from tes_service.task_request import OutputRequest, TaskRequest, is_beneath


@dataclass(frozen=True, kw_only=True)
class Deliverable:
    """One file or folder to deliver: `path` in the task, `url` where to, and what it is on the host."""

    path: str
    url: str
    found: ResolvedPath


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

    def deliver(self, request: TaskRequest, layout: Layout, stop: StopSignal) -> DeliveryResult:
        """`TaskFault` where a destination can't be written."""
        items, missing = select(request, layout)
        named = declared_folders(request) | {one["path"] for one in request.inputs}
        done: dict[int, tuple[list[OutputLog], tuple[str, ...]]] = {}
        for index, last in in_order([item.found.path for item in items]):
            one = _OutputTransfer(
                item=items[index],
                layout=layout,
                named=named,
                access=self.allowed.of(request.tags),
                results=results_of(layout),
                copier=Copier(identity=self.identity, stop=stop.check),
                last=last,
            )
            done[index] = one.deliver()
        return DeliveryResult(
            files=tuple(file for index in range(len(items)) for file in done[index][0]),
            missing=tuple(missing),
            notes=tuple(_left_out(items[index].path, name) for index in range(len(items)) for name in done[index][1]),
        )


def in_order(paths: list[Path]) -> list[tuple[int, bool]]:
    """The order in which outputs at these paths are delivered, and whether each may be moved, as nothing after it needs
    any of it: what lies in another one (the log of a tool in its working directory) goes first, so that the large
    folder itself need not be copied."""
    order = sorted(range(len(paths)), key=lambda index: -len(paths[index].parts))
    return [
        (index, not any(_overlap(paths[index], paths[later]) for later in order[position + 1 :]))
        for position, index in enumerate(order)
    ]


def _left_out(path: str, name: str) -> str:
    return f"the output {path} holds {name}, which leads nowhere and was left out"


def select(request: TaskRequest, layout: Layout) -> tuple[list[Deliverable], list[str]]:
    """What there is to deliver, and the paths of plain outputs that are missing."""
    items: list[Deliverable] = []
    missing: list[str] = []
    for output in request.outputs:
        if output.pattern:
            items += [_matched(output, path, found) for path, found in matches(layout, output.path)]
            continue
        found = locate(layout, output.path)
        if found is None or _untouched(layout, output, found):
            missing.append(output.path)
        else:
            _check_type(output, found)
            items.append(Deliverable(path=output.path, url=output.url, found=found))
    return items, missing


def _matched(output: OutputRequest, path: str, found: ResolvedPath) -> Deliverable:
    rest = path[len(output.prefix or "") :].lstrip("/")
    url = output.url.rstrip("/") + "/" + (rest if output.url.startswith("/") else quote(rest, errors="surrogateescape"))
    return Deliverable(path=path, url=url, found=found)


def _untouched(layout: Layout, output: OutputRequest, found: ResolvedPath) -> bool:
    """A file directly in `/` is made before the task, to be mounted; it counts once the task has written to it."""
    if output.path not in layout.stubs:
        return False
    status = found.path.stat()
    return status.st_size == 0 and status.st_mtime_ns == 0


def _check_type(output: OutputRequest, found: ResolvedPath) -> None:
    is_folder = found.path.is_dir()
    if is_folder != (output.type is FileType.DIRECTORY):
        raise TaskFault(f"the output {output.path} is {'a folder' if is_folder else 'no folder'}, not a {output.type}")


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


@dataclass(frozen=True, kw_only=True)
class _OutputTransfer:
    """The delivery of one item. `last`: no other output wants any of it after this, so that it may be moved. `results`
    is where its bytes may come from, `access` where they may go. `named`: what the task itself calls an input, output
    or volume."""

    item: Deliverable
    layout: Layout
    named: frozenset[str]
    access: FolderAccess
    results: FolderAccess
    copier: Copier
    last: bool

    def deliver(self) -> tuple[list[OutputLog], tuple[str, ...]]:
        location = parse_location(self.item.url)
        if not isinstance(location, FileLocation):
            raise TaskFault(f"the output {self.item.path} can't be written to {self.item.url}")
        target, name = location.path, location.path.name
        try:
            with destination(self.access, target.parent, self.copier) as folder:
                return self._folder(folder, name) if self.item.found.path.is_dir() else self._file(folder, name)
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            raise TaskFault(f"the output {self.item.path} could not be written to {target}: {reason}") from None

    def _file(self, folder: int, name: str) -> tuple[list[OutputLog], tuple[str, ...]]:
        source = self.item.found.path
        status = source.lstat()
        if not S_ISREG(status.st_mode):
            raise TaskFault(f"the output {self.item.path} is no regular file")
        entry = TreeEntry(path=name, kind="file", source=source, size=status.st_size, names=status.st_nlink)
        self._transfer(entry, folder, name)
        return [OutputLog(url=self.item.url, path=self.item.path, size_bytes=status.st_size)], ()

    def _folder(self, folder: int, name: str) -> tuple[list[OutputLog], tuple[str, ...]]:
        source = self.item.found.path
        found = listing(source, self._follow)
        if not self._moved_whole(found, folder, name):
            inner = self.copier.enter(folder, name)
            try:
                self.copier.tree(found, inner, self._transfer)
            finally:
                os.close(inner)
        return [self._log(entry) for entry in found.entries if entry.kind != "folder"], found.skipped

    def _log(self, entry: TreeEntry) -> OutputLog:
        plain = self.item.url.startswith("/")
        leaf = entry.path if plain else quote(entry.path, errors="surrogateescape")
        url = f"{self.item.url.rstrip('/')}/{leaf}"
        return OutputLog(url=url, path=f"{self.item.path}/{entry.path}", size_bytes=entry.size)

    def _follow(self, link: Path) -> Path | None:
        path = inside_path(self.layout, link)
        found = None if path is None else locate(self.layout, path)
        return None if found is None or self._ends_with_task(found.path) else found.path

    def _ends_with_task(self, path: Path) -> bool:
        """Whether it lies in the /tmp that each task has, and nothing of that was asked for: on other TES servers a
        link to it leads nowhere, and in CWL it must not be a tool's output."""
        inside = inside_path(self.layout, path)
        if inside is None or not is_beneath(inside, SCRATCH):
            return False
        return not any(is_beneath(inside, folder) for folder in self.named)

    def _moved_whole(self, found: FolderListing, folder: int, name: str) -> bool:
        """A folder that is nobody else's, has nothing to replace and no links to resolve is moved in one step."""
        if not (self.last and found.whole and self.item.found.inside and self._owned(self.item.found.path)):
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
        if self._movable(entry) and _moved(entry.source, folder, name):
            return
        part = f".{name[:100]}.{uuid.uuid4().hex[:8]}.part"
        try:
            with opened_source(self.results, entry.source) as source:
                self.copier.copy(source.fd, folder, part)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(folder, part)
            raise

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
