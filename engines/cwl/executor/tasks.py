"""The tasks of a run that are under way: sends them, waits for them, cancels them."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from .outcome import STARTED, TERMINAL
from .tes_client import TesClient, TesRefused, TesUnreachable

LONG_POLL = 15.0
FIRST_PAUSE = 0.03
LONGEST_PAUSE = 0.5
ANSWERED_LATE = 1.0
CANCELERS = 16


class RunStopped(Exception):
    """Nothing is sent any more: the run was stopped, or another step of it failed."""


class TimeUp(Exception):
    """The task ran for longer than its tool allows."""


class Tasks:
    """`cancel_all` may be called from any thread, also while others wait in `run`."""

    def __init__(self, client: TesClient, report: Callable[[str], None], sleep: Callable[[float], None] = time.sleep):
        self._client = client
        self._report = report
        self._sleep = sleep
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, task: Mapping[str, Any], limit: float | None = None) -> tuple[str, dict[str, Any]]:
        """Sends the task and waits until it has ended; its id and its FULL view.

        `limit`: seconds from when it is seen running. Raises `RunStopped`, `TimeUp`, `TesRefused`, `TesUnreachable`.
        """
        if self._stopped.is_set():
            raise RunStopped
        task_id = self._client.create(task)
        with self._lock:
            self._open.add(task_id)
        try:
            self._report(f"[job {task['name']}] is task {task_id}")
            if self._stopped.is_set():
                self._cancel(task_id)
            self._wait(task_id, limit)
            return task_id, self._client.full(task_id)
        finally:
            with self._lock:
                self._open.discard(task_id)

    def cancel_all(self, seconds: float = LONG_POLL) -> None:
        """Sends nothing more, and asks for the end of what is open; returns after `seconds` at the latest."""
        self._stopped.set()
        with self._lock:
            open_tasks = sorted(self._open)
        if open_tasks:
            cancelers = ThreadPoolExecutor(min(CANCELERS, len(open_tasks)))
            wait([cancelers.submit(self._cancel, task_id) for task_id in open_tasks], timeout=seconds)
            cancelers.shutdown(wait=False, cancel_futures=True)

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _wait(self, task_id: str, limit: float | None) -> None:
        pause, before, end = FIRST_PAUSE, "", None
        while True:
            asked = time.monotonic()
            state = self._client.state(task_id, _patience(end, asked))
            if state in TERMINAL:
                return
            now = time.monotonic()
            if limit and end is None and state in STARTED:
                end = now + limit
            if end is not None and now >= end:
                self._cancel(task_id)
                raise TimeUp(task_id)
            pause = FIRST_PAUSE if state != before else min(pause * 1.5, LONGEST_PAUSE)
            if now - asked < ANSWERED_LATE:
                self._sleep(pause if end is None else max(0.0, min(pause, end - now)))
            before = state

    def _cancel(self, task_id: str) -> None:
        try:
            self._client.cancel(task_id, patience=2.0)
        except (TesRefused, TesUnreachable) as error:
            self._report(f"task {task_id} could not be canceled: {error}")


def _patience(end: float | None, now: float) -> float:
    """How long the server may wait with its answer."""
    return LONG_POLL if end is None else max(0.0, min(LONG_POLL, end - now))
