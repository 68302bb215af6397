"""The folder of each run: received, made, read safely after foreign code wrote to it, and removed.

Attachments are written as they arrive to a staging folder on the file system where they stay; it becomes the run's.
"""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from common.attachment import ATTACHMENT_FIELD, check_clash, safe_name
from common.engine import RunFolder, is_safe_id
from common.errors import DiskFull, InvalidField, LogNotFound, RunNotFound
from common.settings import GB
from sandbox.foreign_files import open_beneath, remove_all_but, remove_tree
from sandbox.identity import Identity

LONGEST_NAME = 1000
"""Bytes of a whole relative name; with the folder of the run before it, a path must stay below 4096."""
STAGING = ".staging"
STALE_SECONDS = 24 * 3600


def existing_ancestor(path: Path) -> Path:
    """The folder itself, or the nearest one above that is there."""
    return next(each for each in [path, *path.parents] if each.exists())


def check_disk(folder: Path, min_free_gb: float) -> None:
    """`DiskFull` where less than `min_free_gb` (GB) is free where the folder is, or is to be."""
    free = shutil.disk_usage(existing_ancestor(folder)).free / GB
    if free < min_free_gb:
        raise DiskFull(
            f"only {free:.1f} GB are free in {folder}, and no run is started below {min_free_gb:g} GB "
            "(WES_MIN_FREE_GB): free some disk, and what is queued begins"
        )


class RunFolders:
    """All run folders below `root`, which belongs to this process; each of them belongs to the foreign `identity`."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.root = root
        self._identity = identity

    def prepare(self) -> None:
        """Makes the root, which foreign code may pass but not list."""
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.root.chmod(0o711)
        (self.root / STAGING).mkdir(mode=0o700, exist_ok=True)

    def remove_stale_uploads(self) -> None:
        """Removes what a crash left half received: staging folders in which nothing was made for a day."""
        for folder in (self.root / STAGING).glob("*"):
            if time.time() - _last_change(folder) > STALE_SECONDS:
                remove_tree(folder)

    @contextmanager
    def stage(self) -> Iterator["StagingFolder"]:
        """A staging folder; what was not committed is gone at the end."""
        staging = StagingFolder(self.root / STAGING / secrets.token_hex(12), self._identity)
        try:
            yield staging
        finally:
            staging.abandon()
            if os.path.lexists(staging.root):
                shutil.rmtree(staging.root, ignore_errors=True)

    def commit(self, staging: "StagingFolder", run_id: str) -> RunFolder:
        """Turns the staging folder into the run's; durable on return."""
        folder = self.folder(run_id)
        staging.settle()
        staging.root.rename(folder.root)
        if staging.names:
            _sync(self.root)
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

    def remove_work(self, run_id: str, kept: Collection[str]) -> bool:
        """Of what engine and tasks wrote removes all but the files and whole folders of `work` that `kept` names;
        whether that could be done. Attachments and logs stay."""
        folder = self.folder(run_id)
        no_transfers = remove_tree(folder.transfers)
        return remove_all_but(folder.work, kept) and no_transfers

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


class StagingFolder:
    """A folder that becomes the folder of a run; made when the first attachment comes."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.root = root
        self.digests: dict[str, str] = {}
        self.received = 0
        self._identity = identity
        self._made = False
        self._names: set[str] = set()
        self._folders: set[str] = set()
        self._open: AttachmentWriter | None = None

    @property
    def _again(self) -> Path:
        """Where a file goes whose name is there already."""
        return self.root / "again"

    @property
    def names(self) -> tuple[str, ...]:
        """The attachments, in the order in which they came."""
        return tuple(self.digests)

    def create(self, name: str) -> "AttachmentWriter":
        """Begins an attachment; `InvalidField` names one whose name is not safe, or clashes with another."""
        name = self._checked(safe_name(name))
        path = self._again if name in self._names else self._folder_for(name) / PurePosixPath(name).name
        self._open = AttachmentWriter(name, path.open("xb"))
        self._names.add(name)
        return self._open

    def finish(self, attachment: "AttachmentWriter") -> None:
        """The same file may come twice, as two references to it make some clients do; `InvalidField` for another."""
        digest = attachment.close()
        self._open = None
        self.received += attachment.size
        name = attachment.name
        if name not in self.digests:
            self.digests[name] = digest
            self._identity.own(self.root / "attachments" / name)
            return
        self._again.unlink()
        if digest != self.digests[name]:
            raise InvalidField(ATTACHMENT_FIELD, f"the attachment {name!r} is there twice, with different contents")

    def link(self, name: str, target: str) -> None:
        """Makes a symlink among them, where nothing is."""
        path = self._folder_for(name) / PurePosixPath(name).name
        if not os.path.lexists(path):
            path.symlink_to(target)
            self._identity.own(path)

    def settle(self) -> None:
        """Makes the folders durable and gives them to the foreign identity."""
        self._make_root()
        for folder in sorted(self._folders, reverse=True):
            _sync(self.root / "attachments" / folder)
        if self._names:
            _sync(self.root / "attachments")
            _sync(self.root)
        self._identity.own(self.root)

    def abandon(self) -> None:
        """Closes what is still open; `RunFolders.stage` removes the folder."""
        if self._open is not None:
            self._open.abandon()

    def _checked(self, name: str) -> str:
        if len(name.encode()) > LONGEST_NAME:
            raise InvalidField(
                ATTACHMENT_FIELD, f"the attachment name {name[:40]!r}… is longer than {LONGEST_NAME} bytes"
            )
        # Comparing with each name before costs too much at 10,000: only a clash goes to the one that words it.
        if name in self._folders or not self._names.isdisjoint(_parents(name)):
            check_clash(self._names, name)
        return name

    def _folder_for(self, name: str) -> Path:
        attachments = self._make_root()
        for folder in reversed(_parents(name)):
            if folder not in self._folders:
                self._identity.make_folder(attachments / folder)
                self._folders.add(folder)
        return attachments / PurePosixPath(name).parent

    def _make_root(self) -> Path:
        attachments = self.root / "attachments"
        if not self._made:
            self.root.mkdir(mode=0o700)
            self._identity.make_folder(attachments)
            self._made = True
        return attachments


class AttachmentWriter:
    """One file that is being written; its digest is known once it is closed."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Appends bytes as they come."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def close(self) -> str:
        """Durable on return; the SHA-256 in hexadecimal digits."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()

    def abandon(self) -> None:
        """Closes the file without making it durable."""
        self._file.close()


def _parents(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(name).parents][:-1]


def _last_change(folder: Path) -> float:
    """When something was last made in it (seconds since 1970); now, where it is just moved away."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.glob("**/*")))
    except FileNotFoundError:
        return time.time()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
