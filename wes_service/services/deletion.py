"""Deletes runs with all their data, and finishes what a crash left half done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from common.errors import StoreUnavailable
from wes_service.core.ports import RunStore, TombstoneStore
from wes_service.core.run import Owner

LOG = structlog.get_logger(__name__)
SWEEP_BATCH = 10_000


class DeletableFolders(Protocol):
    """Where the data of runs lies."""

    def remove(self, run_id: str) -> bool:
        """Removes all of a run; whether nothing of it is left."""

    def old(self) -> Iterator[str]:
        """Ids of the runs whose folders have been there for a day."""

    def is_begun(self, run_id: str) -> bool:
        """Whether a worker ever began it."""


@dataclass(frozen=True, kw_only=True)
class Deleter:
    """The row goes first, so that nobody sees half a run, and its tombstone says that the folder has to go too."""

    runs: RunStore
    tombstones: TombstoneStore
    folders: DeletableFolders

    def delete(self, owner: Owner, run_id: str) -> None:
        """As `RunStore.delete`, and the folder is gone; what can't be removed now is tried again by `finish`."""
        self.runs.delete(owner, run_id)
        LOG.info("run deleted", action="delete", run_id=run_id, issuer=owner.issuer, subject=owner.subject)
        self._purge(run_id)

    def finish(self) -> None:
        """Removes the folders of deleted runs that are still there."""
        for run_id in self.tombstones.unpurged():
            self._try(run_id, self._purge)

    def sweep(self) -> None:
        """Removes folders of runs that were never stored: their server died between the folder and the row.

        Only what no worker ever began is removed, as a database that was restored from a backup knows none of the runs
        that came after it, and their results are worth more than the space.
        """
        old = self.folders.old()
        while some := list(islice(old, SWEEP_BATCH)):
            for run_id in self.tombstones.unknown_runs(some):
                self._try(run_id, self._sweep)

    def _sweep(self, run_id: str) -> None:
        if not self.folders.is_begun(run_id):
            LOG.warning("a folder without a run is removed", action="sweep", run_id=run_id)
            self.folders.remove(run_id)

    def _try(self, run_id: str, work: Callable[[str], None]) -> None:
        """One run whose data can't be removed does not keep that of others."""
        try:
            work(run_id)
        except StoreUnavailable:
            raise
        except Exception:
            LOG.exception("could not tidy up", action="housekeeping", run_id=run_id)

    def _purge(self, run_id: str) -> None:
        if self.folders.remove(run_id):
            self.tombstones.purged(run_id)
        else:
            LOG.warning("the folder of a deleted run can't be removed", action="purge", run_id=run_id)
