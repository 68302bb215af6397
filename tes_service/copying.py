"""Copies and links input files, never through a link that somebody exchanged."""

import contextlib
import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.foreign_files import folder_beneath
from sandbox.identity import Identity
from tes_service.folder_access import OpenedSource
from tes_service.output_paths import FolderListing, TreeEntry
from tes_service.task_request import parent

CHUNK = 64 * 1024 * 1024
NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Transfer = Callable[[TreeEntry, int, str], None]
"""Brings one file of a listing into an open folder under a name."""


@dataclass(frozen=True, kw_only=True)
class Copier:
    """Copies belong to `identity`. `stop` is called often and raises to give up."""

    identity: Identity
    stop: Callable[[], None]

    def copy(self, source: int, folder: int, name: str) -> None:
        """The file that `source` is a descriptor of as `name` in the open `folder`; there must be none of this name."""
        with _reopened(source) as reader, self.new_file(folder, name) as writer:
            os.fchmod(writer, os.fstat(reader).st_mode & 0o777 | 0o600)
            self._bytes(reader, writer)

    def link(self, source: int, folder: int, name: str) -> bool:
        """The same without a byte copied, as another name of the same file, which nobody may write to then; whether it
        could be done: it can't on another file system, for one."""
        try:
            os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=folder)
        except OSError:
            return False
        return True

    def link_or_copy(self, source: int, folder: int, name: str) -> None:
        """As `link`, else as `copy`."""
        if not self.link(source, folder, name):
            self.copy(source, folder, name)

    @contextmanager
    def new_file(self, folder: int, name: str) -> Iterator[int]:
        """A descriptor to write to a file `name` in the open `folder`; `FileExistsError` where there is one."""
        writer = os.open(name, NEW_FILE_FLAGS, 0o644, dir_fd=folder)
        try:
            self._give(writer)
            yield writer
        finally:
            os.close(writer)

    def tree(self, found: FolderListing, folder: int, transfer: Transfer) -> None:
        """Everything that was listed into the open `folder`, merged with what is there."""
        for entry in found.entries:
            self.stop()
            parts = entry.path.split("/")
            with beneath(folder, parts[:-1]) as parent:
                if entry.kind == "folder":
                    os.close(self.enter(parent, parts[-1]))
                elif entry.kind == "link":
                    self.symlink(entry.link, parent, parts[-1])
                else:
                    transfer(entry, parent, parts[-1])

    def enter(self, parent: int, name: str) -> int:
        """An open folder in `parent`, made where there is none."""
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            return os.open(name, FOLDER_FLAGS, dir_fd=parent)
        inner = os.open(name, FOLDER_FLAGS, dir_fd=parent)
        self._give(inner)
        return inner

    def symlink(self, text: str, parent: int, name: str) -> None:
        """A symlink `name` to `text` in the open folder; it replaces another file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        os.symlink(text, name, dir_fd=parent)
        if self.identity.drop:
            os.chown(name, self.identity.uid, self.identity.gid, dir_fd=parent, follow_symlinks=False)

    def _give(self, fd: int) -> None:
        if self.identity.drop:
            os.fchown(fd, self.identity.uid, self.identity.gid)

    def _bytes(self, reader: int, writer: int) -> None:
        """In the kernel; on a file system that can, both share their blocks. Files that say they are empty (as in
        /proc) are read all the same."""
        while _copy_chunk(reader, writer):
            self.stop()


def _copy_chunk(reader: int, writer: int) -> int:
    try:
        return os.copy_file_range(reader, writer, CHUNK)
    except OSError:
        return os.sendfile(writer, reader, None, CHUNK)


@contextmanager
def _reopened(fd: int) -> Iterator[int]:
    """An O_PATH descriptor opened for reading, without a path that could have changed."""
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


@contextmanager
def beneath(folder: int, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of a folder in the open `folder`; no symlink is followed."""
    fd = os.open(".", FOLDER_FLAGS, dir_fd=folder)
    try:
        for part in parts:
            inner = os.open(part, FOLDER_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


MOST_FILE_MOUNTS = 100
COPIED_BYTES = 16 * 1024**2
"""A file that can't be linked, as it is on another file system, is copied up to this size, and mounted above."""


def shared_mounts(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders that hold, somewhere below, more than `MOST_FILE_MOUNTS` of the paths; never `/`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[path.split("/")[1]].append(parent(path))
    shared = (posixpath.commonpath(group) for group in groups.values() if len(group) > MOST_FILE_MOUNTS)
    return tuple(folder for folder in shared if folder != "/")


def link_all(root: Path, sources: Mapping[str, OpenedSource], copier: Copier) -> set[str]:
    """Brings files into the tree without their bytes, where that is possible; the paths of those for which it is."""
    return {path for path, source in sources.items() if not source.is_folder and _linked(root, path, source, copier)}


def already_linked(root: Path, sources: Mapping[str, OpenedSource]) -> set[str]:
    """The same of an earlier server: what has the size of its source is no placeholder."""
    found = set()
    for path, source in sources.items():
        with suppress(OSError):
            status = (root / path.lstrip("/")).lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size == source.size:
                found.add(path)
    return found


def _linked(root: Path, path: str, source: OpenedSource, copier: Copier) -> bool:
    copier.stop()
    *above, name = path.strip("/").split("/")
    with folder_beneath(root, tuple(above), copier.identity) as folder:
        if copier.link(source.fd, folder, name):
            return True
        if source.size > COPIED_BYTES:
            return False
        copier.copy(source.fd, folder, name)
    return True


def make_mount_point(root: Path, path: str, source: OpenedSource, copier: Copier) -> None:
    """Something to mount on, in a folder that is itself mounted read-only."""
    *above, name = path.strip("/").split("/")
    with folder_beneath(root, tuple(above), copier.identity) as folder:
        if source.is_folder:
            os.close(copier.enter(folder, name))
        else:
            with copier.new_file(folder, name):
                pass
