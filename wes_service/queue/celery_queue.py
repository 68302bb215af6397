"""The queue: Celery on Redis, one broadcast message per wake (design, decision 5; docs/decisions/0001)."""

import contextlib
import queue
import threading
import time

import structlog
from celery import Celery
from kombu import Exchange
from kombu.common import Broadcast
from kombu.exceptions import KombuError

WAKE = "wes.wake"
FANOUT = Exchange(WAKE, type="fanout", durable=False)
SECONDS = 2.0
MOST_WAITING = 10_000
PAUSE = 0.1
"""Seconds between two wakes, so that many runs at once don't cost a message each."""

log = structlog.get_logger(__name__)


def broker_url(redis_url: str) -> str:
    """Celery's name for a Redis URL: `unix://` and a bare path are `redis+socket://` there."""
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return f"redis+socket://{redis_url}" if redis_url.startswith("/") else redis_url


def celery_app(redis_url: str) -> Celery:
    """The Celery application of clients and workers: no results, JSON only, every worker hears every wake."""
    app = Celery("wes", broker=broker_url(redis_url))
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Broadcast(WAKE, exchange=FANOUT)],
        task_default_queue=WAKE,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_connect_timeout": SECONDS},
    )
    return app


class CeleryQueue:
    """Sends wakes from a thread of its own, so that no request ever waits for Redis.

    Redis holds hints only: where it does not answer, workers find the run by themselves.
    """

    def __init__(self, redis_url: str) -> None:
        self._app = celery_app(redis_url)
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._send_all, name="wakes", daemon=True)
        self._thread.start()

    def wake(self, run_id: str) -> None:
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(run_id)

    def check(self) -> None:
        # A connection of its own: the one that sends may be in use, and Kombu says hello on each new one.
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1, interval_max=0.1)
            connection.default_channel.client.ping()

    def close(self) -> None:
        """Sends what is waiting, for two seconds at most."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(SECONDS)
        self._app.close()

    def _send_all(self) -> None:
        while (run_id := self._newest()) is not None:
            self._send(run_id)
            time.sleep(PAUSE)

    def _newest(self) -> str | None:
        """The newest run that waits, None at the end. A wake means "look", so one is as good as many."""
        newest = self._waiting.get()
        with contextlib.suppress(queue.Empty):
            while newest is not None:
                newest = self._waiting.get_nowait()
        return newest

    def _send(self, run_id: str) -> None:
        options = {"exchange": FANOUT, "routing_key": WAKE, "declare": [FANOUT]}
        try:
            self._app.send_task(WAKE, args=[run_id], retry=False, ignore_result=True, **options)
        except (KombuError, OSError) as error:
            log.warning("could not wake the workers", action="wake", run_id=run_id, problem=str(error))
