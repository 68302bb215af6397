"""Wakes on a real Redis."""

import contextlib
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery
from kombu import Consumer

from tests.redis_fixture import real_redis
from wes_service.queue.celery_queue import CeleryQueue, broker_url, celery_app, wake_queue


def listen(stack: ExitStack, app: Celery, heard: list[str]) -> Callable[[], None]:
    """Hears wakes as a worker does; call the result to look for new ones."""
    connection = stack.enter_context(app.connection_for_read())

    def take(body: object, message: object) -> None:
        heard.append(body["run_id"])  # type: ignore[index]
        message.ack()  # type: ignore[attr-defined]

    stack.enter_context(Consumer(connection, [wake_queue()(connection)], callbacks=[take], accept=["json"]))

    def look() -> None:
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            return

    return look


def test_every_worker_hears_a_wake() -> None:
    heard: tuple[list[str], list[str]] = ([], [])
    with real_redis() as url, ExitStack() as stack:
        looks = [listen(stack, celery_app(url), each) for each in heard]
        for look in looks:
            look()
        queue = CeleryQueue(url)
        queue.wake("run-7")
        deadline = time.monotonic() + 10
        while not all(heard) and time.monotonic() < deadline:
            for look in looks:
                look()
        queue.close()
    assert heard == (["run-7"], ["run-7"])


def test_many_wakes_at_once_are_few_messages_and_the_last_is_heard() -> None:
    heard: list[str] = []
    with real_redis() as url, ExitStack() as stack:
        look = listen(stack, celery_app(url), heard)
        look()
        queue = CeleryQueue(url)
        for number in range(500):
            queue.wake(f"run-{number}")
        deadline = time.monotonic() + 10
        while "run-499" not in heard and time.monotonic() < deadline:
            look()
        queue.close()
    assert heard[-1] == "run-499"
    assert len(heard) < 100


def test_without_redis_a_wake_is_lost_but_nobody_waits_and_nothing_is_raised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    queue = CeleryQueue(f"redis://127.0.0.1:{port}/0")
    began = time.monotonic()
    for number in range(20_000):
        queue.wake(f"run-{number}")
    assert time.monotonic() - began < 30
    queue.close()


def test_urls_of_unix_sockets_are_written_as_celery_wants_them() -> None:
    assert broker_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert broker_url("/run/redis.sock") == "redis+socket:///run/redis.sock"
    assert broker_url("redis://host:6379/1") == "redis://host:6379/1"


def test_a_queue_that_answers_passes_the_check_and_one_that_is_gone_fails_it_soon(tmp_path: Path) -> None:
    with real_redis() as url, contextlib.closing(CeleryQueue(url)) as queue:
        queue.check()
        queue.check()
    with contextlib.closing(CeleryQueue(f"redis+socket://{tmp_path}/none")) as queue:
        began = time.monotonic()
        with pytest.raises(Exception, match="No such file"):
            queue.check()
        assert time.monotonic() - began < 60
