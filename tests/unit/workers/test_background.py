import threading
from pathlib import Path

import pytest
from celery import Celery
from celery.beat import Scheduler

from sandbox.identity import foreign_identity
from tests.fakes.notifications import delivery_of
from tests.fakes.object_store import no_storages
from tests.fakes.stores import FakeStores
from tests.waiting import until
from wes_service.queue.celery_queue import DELIVER_NOTIFICATIONS, REMOVE_FOLDER, celery_app
from wes_service.services.deletion import FolderCleanup
from wes_service.services.notifications import NotificationDelivery
from wes_service.services.retention import WorkFolderCleanup
from wes_service.storage.run_folders import RunFolders
from workers import background
from workers.background import (
    PERIODS,
    REMOVE_DELETED,
    REMOVE_NOTIFICATIONS,
    REMOVE_ORPHANED,
    REMOVE_WORK,
    BackgroundTasks,
    register_tasks,
)


@pytest.fixture
def cleanup(tmp_path: Path) -> FolderCleanup:
    folders = RunFolders(tmp_path / "runs", foreign_identity(64321))
    return FolderCleanup(tombstones=FakeStores().tombstones, folders=folders, storages=no_storages())


@pytest.fixture
def delivery() -> NotificationDelivery:
    stores = FakeStores()
    return delivery_of(stores.notifications, {}, stores.clock)


def retention_of(cleanup: FolderCleanup) -> WorkFolderCleanup:
    stores = FakeStores()
    return WorkFolderCleanup(
        runs=stores.retention,
        folders=RunFolders(Path("/nowhere"), foreign_identity(64321)),
        storages=cleanup.storages,
        clock=stores.clock,
        keep="",
    )


def test_each_task_is_known_to_the_end_and_the_periodic_ones_are_due_at_once(
    cleanup: FolderCleanup, delivery: NotificationDelivery
) -> None:
    app = celery_app("redis://localhost")
    register_tasks(app, cleanup, retention_of(cleanup), delivery)
    assert all(app.tasks[name].acks_late for name in (REMOVE_FOLDER, DELIVER_NOTIFICATIONS, *PERIODS))
    assert {entry["task"]: entry["schedule"] for entry in app.conf.beat_schedule.values()} == {
        REMOVE_DELETED: 600.0,
        REMOVE_WORK: 3600.0,
        REMOVE_ORPHANED: 86400.0,
        REMOVE_NOTIFICATIONS: 86400.0,
        DELIVER_NOTIFICATIONS: 10.0,
    }
    assert all(entry["options"]["expires"] == entry["schedule"] for entry in app.conf.beat_schedule.values())


def test_celery_that_fails_is_started_again_and_no_error_comes_out(
    cleanup: FolderCleanup, delivery: NotificationDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def fail(_: BackgroundTasks, app: Celery) -> None:
        started.append(app.main)
        raise LookupError("Celery is broken")

    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(BackgroundTasks, "_run_worker", fail)
    monkeypatch.setattr(BackgroundTasks, "_run_beat", fail)
    tasks = BackgroundTasks("redis://localhost", cleanup, retention_of(cleanup), delivery, lambda: None)
    tasks.start()
    until(lambda: len(started) > 4)
    tasks.stop()
    for thread in tasks._threads:
        thread.join(30)
        assert not thread.is_alive()


def test_beat_ends_when_it_is_stopped(
    cleanup: FolderCleanup, delivery: NotificationDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = threading.Event()

    class Ticks(Scheduler):  # type: ignore[misc]
        """Sends nothing."""

        def tick(self) -> float:
            began.set()
            return 0.01

    monkeypatch.setattr(background, "Scheduler", Ticks)
    monkeypatch.setattr(BackgroundTasks, "_run_worker", lambda *_: None)
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.01)
    tasks = BackgroundTasks("redis://localhost", cleanup, retention_of(cleanup), delivery, lambda: None)
    tasks.start()
    assert began.wait(30)
    tasks.stop()
    for thread in tasks._threads:
        thread.join(30)
        assert not thread.is_alive()
