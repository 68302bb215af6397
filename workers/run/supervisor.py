"""The supervisor of a worker: claims runs while it has free slots, renews its leases, takes over what was lost.

It looks when it is woken (a Celery message) and by itself every `LOOK_SECONDS`, so a lost message loses nothing.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from wes_service.core.errors import WesError
from wes_service.core.ports import Lease, WorkerInfo, WorkerStore
from wes_service.core.run import Run
from wes_service.core.state import RunState
from workers.run.attempt import Attempt, Bench

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
STOP_SECONDS = 20.0
WATCH_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How many runs at once, and how long a lease lasts (s)."""

    slots: int
    lease_seconds: float

    @property
    def renew_seconds(self) -> float:
        return self.lease_seconds / 4

    @property
    def give_up_seconds(self) -> float:
        """Without a renewal for so long the engines are ended, well before the lease is."""
        return self.lease_seconds * 2 / 3


class Supervisor:
    """One per worker, in a thread of its own."""

    def __init__(self, bench: Bench, workers: WorkerStore, describe: Callable[[], WorkerInfo], pace: Pace) -> None:
        self._bench = bench
        self._workers = workers
        self._describe = describe
        self._pace = pace
        self._me = describe()
        self._attempts: dict[str, tuple[Attempt, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        # Apart from the loop, which may hang in the very store that can't be reached.
        self._watchdog = threading.Thread(target=self._watch_lease, name="lease", daemon=True)
        self._renewed = time.monotonic()
        self._beat = 0.0

    def start(self) -> None:
        """The worker is in the store when this returns."""
        self._workers.beat(self._me)
        self._renewed = time.monotonic()
        self._thread.start()
        self._watchdog.start()

    def poke(self) -> None:
        """There is something to look at."""
        self._wake.set()

    def stop(self) -> None:
        """Ends every engine and returns when all runs are in a terminal state."""
        self._stopped.set()
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        with self._lock:
            running = list(self._attempts.values())
        for attempt, _ in running:
            attempt.shut_down()
        for _, thread in running:
            thread.join(STOP_SECONDS)
        self._workers.remove(self._me.id)

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except WesError as error:
                log.warning("could not look", action="look", problem=str(error))
            except Exception:
                log.exception("could not look", action="look")
            self._wake.wait(min(LOOK_SECONDS, self._pace.renew_seconds))
            self._wake.clear()

    def _look(self) -> None:
        self._announce()
        self._renew()
        self._take_over()
        while self._free() > 0 and not self._stopped.is_set():
            run = self._bench.runs.claim(self._me.id, self._me.engines, self._pace.lease_seconds)
            if run is None:
                return
            log.info("claimed", action="claim", run_id=run.id, epoch=run.epoch)
            self._begin(run, lambda attempt: attempt.execute())

    def _announce(self) -> None:
        if time.monotonic() - self._beat > self._pace.renew_seconds:
            self._me = self._describe()
            self._workers.beat(self._me)
            self._beat = time.monotonic()

    def _renew(self) -> None:
        with self._lock:
            attempts = {run_id: attempt for run_id, (attempt, _) in self._attempts.items()}
        asked = time.monotonic()
        held = self._bench.runs.renew(self._me.id, self._pace.lease_seconds)
        self._renewed = asked
        for run_id, attempt in attempts.items():
            if run_id not in held:
                self._check_lost(run_id, attempt)
            elif held[run_id] is RunState.CANCELING:
                attempt.cancel()

    def _check_lost(self, run_id: str, attempt: Attempt) -> None:
        """An attempt that has just ended holds no lease either, but its thread is about to leave."""
        with self._lock:
            entry = self._attempts.get(run_id)
        if entry is not None and entry[1].is_alive():
            attempt.lose()

    def _watch_lease(self) -> None:
        """Ends the engines of a worker that can't renew its leases, before another worker may take its runs."""
        while not self._stopped.wait(WATCH_SECONDS):
            if time.monotonic() - self._renewed <= self._pace.give_up_seconds:
                continue
            with self._lock:
                running = [attempt for attempt, _ in self._attempts.values()]
            for attempt in running:
                log.error("the lease could not be renewed", action="lease_lost", run_id=attempt.run.id)
                attempt.lose()

    def _take_over(self) -> None:
        while not self._stopped.is_set():
            run = self._bench.runs.take_over(self._me.id, self._pace.lease_seconds)
            if run is None:
                return
            log.warning("taken over", action="take_over", run_id=run.id, epoch=run.epoch)
            self._begin(run, lambda attempt: attempt.recover())

    def _begin(self, run: Run, work: Callable[[Attempt], None]) -> None:
        lease = Lease(run_id=run.id, worker=self._me.id, epoch=run.epoch)
        attempt = Attempt(bench=self._bench, run=run, lease=lease)
        thread = threading.Thread(target=self._run, args=(attempt, work), name=f"run-{run.id}", daemon=True)
        with self._lock:
            self._attempts[run.id] = (attempt, thread)
        thread.start()

    def _run(self, attempt: Attempt, work: Callable[[Attempt], None]) -> None:
        try:
            work(attempt)
        except Exception:
            log.exception("the attempt failed", action="attempt_failed", run_id=attempt.run.id)
        finally:
            with self._lock:
                self._attempts.pop(attempt.run.id, None)
            self._wake.set()

    @property
    def slots(self) -> int:
        return self._pace.slots

    @property
    def used(self) -> int:
        with self._lock:
            return len(self._attempts)

    def _free(self) -> int:
        return self.slots - self.used
