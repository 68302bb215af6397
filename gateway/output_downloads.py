"""What tasks stored, on its way back to the run's folder, or named there while the bytes stay where they are."""

from dataclasses import dataclass, replace

from common.object_store import ObjectStores, StoredObject
from common.run_root import RunLocation, RunRoot
from gateway.file_origins import FileOrigin, FileOrigins
from gateway.run_objects import RunObjects, beginnings, in_folder, is_safe
from gateway.translation import UnusableOutput
from tes.task import TAG_OUTPUTS, Task, TesOutput

ON_DEMAND = "on-demand"
"""Value of the tag by which an engine says that it asks for what it opens."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to bring back; one that is `withheld` stays in the store until somebody asks for it."""

    origin: FileOrigin
    target: RunLocation
    withheld: bool


@dataclass(frozen=True, kw_only=True)
class OutputDownloads:
    """Brings back what tasks of one run left in one store. Methods block, may be called from many threads at once, and
    raise `UnusableOutput` or as `ObjectStores` does."""

    root: RunRoot
    stores: ObjectStores
    objects: RunObjects
    origins: FileOrigins

    def plan(self, task: Task) -> list[Download]:
        """What the task stored for outputs that lie in the run."""
        folder = self.objects.outputs(task.id, task.submission)
        stored: list[StoredObject] = []
        for one in self.stores.list(folder):
            stored.append(one)
            if len(stored) > self.origins.room.limits.files:
                raise UnusableOutput(f"the task made more than {self.origins.room.limits.files} output files")
        shared = beginnings([one.url for one in stored])
        found = [self._download(task, one, alone=one.url not in shared) for one in stored]
        return [one for one in found if one is not None]

    def make_folders(self, task: Task) -> None:
        """The folders that are outputs, even if nothing is in them."""
        for number, output in enumerate(task.body.get("outputs") or []):
            location = self._location(output)
            if location is not None and in_folder(task.body, number):
                self.origins.files.make_folder(location)

    def deliver(self, download: Download) -> None:
        """Makes the file that was planned."""
        deliver = self.origins.withhold if download.withheld else self.origins.receive
        deliver(download.origin, download.target)

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
        target = replace(location, path=location.path / found.path)
        origin = FileOrigin(stored=stored, folder=self.objects.folder, alone=alone)
        return Download(origin=origin, target=target, withheld=self._may_stay(task, stored, target))

    def _may_stay(self, task: Task, stored: StoredObject, target: RunLocation) -> bool:
        """Logs are read by this service itself."""
        asks = (task.body.get("tags") or {}).get(TAG_OUTPUTS) == ON_DEMAND
        return asks and stored.size > 0 and target.is_in(self.root.folder.work)

    def _location(self, output: TesOutput) -> RunLocation | None:
        location = self.root.parse(output["url"])
        return location if isinstance(location, RunLocation) else None
