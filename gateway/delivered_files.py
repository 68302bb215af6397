"""What a task left in its run, noted when it ended: by it an earlier task is known to be whole, and unchanged."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from common.json_types import JsonObject
from common.run_root import RunLocation
from gateway.content_digests import ContentDigests, Wanted, tree_files
from gateway.file_origins import FileOrigins
from gateway.run_files import FileTree
from gateway.run_objects import is_safe
from gateway.translation import UnusableInput
from sandbox.foreign_files import folder_beneath
from tes.task import Task

RECORD = "delivered.json"
"""In the folder of the task's logs, which no engine and no task sees."""
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class NotReusable(Exception):
    """The message says why what a task left can't be another one's."""


@dataclass(frozen=True, kw_only=True)
class DeliveredFile:
    """A file of `outputs[number]` of a task, at `path` below it, empty for the output itself. It has a `sha256`
    (hexadecimal), or was left in a store (`FileOrigin.document`); without both it is an empty folder."""

    number: int
    path: str
    size: int = 0
    sha256: str | None = None
    origin: JsonObject | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is an empty folder."""
        return self.sha256 is None and self.origin is None


@dataclass(frozen=True, kw_only=True)
class DeliveredFiles:
    """The records of one run's tasks. Methods block, and may be called from many threads at once."""

    files: FileTree
    digests: ContentDigests
    origins: FileOrigins | None = None
    """None where no TES has a storage."""

    def record(self, task: Task, wanted: Wanted) -> None:
        """Looks at all outputs of a task that has just ended. `UnusableInput` where one is not to be had whole,
        `NotWanted`."""
        self.write(task, list(self._found(task, wanted)))

    def write(self, task: Task, found: Sequence[DeliveredFile]) -> None:
        """Notes what is known of a task."""
        with folder_beneath(self.files.root.folder.root, _logs(task)) as folder:
            fd = os.open(f".{RECORD}", _WRITE, 0o600, dir_fd=folder)
            with os.fdopen(fd, "w") as file:
                json.dump([asdict(one) for one in found], file)
            os.rename(f".{RECORD}", RECORD, src_dir_fd=folder, dst_dir_fd=folder)

    def read(self, task: Task) -> Sequence[DeliveredFile]:
        """`NotReusable` where there is none."""
        try:
            with folder_beneath(self.files.root.folder.root, _logs(task)) as folder:
                fd = os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(fd, "rb") as file:
                found = [DeliveredFile(**one) for one in json.load(file)]
        except (OSError, ValueError, TypeError) as error:
            raise NotReusable(f"what it left is not noted: {error}") from None
        outputs = len(task.body.get("outputs") or [])
        if any(one.number >= outputs or (one.path and not is_safe(one.path)) for one in found):
            raise NotReusable("what is noted of it is of another task")
        return found

    def _found(self, task: Task, wanted: Wanted) -> Iterator[DeliveredFile]:
        for number, output in enumerate(task.body.get("outputs") or []):
            location = self.files.root.parse(output["url"])
            if not isinstance(location, RunLocation) or not location.is_in(self.files.root.folder.work):
                continue
            for one in tree_files(self.files, location):
                path = "" if one.path == PurePosixPath() else str(one.path)
                if one.location is None:
                    yield DeliveredFile(number=number, path=path)
                elif not isinstance(one.location, RunLocation):
                    raise UnusableInput(f"{one.path} is data that lie elsewhere")
                else:
                    yield self._file(number, path, one.location, wanted)

    def _file(self, number: int, path: str, location: RunLocation, wanted: Wanted) -> DeliveredFile:
        origin = self.origins.left_in_store(location) if self.origins else None
        if origin is not None:
            return DeliveredFile(number=number, path=path, size=origin.stored.size, origin=origin.document())
        with self.files.opened(location) as fd:
            size = os.fstat(fd).st_size
            return DeliveredFile(number=number, path=path, size=size, sha256=self.digests.of(fd, wanted))


def _logs(task: Task) -> tuple[str, ...]:
    return "logs", "tasks", task.id
