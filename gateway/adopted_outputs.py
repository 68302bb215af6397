"""Gives a task what a task of an earlier run left: copied, checked, and only then put in its place.

Whatever becomes of the earlier run's folder meanwhile, the later run has all of it, unchanged, or none of it.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from common.engine import RunFolder
from common.errors import ObjectNotFound, ObjectStoreFailure
from common.run_root import RunLocation, RunRoot
from gateway.content_digests import ContentDigests, NotWanted, Wanted, read_digest
from gateway.delivered_files import DeliveredFile, DeliveredFiles, NotReusable
from gateway.run_files import FileTree
from gateway.stored_copies import StoredCopies
from gateway.translation import UnusableInput, UnusableOutput
from sandbox.foreign_files import FOLDER_FLAGS, folder_beneath
from tes.task import Task

CHUNK_BYTES = 1024 * 1024
FICLONE = 0x40049409
"""`ioctl_ficlone(2)`: the new file shares the blocks of the old one until either is written to."""
NO_CLONES = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ETXTBSY})
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class AdoptedOutputs:
    """Of the tasks of one run. Methods block, and may be called from many threads at once."""

    files: FileTree
    digests: ContentDigests
    free_bytes: int
    """Of the disk, which are left alone."""
    stored: StoredCopies | None = None
    """None where no TES has a storage."""

    def adopt(self, source: Task, task: Task, wanted: Wanted) -> None:
        """`task` has the files that `source`, of another run of the same owner's, left. `NotReusable` where that is
        not possible, `NotWanted`; then nothing of it is there."""
        earlier = self._earlier(source)
        try:
            found = DeliveredFiles(files=earlier, digests=self.digests).read(source)
            self._check_room(sum(one.size for one in found if one.origin is None))
            with self._staging() as staging:
                copied = [
                    self._copied(earlier, source, task, one, str(number), staging, wanted)
                    for number, one in enumerate(found)
                ]
                self._put(task, copied, staging)
            self._copy_logs(earlier, source, task)
            DeliveredFiles(files=self.files, digests=self.digests).write(task, copied)
        except (UnusableInput, UnusableOutput, ObjectNotFound, ObjectStoreFailure, OSError) as error:
            raise NotReusable(str(error)) from error

    def _earlier(self, source: Task) -> FileTree:
        own = self.files.root.folder
        folder = RunFolder(root=own.root.parent / source.run_id, seen_root=own.seen_root)
        return FileTree(root=RunRoot(folder=folder, data=self.files.root.data), identity=self.files.identity)

    def _check_room(self, size: int) -> None:
        if size > shutil.disk_usage(self.files.root.folder.root).free - self.free_bytes:
            raise NotReusable("there is no room on disk for a copy of its outputs")

    @contextlib.contextmanager
    def _staging(self) -> Iterator[int]:
        """A folder that no engine sees, and that is gone at the end."""
        name = secrets.token_hex(8)
        with self.files.transfers() as transfers:
            os.mkdir(name, 0o700, dir_fd=transfers)
            staging = os.open(name, FOLDER_FLAGS, dir_fd=transfers)
            try:
                yield staging
            finally:
                for left in os.listdir(staging):  # noqa: PTH208 - of a descriptor
                    os.unlink(left, dir_fd=staging)
                os.close(staging)
                os.rmdir(name, dir_fd=transfers)

    def _copied(
        self,
        earlier: FileTree,
        source: Task,
        task: Task,
        file: DeliveredFile,
        name: str,
        staging: int,
        wanted: Wanted,
    ) -> DeliveredFile:
        """What is to be put in place: a file `name` in `staging`, or an object that is this run's."""
        if file.is_folder:
            return file
        if file.origin is not None:
            if self.stored is None:
                raise NotReusable("its outputs are in a store, and no TES has one now")
            return self.stored.copied(source, task, file, wanted)
        real = earlier.root.followed(_location(earlier, source, file))
        if not isinstance(real, RunLocation):
            raise NotReusable(f"{file.path or 'an output'} is not in its run any more")
        with earlier.opened(real) as origin, _new_file(name, staging) as copy:
            status = os.fstat(origin)
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
                raise NotReusable(f"{file.path or 'an output'} is not what it was")
            _copy_bytes(origin, copy, wanted)
            if read_digest(copy, wanted) != file.sha256:
                raise NotReusable(f"{file.path or 'an output'} is not what it was")
            os.fchmod(copy, 0o644 | stat.S_IMODE(status.st_mode) & 0o111)
            if self.files.identity.drop:
                os.fchown(copy, self.files.identity.uid, self.files.identity.gid)
        return file

    def _put(self, task: Task, found: Sequence[DeliveredFile], staging: int) -> None:
        root, identity = self.files.root.folder.root, self.files.identity
        for number, one in enumerate(found):
            target = _location(self.files, task, one)
            if one.is_folder:
                self.files.make_folder(target)
                continue
            if one.sha256 is None:
                assert self.stored is not None  # noqa: S101 - it has copied the object
                self.stored.put(one, target)
                continue
            with folder_beneath(root, target.path.parts[:-1], identity) as folder:
                os.rename(str(number), target.path.name, src_dir_fd=staging, dst_dir_fd=folder)
                status = os.stat(target.path.name, dir_fd=folder, follow_symlinks=False)
            self.digests.know(status, one.sha256)

    def _copy_logs(self, earlier: FileTree, source: Task, task: Task) -> None:
        """What the earlier task printed, as far as it is there."""
        for number in range(len(task.body.get("outputs") or [])):
            origin, target = (_log_of(files, one, number) for files, one in ((earlier, source), (self.files, task)))
            if origin is None or target is None:
                continue
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                _copy_log(earlier, origin, self.files, target)


def _location(files: FileTree, task: Task, file: DeliveredFile) -> RunLocation:
    location = files.root.parse((task.body.get("outputs") or [])[file.number]["url"])
    if not isinstance(location, RunLocation) or not location.is_in(files.root.folder.work):
        raise NotReusable("its outputs are not in its run")
    return RunLocation(path=location.path / file.path)


def _log_of(files: FileTree, task: Task, number: int) -> RunLocation | None:
    location = files.root.parse((task.body.get("outputs") or [])[number]["url"])
    if isinstance(location, RunLocation) and location.path.parent == PurePosixPath("logs", "tasks", task.id):
        return location
    return None


def _copy_log(earlier: FileTree, origin: RunLocation, files: FileTree, target: RunLocation) -> None:
    with folder_beneath(earlier.root.folder.root, origin.path.parts[:-1]) as folder:
        fd = os.open(origin.path.name, _READ, dir_fd=folder)
    try:
        parts = target.path.parts[:-1]
        with folder_beneath(files.root.folder.root, parts) as folder, _new_file(target.path.name, folder) as copy:
            _copy_bytes(fd, copy, lambda: True)
            os.fchmod(copy, 0o644)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _new_file(name: str, folder: int) -> Iterator[int]:
    fd = os.open(name, _NEW, 0o600, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy_bytes(origin: int, copy: int, wanted: Wanted) -> None:
    try:
        fcntl.ioctl(copy, FICLONE, origin)
    except OSError as error:
        if error.errno not in NO_CLONES:
            raise
    else:
        return
    while os.sendfile(copy, origin, None, CHUNK_BYTES):
        if not wanted():
            raise NotWanted
