"""The folder of each run: made, opened safely after foreign code wrote to it, and removed."""

import contextlib
import itertools
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from common.engine import RunFolder, is_safe_id
from common.errors import DiskFull, LogNotFound, RunNotFound
from sandbox.identity import Identity
from wes_service.storage.staging import Staging

GB = 1000**3


def nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above that is there."""
    return next(each for each in [path, *path.parents] if each.exists())


def check_disk(folder: Path, min_free_gb: float) -> None:
    """`DiskFull` where less than `min_free_gb` (GB) is free where the folder is, or is to be."""
    free = shutil.disk_usage(nearest(folder)).free / GB
    if free < min_free_gb:
        raise DiskFull(
            f"only {free:.1f} GB are free in {folder}, and no run is started below {min_free_gb:g} GB "
            "(WES_MIN_FREE_GB): free some disk, and what is queued begins"
        )


def open_beneath(folder: Path, relative: str) -> BinaryIO:
    """Opens a regular file below `folder` (absolute, its parents free of symlinks); `LogNotFound` for all else.

    A symlink is followed while it stays inside. What was opened is what is checked, so a link that changes meanwhile
    gains nothing; O_PATH neither waits on a pipe nor touches a device.
    """
    if "\0" in relative or ".." in relative.split("/") or relative.startswith("/"):
        raise LogNotFound
    try:
        handle = os.open(folder / relative, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise LogNotFound from None
    try:
        return _reopened(handle, folder)
    except OSError:
        raise LogNotFound from None
    finally:
        os.close(handle)


def _reopened(handle: int, folder: Path) -> BinaryIO:
    link = Path(f"/proc/self/fd/{handle}")
    inside = link.readlink().is_relative_to(folder)
    if not inside or not stat.S_ISREG(os.fstat(handle).st_mode):
        raise LogNotFound
    return link.open("rb")


FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ALL_RIGHTS = 0o700


def remove_tree(folder: Path) -> bool:
    """Removes a folder and all in it, symlinks themselves; whether nothing of it is left.

    However deep it is: each folder is moved to the top before it is emptied, so that two are open at any time and no
    path grows. What is moved can't lead out, as nothing is opened through a link.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        _make_room(folder)
        with _opened(str(folder)) as top:
            _empty(top)
        folder.rmdir()
    with contextlib.suppress(OSError):
        if not folder.is_dir() or folder.is_symlink():
            folder.unlink()
    return not os.path.lexists(folder)


def _empty(top: int) -> None:
    fresh = (f".removing-{secrets.token_hex(8)}-{number}" for number in itertools.count())
    waiting = _clear(top, top, fresh)
    while waiting:
        name = waiting.pop()
        with contextlib.suppress(OSError):
            with _opened(name, top) as folder:
                waiting += _clear(folder, top, fresh)
            os.rmdir(name, dir_fd=top)


def _clear(folder: int, top: int, fresh: Iterator[str]) -> list[str]:
    """Removes what a folder holds; its folders are moved to `top`, under names that are returned."""
    moved = []
    for name in os.listdir(folder):
        # One that can't be removed is no reason to keep the others.
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                os.unlink(name, dir_fd=folder)
                continue
            _make_room(name, folder)
            new = next(fresh)
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
            moved.append(new)
    return moved


def _make_room(folder: str | Path, within: int | None = None) -> None:
    """Tools leave folders that nobody may write to, which only stop one who is not root but owns them."""
    if os.geteuid() != 0:
        status = os.lstat(folder, dir_fd=within)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
            os.chmod(folder, ALL_RIGHTS, dir_fd=within)


@contextlib.contextmanager
def _opened(folder: str, within: int | None = None) -> Iterator[int]:
    handle = os.open(folder, FOLDER, dir_fd=within)
    try:
        yield handle
    finally:
        os.close(handle)


STAGING = ".staging"
STALE_SECONDS = 24 * 3600


class RunFolders:
    """All run folders below `root`, which belongs to this process; each of them belongs to the foreign `identity`."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.root = root
        self._identity = identity

    def prepare(self) -> None:
        """Makes the root, which foreign code may pass but not list, and removes what a crash left half received."""
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.root.chmod(0o711)
        staging = self.root / STAGING
        staging.mkdir(mode=0o700, exist_ok=True)
        for folder in staging.iterdir():
            if time.time() - folder.lstat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """A staging folder; what was not committed is gone at the end."""
        staging = Staging(self.root / STAGING / secrets.token_hex(12), self._identity)
        try:
            yield staging
        finally:
            staging.abandon()
            if os.path.lexists(staging.root):
                shutil.rmtree(staging.root, ignore_errors=True)

    def commit(self, staging: Staging, run_id: str) -> RunFolder:
        """Turns the staging folder into the run's; durable on return."""
        folder = self.folder(run_id)
        staging.settle()
        staging.root.rename(folder.root)
        if staging.names:
            self._sync_root()
        return folder

    def complete(self, run_id: str) -> None:
        """Adds what a worker needs in a run's folder, which came with its attachments only."""
        folder = self.folder(run_id)
        for path in (folder.work, folder.control, folder.logs):
            self._identity.make_folder(path)

    def discard(self, run_id: str) -> None:
        """Removes a run's folder and all that is in it."""
        self.remove(run_id)

    def remove(self, run_id: str) -> bool:
        """The same, and whether nothing of it is left."""
        return remove_tree(self.folder(run_id).root)

    def old(self) -> Iterator[str]:
        """Ids of the runs whose folders came a day ago or earlier: the time of a rename is that of its last change."""
        if not self.root.is_dir():
            return
        with os.scandir(self.root) as entries:
            for entry in entries:
                age = time.time() - entry.stat(follow_symlinks=False).st_ctime
                if age > STALE_SECONDS and is_safe_id(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def is_begun(self, run_id: str) -> bool:
        """Whether a worker or an engine has written anything for this run."""
        folder = self.folder(run_id)
        return any(path.is_dir() and any(path.iterdir()) for path in (folder.control, folder.logs, folder.work))

    def folder(self, run_id: str) -> RunFolder:
        """The run's folder, there or not; `RunNotFound` for what can't be an id."""
        if not is_safe_id(run_id):
            raise RunNotFound
        return RunFolder(root=self.root / run_id)

    def open_log(self, run_id: str, relative: str) -> BinaryIO | None:
        """A file below `logs`, e.g. `stdout` or `tasks/<task id>/stderr`; None where nothing was written yet."""
        try:
            return open_beneath(self._real(run_id) / "logs", relative)
        except LogNotFound:
            return None

    def open_output(self, run_id: str, relative: str) -> BinaryIO:
        """A file below `work`; `LogNotFound` for anything that is none, or lies elsewhere."""
        return open_beneath(self._real(run_id) / "work", relative)

    def read_work(self, run_id: str, relative: str, most: int) -> bytes:
        """The first `most` bytes of a file below `work`; empty where there is none."""
        try:
            with self.open_output(run_id, relative) as source:
                return source.read(most)
        except LogNotFound:
            return b""

    def output_files(self, run_id: str, relative: str) -> list[str]:
        """The regular files beneath a folder of `work`, by relative path and in order; symlinks are left out."""
        work = self._real(run_id) / "work"
        start = work / relative
        if ".." in relative.split("/") or not start.resolve().is_relative_to(work):
            return []
        found = [
            Path(folder, name)
            for folder, _, names in os.walk(start)
            for name in names
            if not Path(folder, name).is_symlink()
        ]
        return sorted(str(path.relative_to(work)) for path in found if path.is_file())

    def _real(self, run_id: str) -> Path:
        return self.root.resolve() / self.folder(run_id).root.name

    def _sync_root(self) -> None:
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
