"""Celery in a worker: what is not a run's own work, and the wakes that say that there is a run to look at.

A message only asks for work that the database or the disk knows of, so each task may come twice, at the same time on
several workers, or never: the periodic ones find again what a lost message was about (docs/decisions/0014).

Nothing here ends a run: where Celery ends by itself it is started again, and without it runs go on as they are.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.beat import Scheduler, Service
from celery.exceptions import SecurityWarning
from celery.worker import state
from kombu import Consumer

from common.errors import DiskFull, StoreUnavailable
from wes_service.queue.celery_queue import DELIVER_NOTIFICATIONS, REMOVE_FOLDER, celery_app, wake_queue
from wes_service.services.deletion import FolderCleanup
from wes_service.services.notifications import NotificationDelivery
from wes_service.services.retention import WorkFolderCleanup

log = structlog.get_logger(__name__)

REMOVE_DELETED = "wes.remove_deleted_folders"
REMOVE_ORPHANED = "wes.remove_orphaned_folders"
REMOVE_NOTIFICATIONS = "wes.remove_old_notifications"
REMOVE_WORK = "wes.remove_work_folders"
REMOVE_DELETED_SECONDS = 600.0
REMOVE_WORK_SECONDS = 3600.0
REMOVE_ORPHANED_SECONDS = 24 * 3600.0
REMOVE_NOTIFICATIONS_SECONDS = 24 * 3600.0
DELIVER_SECONDS = 10.0
"""Between two looks for notifications that are due again, or whose message was lost."""
TASKS_AT_ONCE = 4
"""Folders of many files and receivers that do not answer hold a thread each."""
RETRY_SECONDS = 5
"""Before the first retry of a task; the waits get longer, and after some tries it is left to the periodic task."""
RESTART_SECONDS = 5.0
PERIODS = {
    REMOVE_DELETED: REMOVE_DELETED_SECONDS,
    REMOVE_WORK: REMOVE_WORK_SECONDS,
    REMOVE_ORPHANED: REMOVE_ORPHANED_SECONDS,
    REMOVE_NOTIFICATIONS: REMOVE_NOTIFICATIONS_SECONDS,
    DELIVER_NOTIFICATIONS: DELIVER_SECONDS,
}
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def register_tasks(
    app: Celery, cleanup: FolderCleanup, retention: WorkFolderCleanup, delivery: NotificationDelivery
) -> None:
    """The tasks of this service, and when beat is to send the periodic ones: first when a worker starts."""

    def remove_folder(run_id: str) -> None:
        cleanup.remove(run_id)

    def remove_deleted() -> None:
        cleanup.remove_deleted()

    def remove_orphaned() -> None:
        cleanup.remove_orphaned()

    def deliver_notifications(_run_id: str = "") -> None:
        delivery.deliver()

    def remove_notifications() -> None:
        delivery.remove_old()

    def remove_work() -> None:
        retention.remove_expired()

    for name, task in (
        (REMOVE_FOLDER, remove_folder),
        (REMOVE_DELETED, remove_deleted),
        (REMOVE_ORPHANED, remove_orphaned),
        (DELIVER_NOTIFICATIONS, deliver_notifications),
        (REMOVE_NOTIFICATIONS, remove_notifications),
        (REMOVE_WORK, remove_work),
    ):
        # Not shared: worker and beat have an application each.
        app.task(
            name=name,
            shared=False,
            acks_late=True,
            autoretry_for=(StoreUnavailable, DiskFull),
            retry_backoff=RETRY_SECONDS,
        )(task)
    app.conf.beat_schedule = {
        name: {"task": name, "schedule": seconds, "last_run_at": LONG_AGO, "options": {"expires": seconds}}
        for name, seconds in PERIODS.items()
    }


class BackgroundTasks:
    """A Celery worker and Celery's beat, each in a thread of this process."""

    def __init__(
        self,
        redis_url: str,
        cleanup: FolderCleanup,
        retention: WorkFolderCleanup,
        delivery: NotificationDelivery,
        wake: Callable[[], None],
    ) -> None:
        self._redis_url = redis_url
        self._cleanup = cleanup
        self._retention = retention
        self._delivery = delivery
        self._wake = wake
        self._stopped = threading.Event()
        self._beat: Service | None = None
        self._threads = [
            threading.Thread(target=self._keep_running, args=(work,), name=name, daemon=True)
            for name, work in (("celery-worker", self._run_worker), ("celery-beat", self._run_beat))
        ]

    def start(self) -> None:
        """Returns at once, whether there is a Redis or not."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begins no more tasks; returns at once, as threads and tasks may end with the process at any moment."""
        self._stopped.set()
        # As Celery's own handler of SIGTERM does, which it can install in a main thread only.
        state.should_stop = 0
        if self._beat is not None:
            self._beat.stop()

    @property
    def is_busy(self) -> bool:
        """Whether a task is under way."""
        return bool(state.active_requests)

    def _keep_running(self, work: Callable[[Celery], None]) -> None:
        while not self._stopped.is_set():
            try:
                with contextlib.closing(celery_app(self._redis_url)) as app:
                    register_tasks(app, self._cleanup, self._retention, self._delivery)
                    work(app)
            except Exception:
                log.exception("Celery failed", action="celery")
            if not self._stopped.wait(RESTART_SECONDS):
                log.warning("Celery is started again", action="celery", thread=threading.current_thread().name)

    def _run_worker(self, app: Celery) -> None:
        state.should_stop = None
        app.steps["consumer"].add(_wake_step(self._wake))
        with warnings.catch_warnings():
            # Celery warns a root worker of pickled messages; ours are JSON, and foreign code never runs as root.
            warnings.simplefilter("ignore", SecurityWarning)
            worker = app.Worker(
                pool="threads",
                concurrency=TASKS_AT_ONCE,
                loglevel="WARNING",
                quiet=True,
                redirect_stdouts=False,
                without_gossip=True,
                without_mingle=True,
            )
        # This process is more than Celery, and keeps its own name for `ps`.
        worker.set_process_status = _keep_process_title
        worker.start()

    def _run_beat(self, app: Celery) -> None:
        self._beat = Service(app, scheduler_cls=Scheduler, remote_control=False)
        if not self._stopped.is_set():
            self._beat.start()


def _keep_process_title(_info: str) -> None:
    """In the place of Celery's own, which gives the process another title."""


def _wake_step(wake: Callable[[], None]) -> type[Any]:
    class WakeConsumer(bootsteps.ConsumerStep):  # type: ignore[misc]
        """Hears the broadcast in Celery's own loop, so that no task keeps it waiting."""

        def get_consumers(self, channel: Any) -> list[Consumer]:
            return [Consumer(channel, queues=[wake_queue()], on_message=self.on_message, no_ack=True)]

        def on_message(self, _message: Any) -> None:
            wake()

    return WakeConsumer
