"""The folders of runs, on a disk that the API and the workers share."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from common.engine import RunFolder, is_safe_id
from common.errors import LogNotFound, RunNotFound
from sandbox.identity import Identity
from wes_service.storage.beneath import open_beneath
from wes_service.storage.removal import remove_tree
from wes_service.storage.staging import Staging

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
