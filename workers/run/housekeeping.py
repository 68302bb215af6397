"""Keeps the disk free of what no run needs: the folders of deleted runs, and those of runs that never came to be.

Every worker does it, as any number of them may: what one has removed is gone for the next.
"""

import threading
from collections.abc import Callable

import structlog

from wes_service.services.deletion import Deleter

log = structlog.get_logger(__name__)

FINISH_SECONDS = 600.0
SWEEP_SECONDS = 24 * 3600.0
STOP_SECONDS = 5.0


class Housekeeper:
    """In a thread of its own, as a large folder takes its time; a worker that stops does not wait for it."""

    def __init__(self, deleter: Deleter, *, finish_seconds: float = FINISH_SECONDS) -> None:
        self._deleter = deleter
        self._finish_seconds = finish_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _loop(self) -> None:
        waited = SWEEP_SECONDS
        while not self._stopped.is_set():
            self._try(self._deleter.finish)
            if waited >= SWEEP_SECONDS:
                self._try(self._deleter.sweep)
                waited = 0.0
            self._stopped.wait(self._finish_seconds)
            waited += self._finish_seconds

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("could not tidy up", action="housekeeping")
