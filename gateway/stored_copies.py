"""Outputs that a task of an earlier run left in a store, for a task of this run: copied there, not by way of here.

The copy is this run's own object, and goes with it; the earlier run may be deleted meanwhile.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from common.errors import InvalidLocation
from common.object_store import ObjectStores
from common.run_root import RunLocation
from gateway.content_digests import NotWanted, Wanted
from gateway.delivered_files import DeliveredFile, NotReusable
from gateway.file_origins import FileOrigin, FileOrigins, is_same_state, read_origin
from gateway.output_downloads import ON_DEMAND
from gateway.run_objects import RunObjects
from tes.task import TAG_OUTPUTS, Task


@dataclass(frozen=True, kw_only=True)
class StoredCopies:
    """In the `storages` of one run. Methods block, may be called from many threads at once, and raise `NotReusable` or
    as `ObjectStores` does."""

    run_id: str
    stores: ObjectStores
    storages: Collection[str]
    origins: FileOrigins

    def copied(self, source: Task, task: Task, file: DeliveredFile, wanted: Wanted) -> DeliveredFile:
        """The file as one of `task`, whose object is there; `NotWanted`."""
        if (task.body.get("tags") or {}).get(TAG_OUTPUTS) != ON_DEMAND:
            raise NotReusable("its outputs are in a store, and the engine wants them here")
        if not wanted():
            raise NotWanted
        before, objects = self._earlier(source, file)
        if not is_same_state(self.stores.head(before.stored.url), before.stored):
            raise NotReusable(f"{file.path or 'an output'} is not in the store as it was")
        folder = objects.output(task.id, task.submission, file.number)
        url = f"{folder}/{file.path}" if file.path else folder
        self.stores.copy(before.stored.url, url)
        stored = self.stores.head(url)
        if stored.size != before.stored.size:
            raise NotReusable(f"the copy of {file.path or 'an output'} is not whole")
        origin = replace(before, stored=stored, folder=objects.folder)
        return replace(file, origin=origin.document())

    def put(self, file: DeliveredFile, target: RunLocation) -> None:
        """Makes the file in this run whose object was copied; its bytes stay where they are."""
        self.origins.withhold(read_origin(file.origin or {}, self.origins.folders), target)

    def _earlier(self, source: Task, file: DeliveredFile) -> tuple[FileOrigin, RunObjects]:
        """Where it is, and what is this run's in the same storage."""
        for storage in self.storages:
            try:
                found = read_origin(file.origin or {}, [RunObjects(storage=storage, run_id=source.run_id).folder])
            except (ValueError, KeyError, TypeError, InvalidLocation):
                continue
            return found, RunObjects(storage=storage, run_id=self.run_id)
        raise NotReusable(f"{file.path or 'an output'} is in a store that no TES has now")
