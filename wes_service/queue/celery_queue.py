"""The queue: Celery on Redis. Wakes are broadcast to all workers, tasks go to one (docs/decisions/0001, 0014)."""

import contextlib
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from celery import Celery
from kombu import Exchange, Queue
from kombu.common import Broadcast
from kombu.exceptions import KombuError

WAKE = "wes.wake"
TASKS = "wes.tasks"
REMOVE_FOLDER = "wes.remove_folder"
"""The task that removes the folder of one deleted run."""
DELIVER_NOTIFICATIONS = "wes.deliver_notifications"
"""The task that delivers all notifications that are due; the run is told for logs only."""
LOOKS = (None, DELIVER_NOTIFICATIONS)
WAKE_EXCHANGE = Exchange(WAKE, type="fanout", durable=False)
CONNECT_SECONDS = 2.0
CLOSE_SECONDS = 2.0
LONGEST_BACKLOG = 10_000
SEND_INTERVAL = 0.1
"""Seconds between two wakes, so that many runs at once don't cost a message each."""

log = structlog.get_logger(__name__)


def broker_url(redis_url: str) -> str:
    """Celery's name for a Redis URL: `unix://` and a bare path are `redis+socket://` there."""
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return f"redis+socket://{redis_url}" if redis_url.startswith("/") else redis_url


def celery_app(redis_url: str) -> Celery:
    """The Celery application of clients and workers: JSON only, no results, one queue for tasks."""
    app = Celery("wes", broker=broker_url(redis_url))
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(TASKS)],
        task_default_queue=TASKS,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_connect_timeout": CONNECT_SECONDS},
    )
    return app


def wake_queue() -> Queue:
    """A queue of its own for each worker that hears wakes; it is gone with its connection."""
    return Broadcast(WAKE, exchange=WAKE_EXCHANGE)


@dataclass(frozen=True, kw_only=True)
class QueuedMessage:
    """`task` is None for a wake, whose run id is told for logs only."""

    task: str | None
    run_id: str


class CeleryQueue:
    """Sends from a thread of its own, so that no request ever waits for Redis.

    Redis holds hints only: where it does not answer, workers find by themselves what there is to do.
    """

    def __init__(self, redis_url: str) -> None:
        self._app = celery_app(redis_url)
        self._waiting: queue.Queue[QueuedMessage | None] = queue.Queue(LONGEST_BACKLOG)
        self._thread = threading.Thread(target=self._send_all, name="celery-queue", daemon=True)
        self._thread.start()

    def wake(self, run_id: str) -> None:
        self._put(QueuedMessage(task=None, run_id=run_id))

    def remove_folder(self, run_id: str) -> None:
        self._put(QueuedMessage(task=REMOVE_FOLDER, run_id=run_id))

    def deliver_notifications(self, run_id: str) -> None:
        self._put(QueuedMessage(task=DELIVER_NOTIFICATIONS, run_id=run_id))

    def check(self) -> None:
        # A connection of its own: the one that sends may be in use, and Kombu says hello on each new one.
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1, interval_max=0.1)
            connection.default_channel.client.ping()

    def close(self) -> None:
        """Sends what is waiting, for two seconds at most."""
        self._put(None)
        self._thread.join(CLOSE_SECONDS)
        self._app.close()

    def _put(self, message: QueuedMessage | None) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(message)

    def _send_all(self) -> None:
        closed = False
        while not closed:
            messages, closed = self._next_messages()
            for message in messages:
                self._send(message)
            if not closed:
                time.sleep(SEND_INTERVAL)

    def _next_messages(self) -> tuple[Sequence[QueuedMessage], bool]:
        """What waits, and whether that is the end. Of what asks for a look, the newest: one is as good as many."""
        waiting = [self._waiting.get()]
        with contextlib.suppress(queue.Empty):
            while waiting[-1] is not None:
                waiting.append(self._waiting.get_nowait())
        messages = [message for message in waiting if message is not None]
        looks = {message.task: message for message in messages if message.task in LOOKS}
        return [*looks.values(), *(message for message in messages if message.task not in LOOKS)], waiting[-1] is None

    def _send(self, message: QueuedMessage) -> None:
        try:
            if message.task is None:
                self._broadcast_wake(message.run_id)
            else:
                self._app.send_task(message.task, args=[message.run_id], retry=False)
        except (KombuError, OSError) as error:
            what = message.task or WAKE
            log.warning("a message could not be sent", action=what, run_id=message.run_id, problem=str(error))

    def _broadcast_wake(self, run_id: str) -> None:
        with self._app.producer_or_acquire() as producer:
            producer.publish({"run_id": run_id}, exchange=WAKE_EXCHANGE, declare=[WAKE_EXCHANGE], retry=False)
