"""Tells the thread of a task to give up, whatever it is doing; a stop that races a start never misses it."""

import threading
from collections.abc import Callable

from tes_service.errors import TaskStopped
from tes_service.runners.port import Running


class Control:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._running: Running | None = None

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def check(self) -> None:
        if self._stopped.is_set():
            raise TaskStopped

    def stop(self) -> None:
        """Ends what runs, and all that would be started after it; more than once is fine."""
        self._stopped.set()
        with self._lock:
            if self._running is not None:
                self._running.kill()

    def run(self, start: Callable[[], Running | None]) -> Running | None:
        """Starts, which may take long, and kills what was started where `stop` came meanwhile."""
        self.check()
        running = start()
        with self._lock:
            self._running = running
            if running is not None and self._stopped.is_set():
                running.kill()
        return running

    def ended(self) -> None:
        with self._lock:
            self._running = None
