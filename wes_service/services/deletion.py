"""Deletes runs with all their data, and removes what a crash left of others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from common.errors import ObjectStoreFailure, SettingsError, StoreUnavailable
from wes_service.core.ports import RunQueue, RunStore, TombstoneStore
from wes_service.core.run import Owner

LOG = structlog.get_logger(__name__)
FOLDERS_PER_QUERY = 10_000


class Folders(Protocol):
    """Where the data of runs lies."""

    def remove(self, run_id: str) -> bool:
        """Removes all of a run; whether nothing of it is left."""

    def remove_stale_uploads(self) -> None:
        """Removes what was received for runs whose form never came to its end."""

    def old(self) -> Iterator[str]:
        """Ids of the runs whose folders have been there for a day."""

    def is_begun(self, run_id: str) -> bool:
        """Whether a worker ever began it."""


class RunStorages(Protocol):
    """The object stores by way of which runs reach TES servers that share no folder with this service."""

    def remove(self, run_id: str) -> None:
        """Removes all of a run; `ObjectStoreFailure` where that has to be tried again."""


@dataclass(frozen=True, kw_only=True)
class Deleter:
    """What a client asks for. The row goes, so that nobody sees half a run, and its tombstone says that the folder has
    to go too; a worker does that, as it may take its time."""

    runs: RunStore
    queue: RunQueue

    def delete(self, owner: Owner, run_id: str) -> None:
        """As `RunStore.delete`, and the folder goes soon after."""
        self.runs.delete(owner, run_id)
        LOG.info("run deleted", action="delete", run_id=run_id, issuer=owner.issuer, subject=owner.subject)
        self.queue.remove_folder(run_id)


@dataclass(frozen=True, kw_only=True)
class FolderCleanup:
    """Removes folders and objects that no run needs.

    Any number of workers may do it at once: what one removed is gone for all.
    """

    tombstones: TombstoneStore
    folders: Folders
    storages: RunStorages

    def remove(self, run_id: str) -> None:
        """Removes the folder of one deleted run; what can't be removed now is tried again by `remove_deleted`."""
        if self.tombstones.is_unpurged(run_id):
            self._purge(run_id)

    def remove_deleted(self) -> None:
        """Removes the folders of deleted runs that are still there."""
        for run_id in self.tombstones.unpurged():
            self._try(run_id, self._purge)

    def remove_orphaned(self) -> None:
        """Removes uploads that never ended, and folders of runs that were never stored: their server died in between.

        Only what no worker ever began is removed, as a database that was restored from a backup knows none of the runs
        that came after it, and their results are worth more than the space.
        """
        self.folders.remove_stale_uploads()
        old = self.folders.old()
        while some := list(islice(old, FOLDERS_PER_QUERY)):
            for run_id in self.tombstones.unknown_runs(some):
                self._try(run_id, self._remove_orphan)

    def _remove_orphan(self, run_id: str) -> None:
        if not self.folders.is_begun(run_id):
            LOG.warning("a folder without a run is removed", action="sweep", run_id=run_id)
            self.folders.remove(run_id)

    def _purge(self, run_id: str) -> None:
        objects, folder = self._remove_objects(run_id), self.folders.remove(run_id)
        if not folder:
            LOG.warning("the folder of a deleted run can't be removed", action="purge", run_id=run_id)
        elif objects:
            self.tombstones.purged(run_id)

    def _remove_objects(self, run_id: str) -> bool:
        try:
            self.storages.remove(run_id)
        except (ObjectStoreFailure, SettingsError) as error:
            log = LOG.bind(action="purge", run_id=run_id)
            log.warning("the objects of a deleted run can't be removed", problem=str(error))
            return False
        return True

    def _try(self, run_id: str, work: Callable[[str], None]) -> None:
        """One run whose data can't be removed does not keep that of others."""
        try:
            work(run_id)
        except StoreUnavailable:
            raise
        except Exception:
            LOG.exception("could not tidy up", action="housekeeping", run_id=run_id)
