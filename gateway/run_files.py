"""The files of a run where foreign code has put them, and may change folders meanwhile: no symlink is ever followed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

from common.run_root import DataLocation, FileInRun, RunLocation, RunRoot
from gateway.translation import UnusableInput, UnusableOutput
from sandbox.foreign_files import folder_beneath, is_withheld
from sandbox.identity import Identity

KEEP = ".keep"
"""The name of the file that makes an empty folder come into being, as others (Git, Arvados) have it."""
DEEPEST = 200
"""Folders in each other that are looked at."""
MOST_FILES = 100_000
"""In one folder that a task reads."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class FileIdentity:
    """Tells one state of a file from all others on this machine."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileIdentity":
        """Also after the file was renamed; not after it was written to."""
        return cls(device=status.st_dev, inode=status.st_ino, size=status.st_size, modified=status.st_mtime_ns)


@dataclass(frozen=True, kw_only=True)
class FolderFile:
    """A file in a folder that a task reads; `path` is relative to the folder. Without a `location` it is empty, and
    stands for the folder that it is in: a store has none."""

    path: PurePosixPath
    location: FileInRun | None


@dataclass(frozen=True, kw_only=True)
class FileTree:
    """Those of one run. What is written belongs to `identity`. Methods block, and may be called from many threads."""

    root: RunRoot
    identity: Identity

    def status(self, location: FileInRun) -> os.stat_result:
        """Of what lies there, be it a symlink; `UnusableInput` where nothing does."""
        base, parts = self._way(location)
        try:
            with folder_beneath(base, parts[:-1]) as folder:
                return os.stat(parts[-1] if parts else ".", dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            raise UnusableInput(f"{self.root.seen_path(location)} can't be read: {error.strerror}") from None

    @contextmanager
    def opened(self, location: FileInRun) -> Iterator[int]:
        """A descriptor of it, for reading; `UnusableInput` where there is none."""
        base, parts = self._way(location)
        try:
            with folder_beneath(base, parts[:-1]) as folder:
                fd = os.open(parts[-1] if parts else ".", _READ, dir_fd=folder)
        except OSError as error:
            raise UnusableInput(f"{self.root.seen_path(location)} can't be read: {error.strerror}") from None
        try:
            if is_withheld(os.fstat(fd)):
                raise UnusableInput(f"{self.root.seen_path(location)} is in a store still")
            yield fd
        finally:
            os.close(fd)

    def is_folder(self, location: FileInRun) -> bool:
        """Whether it is a folder; `UnusableInput` where nothing is there."""
        return S_ISDIR(self.status(location).st_mode)

    def files_in(self, folder: FileInRun, *, with_data: bool = True) -> list[FolderFile]:
        """All files below a folder, with what symlinks in it lead to, `with_data` also outside of the run; an empty
        file for each empty folder."""
        found: list[FolderFile] = []
        self._walk(folder, PurePosixPath(), found, with_data=with_data)
        return found

    def make_folder(self, location: RunLocation) -> None:
        """Where it is not there yet; `UnusableOutput` where it can't be made."""
        with self._folder(location):
            pass

    @contextmanager
    def replaced(self, target: RunLocation, mode: int = 0o644) -> Iterator[int]:
        """A descriptor of a new file, which is at `target` after the block and never before; a file that is there is
        replaced. `UnusableOutput` where that can't be.

        One that nobody may read (mode 0) stays this process's own, so that an engine of another user can't open it up.
        """
        with self._folder(RunLocation(path=target.path.parent)) as folder, self._unfinished(mode) as (name, fd, beside):
            yield fd
            try:
                os.rename(name, target.path.name, src_dir_fd=beside, dst_dir_fd=folder)
            except OSError as error:
                seen = self.root.seen_path(target)
                raise UnusableOutput(f"{seen} can't be written: {error.strerror}") from None

    @contextmanager
    def transfers(self) -> Iterator[int]:
        """A descriptor of the folder of what is on its way to the run."""
        with self._folder(RunLocation(path=PurePosixPath(self.root.folder.transfers.name))) as folder:
            yield folder

    @contextmanager
    def _folder(self, location: RunLocation) -> Iterator[int]:
        try:
            with folder_beneath(self.root.folder.root, location.path.parts, self.identity) as folder:
                yield folder
        except OSError as error:
            raise UnusableOutput(f"{self.root.seen_path(location)} can't be written to: {error.strerror}") from None

    @contextmanager
    def _unfinished(self, mode: int) -> Iterator[tuple[str, int, int]]:
        """Its name, the file and the folder that it is in, where no engine lists it."""
        name = secrets.token_hex(8)
        with self.transfers() as folder:
            fd = os.open(name, _NEW, mode, dir_fd=folder)
            try:
                if self.identity.drop and mode:
                    os.fchown(fd, self.identity.uid, self.identity.gid)
                yield name, fd, folder
            finally:
                os.close(fd)
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)

    def _walk(self, folder: FileInRun, below: PurePosixPath, found: list[FolderFile], *, with_data: bool) -> None:
        if len(below.parts) > DEEPEST:
            raise UnusableInput(f"{self.root.seen_path(folder)} is too deep, or leads back to itself by a symlink")
        with self.opened(folder) as fd:
            names = sorted(os.listdir(fd)) if S_ISDIR(os.fstat(fd).st_mode) else []  # noqa: PTH208 - of a descriptor
        before = len(found)
        for name in names:
            self._visit(_child(folder, name), below / name, found, with_data=with_data)
        if len(found) == before:
            found.append(FolderFile(path=below / KEEP, location=None))

    def _visit(self, location: FileInRun, below: PurePosixPath, found: list[FolderFile], *, with_data: bool) -> None:
        real = self.root.followed(location)
        if real is None or not (with_data or isinstance(real, RunLocation)):
            return
        try:
            mode = self.status(real).st_mode
        except UnusableInput:
            # A symlink that leads nowhere.
            return
        if S_ISDIR(mode):
            self._walk(real, below, found, with_data=with_data)
        elif S_ISREG(mode):
            found.append(FolderFile(path=below, location=real))
            if len(found) > MOST_FILES:
                raise UnusableInput(f"a task reads a folder with more than {MOST_FILES} files")

    def _way(self, location: FileInRun) -> tuple[Path, tuple[str, ...]]:
        """The folder that nobody but the operator can exchange, and the names from there on."""
        if isinstance(location, RunLocation):
            folder = self.root.folder
            if not location.is_in(folder.attachments, folder.work, folder.fetched):
                raise UnusableInput(f"{self.root.seen_path(location)} is not for tasks to read")
            return folder.root, location.path.parts
        data = next(folder for folder in self.root.data if location.path.is_relative_to(folder))
        return data, location.path.relative_to(data).parts


def _child(folder: FileInRun, name: str) -> FileInRun:
    if isinstance(folder, RunLocation):
        return RunLocation(path=folder.path / name)
    return DataLocation(path=folder.path / name)
