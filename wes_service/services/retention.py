"""Removes the work folders of runs that ended long ago; their outputs and logs stay."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from common.errors import ObjectStoreFailure, SettingsError, StoreUnavailable
from common.paging import Cursor
from common.times import parse_span
from engines.kit.settings import PROGRESS
from wes_service.core.links import kept_paths
from wes_service.core.ports import Clock, EndedRun, RetentionStore
from wes_service.services.deletion import RunStorages

LOG = structlog.get_logger(__name__)
RUNS_AT_ONCE = 100


class WorkFolders(Protocol):
    """Where engines and tasks wrote."""

    def remove_work(self, run_id: str, kept: Collection[str]) -> bool:
        """Removes all of a run's work folder but what `kept` names by relative path, and all in folders that it names;
        whether that could be done."""


@dataclass(frozen=True, kw_only=True)
class WorkFolderCleanup:
    """`keep` is for how long after a run's end its work folder stays, as `30d`; empty: for ever.

    Any number of workers may do it at once, and again where one was ended in the middle of it.
    """

    runs: RetentionStore
    folders: WorkFolders
    storages: RunStorages
    clock: Clock
    keep: str

    def remove_expired(self) -> None:
        """Of all runs that ended before, those that ended first first; one that fails does not keep the others."""
        span = parse_span(self.keep)
        after: Cursor | None = None
        while span is not None:
            page = self.runs.ended_before(self.clock.now() - span, RUNS_AT_ONCE, after)
            for run in page.items:
                self._try(run)
            if (after := page.next) is None:
                return

    def _try(self, run: EndedRun) -> None:
        try:
            self._remove(run)
        except StoreUnavailable:
            raise
        except (ObjectStoreFailure, SettingsError, OSError) as error:
            LOG.warning("a work folder can't be removed", action="retention", run_id=run.id, problem=str(error))

    def _remove(self, run: EndedRun) -> None:
        self.storages.remove(run.id)
        if not self.folders.remove_work(run.id, (*kept_paths(run.outputs), PROGRESS)):
            raise OSError("something in it could not be removed")
        line = f"Its work folder was removed {self.keep} after its end (WES_KEEP_WORK); outputs and logs are kept."
        if self.runs.work_removed(run.id, line):
            LOG.info("work folder removed", action="retention", run_id=run.id, ended=_text(run.ended))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
