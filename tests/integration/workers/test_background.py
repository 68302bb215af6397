"""Celery in a worker, on a real Redis."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from celery.worker import state

from common.errors import StoreUnavailable
from sandbox.identity import foreign_identity
from tests.contract.store.stores import ANN, claimed, lease_of
from tests.fakes.notifications import delivery_of
from tests.fakes.object_store import no_storages
from tests.fakes.stores import FakeStores
from tests.redis_fixture import real_redis
from tests.waiting import PATIENCE, until
from wes_service.core.run import RunState
from wes_service.queue.celery_queue import CeleryQueue
from wes_service.services.deletion import FolderCleanup
from wes_service.services.retention import WorkFolderCleanup
from wes_service.storage.run_folders import RunFolders
from wes_service.store.database import SystemClock
from workers import background
from workers.background import BackgroundTasks


@dataclass(kw_only=True)
class Site:
    """A Redis, the API's queue on it, run folders, a worker's Celery; so often is the database `away`."""

    url: str
    queue: CeleryQueue
    stores: FakeStores
    folders: RunFolders
    woken: Event = field(default_factory=Event)
    away: int = 0

    def deleted(self, number: int) -> Path:
        """The folder of a run whose row is deleted already."""
        folder = self.ended(number)
        self.stores.runs.delete(ANN, folder.name)
        return folder

    def ended(self, number: int) -> Path:
        """The folder of a run that has ended."""
        run = claimed(self.stores, number)
        self.stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
        with self.folders.stage() as staging:
            return self.folders.commit(staging, run.id).root

    @contextmanager
    def worker(self) -> Iterator[BackgroundTasks]:
        retention = WorkFolderCleanup(
            runs=self.stores.retention,
            folders=self.folders,
            storages=no_storages(),
            clock=self.stores.clock,
            keep="1s",
        )
        delivery = delivery_of(self.stores.notifications, {}, SystemClock())
        tasks = BackgroundTasks(self.url, _Cleanup(self), retention, delivery, self.woken.set)
        tasks.start()
        try:
            yield tasks
        finally:
            tasks.stop()
            for thread in tasks._threads[:1]:
                thread.join(PATIENCE)


class _Cleanup(FolderCleanup):
    site: Site

    def __init__(self, site: Site) -> None:
        super().__init__(tombstones=site.stores.tombstones, folders=site.folders, storages=no_storages())
        object.__setattr__(self, "site", site)

    def remove(self, run_id: str) -> None:
        if self.site.away:
            self.site.away -= 1
            raise StoreUnavailable
        super().remove(run_id)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folders = RunFolders(tmp_path / "runs", foreign_identity(64321))
    folders.prepare()
    with real_redis() as url, closing(CeleryQueue(url)) as queue:
        yield Site(url=url, queue=queue, stores=FakeStores(), folders=folders)


def woken_soon(site: Site) -> None:
    """A wake is lost where nobody listens yet, so it is sent again and again."""
    site.woken.clear()

    def heard() -> bool:
        site.queue.wake("run-7")
        return site.woken.wait(0.5)

    until(heard)


def test_what_was_deleted_before_a_worker_came_is_removed_when_it_starts(site: Site) -> None:
    folder = site.deleted(1)
    with site.worker():
        until(lambda: not folder.exists())
        until(lambda: not site.stores.tombstones.unpurged())


def test_old_work_folders_are_removed_when_a_worker_starts(site: Site) -> None:
    folder = site.ended(1)
    scratch = folder / "work" / "scratch"
    scratch.parent.mkdir()
    scratch.touch()
    site.stores.shelf.clock.advance(2)  # type: ignore[attr-defined]
    with site.worker():
        until(lambda: not scratch.exists())
        until(lambda: site.stores.runs.get(ANN, folder.name).work_removed is not None)


def test_a_folder_is_removed_when_the_api_asks_for_it_and_wakes_are_heard(site: Site) -> None:
    with site.worker():
        woken_soon(site)
        folder = site.deleted(1)
        site.queue.remove_folder(folder.name)
        until(lambda: not folder.exists())


def test_a_task_is_tried_again_while_the_database_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", 1)
    with site.worker():
        woken_soon(site)
        folder, site.away = site.deleted(1), 2
        site.queue.remove_folder(folder.name)
        until(lambda: not folder.exists())
    assert site.away == 0


def test_the_folder_of_a_run_that_is_not_deleted_stays(site: Site) -> None:
    with site.folders.stage() as staging:
        kept = site.folders.commit(staging, claimed(site.stores, 2).id).root
    with site.worker():
        site.queue.remove_folder(kept.name)
        folder = site.deleted(1)
        site.queue.remove_folder(folder.name)
        until(lambda: not folder.exists())
    assert kept.exists()


def test_celery_is_started_again_when_it_ends_by_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.1)
    with site.worker():
        woken_soon(site)
        state.should_stop = 1
        until(lambda: state.should_stop is None)
        woken_soon(site)
