"""Writes files and folders by descriptors: what is copied is what was checked, and no symlink is followed."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.identity import Identity
from tes_service.tree import Entry, Listing

CHUNK = 64 * 1024 * 1024
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Transfer = Callable[[Entry, int, str], None]
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
        if not self.link(source, folder, name):
            self.copy(source, folder, name)

    @contextmanager
    def new_file(self, folder: int, name: str) -> Iterator[int]:
        writer = os.open(name, NEW_FILE, 0o644, dir_fd=folder)
        try:
            self._give(writer)
            yield writer
        finally:
            os.close(writer)

    def tree(self, found: Listing, folder: int, transfer: Transfer) -> None:
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
            return os.open(name, FOLDER, dir_fd=parent)
        inner = os.open(name, FOLDER, dir_fd=parent)
        self._give(inner)
        return inner

    def symlink(self, text: str, parent: int, name: str) -> None:
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
        while _step(reader, writer):
            self.stop()


def _step(reader: int, writer: int) -> int:
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
    fd = os.open(".", FOLDER, dir_fd=folder)
    try:
        for part in parts:
            inner = os.open(part, FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)
