"""What tasks stored on its way back to the run's folder, written where foreign code may change folders meanwhile."""

import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from common.errors import ObjectNotFound
from common.object_store import ObjectStores, StoredObject
from common.run_root import RunLocation, RunRoot
from gateway.content_uploads import ContentUploads
from gateway.run_objects import RunObjects, beginnings, in_folder, is_safe
from gateway.translation import UnusableOutput
from sandbox.foreign_files import folder_beneath
from sandbox.identity import Identity
from sandbox.limits import in_gb
from tes.task import Task, TesOutput

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """`files`: most of one task. `run_bytes`: of a run, all its tasks together, None where only the disk is a limit, of
    which `free_bytes` are left alone."""

    files: int
    run_bytes: int | None
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to bring back; `alone` tells whether every server can read the object by its own URL."""

    stored: StoredObject
    target: RunLocation
    alone: bool


@dataclass(kw_only=True)
class OutputDownloads:
    """Brings back what tasks of one run stored. Methods block, may be called from many threads at once, and raise
    `UnusableOutput` or as `ObjectStores` does."""

    root: RunRoot
    stores: ObjectStores
    objects: RunObjects
    uploads: ContentUploads
    identity: Identity
    limits: DownloadLimits
    received: int = 0
    """Bytes that were planned to be brought back since this worker has the run."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, task: Task) -> list[Download]:
        """All that the task stored for outputs that lie in the run, as far as there is room for it."""
        folder = self.objects.outputs(task.id, task.submission)
        stored: list[StoredObject] = []
        for one in self.stores.list(folder):
            stored.append(one)
            if len(stored) > self.limits.files:
                raise UnusableOutput(f"the task made more than {self.limits.files} output files")
        shared = beginnings([one.url for one in stored])
        found = [self._download(task, one, alone=one.url not in shared) for one in stored]
        wanted = [one for one in found if one is not None]
        self._make_room(sum(one.stored.size for one in wanted))
        return wanted

    def make_folders(self, task: Task) -> None:
        """The folders that are outputs, even if nothing is in them."""
        for number, output in enumerate(task.body.get("outputs") or []):
            location = self._location(output)
            if location is not None and in_folder(task.body, number):
                with self._folder(location.path.parts):
                    pass

    def fetch(self, download: Download) -> None:
        """Writes the file whole or not at all; what is in its place, and is no folder, is replaced."""
        *folders, name = download.target.path.parts
        with self._folder(tuple(folders)) as folder, self._unfinished(folder) as (unfinished, fd):
            digest = self._receive(download.stored, fd)
            self.uploads.know(fd, digest, download.stored.url, alone=download.alone)
            try:
                os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError as error:
                raise UnusableOutput(f"{self._seen(download.target)} can't be written: {error.strerror}") from None

    def _download(self, task: Task, stored: StoredObject, *, alone: bool) -> Download | None:
        found = self.objects.stored_output(task.id, task.submission, stored.url)
        outputs = task.body.get("outputs") or []
        if found is None or found.number >= len(outputs):
            return None
        location = self._location(outputs[found.number])
        # A file where a folder is expected, or the other way round, is nothing that the task declared.
        if location is None or bool(found.path) is not in_folder(task.body, found.number):
            return None
        if found.path and not is_safe(found.path):
            raise UnusableOutput(f"the task stored a file whose name can't be used: {found.path[:200]!r}")
        return Download(stored=stored, target=RunLocation(path=location.path / found.path), alone=alone)

    def _location(self, output: TesOutput) -> RunLocation | None:
        location = self.root.parse(output["url"])
        return location if isinstance(location, RunLocation) else None

    def _make_room(self, size: int) -> None:
        with self._lock:
            most = self.limits.run_bytes
            if most is not None and self.received + size > most:
                raise UnusableOutput(
                    f"its outputs ({in_gb(size)}) are more than the run may still have on disk: "
                    f"{in_gb(max(0, most - self.received))} of {in_gb(most)} (WES_RUN_DISK_GB)"
                )
            if size > shutil.disk_usage(self.root.folder.root).free - self.limits.free_bytes:
                raise UnusableOutput(f"there is no room on disk for its outputs ({in_gb(size)})")
            self.received += size

    def _receive(self, stored: StoredObject, fd: int) -> str:
        digest, size = hashlib.sha256(), 0
        with open(fd, "wb", closefd=False) as file:
            for chunk in self._chunks(stored):
                size += chunk.nbytes
                digest.update(chunk)
                file.write(chunk)
        if size != stored.size:
            raise UnusableOutput(f"{stored.url} has {size} bytes in place of the {stored.size} that were listed")
        return digest.hexdigest()

    def _chunks(self, stored: StoredObject) -> Iterator[memoryview]:
        if stored.size == 0:
            return
        try:
            for chunk in self.stores.open(stored.url).chunks:
                yield memoryview(chunk)
        except ObjectNotFound as error:
            raise UnusableOutput(str(error)) from None

    @contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        try:
            with folder_beneath(self.root.folder.root, parts, self.identity) as folder:
                yield folder
        except OSError as error:
            seen = self._seen(RunLocation(path=PurePosixPath(*parts)))
            raise UnusableOutput(f"{seen} can't be written to: {error.strerror}") from None

    @contextmanager
    def _unfinished(self, folder: int) -> Iterator[tuple[str, int]]:
        name = f".wes-{secrets.token_hex(8)}"
        fd = os.open(name, _NEW, 0o644, dir_fd=folder)
        try:
            if self.identity.drop:
                os.fchown(fd, self.identity.uid, self.identity.gid)
            yield name, fd
        finally:
            os.close(fd)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)

    def _seen(self, location: RunLocation) -> Path:
        return self.root.seen_path(location)
