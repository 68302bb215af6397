"""The supervisor of a worker: it beats, and takes runs while it has free slots: those that other workers lost or handed
over, and those that are queued.

It is the one owner of the lives of this worker's runs: each run that the worker holds has a live attempt, and what has
none gets one. It looks when it is woken (a Celery message) and by itself every `LOOK_SECONDS`, so a lost
message loses nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from common.errors import DiskFull, StaleClaim, WesError
from wes_service.core.liveness import (
    MOST_LOSSES,
    NO_OBSERVATION,
    Beats,
    doubtful_workers,
    observe,
    only_ends,
    silent_workers,
)
from wes_service.core.ports import ClaimStatus, Lease, WorkerInfo, WorkerStore
from wes_service.core.run import Run, RunState
from wes_service.storage.run_folders import check_disk
from workers.run.attempt import RunAttempt, RunDependencies

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
STOP_SECONDS = 8.0
"""How long a worker that stops goes on with runs that are being cancelled."""
CLOSING_SECONDS = 7.0
LAST_SECONDS = 2.0
"""After that, for what was left to end here."""
WATCH_SECONDS = 0.25
AGAIN_SECONDS = 5.0
WHY_LOST_TOO_OFTEN = (
    f"It was ended as it lost its worker {MOST_LOSSES} times (killed, or its machine went down), and may be what ends "
    "them: look into the workers' logs and the memory of their machines, then submit the run again."
)
WHY_FAILED = "The service failed on this run and could not store how it ended; the worker's log says why."


def awake_seconds() -> float:
    """Seconds on a clock that nobody sets and that counts while the machine is suspended, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, kw_only=True)
class SupervisorPolicy:
    """How many runs at once, and for how long (s) a worker may be silent before others take its runs over."""

    slots: int
    lease_seconds: float
    owner_slots: int | None = None
    """Of one owner, on all workers together."""

    @property
    def renew_seconds(self) -> float:
        """Between two heartbeats."""
        return self.lease_seconds / 4

    @property
    def look_seconds(self) -> float:
        """Between two looks at the store."""
        return min(LOOK_SECONDS, self.renew_seconds)

    @property
    def give_up_seconds(self) -> float:
        """After so long without a heartbeat the engines are suspended, well before another may take their runs."""
        return self.lease_seconds * 2 / 3


class RunSupervisor:
    """One per worker, in a thread of its own."""

    def __init__(
        self,
        dependencies: RunDependencies,
        workers: WorkerStore,
        describe: Callable[[], WorkerInfo],
        policy: SupervisorPolicy,
    ) -> None:
        self._dependencies = dependencies
        self._workers = workers
        self._describe = describe
        self._policy = policy
        self._me = describe()
        self._attempts: dict[Lease, tuple[RunAttempt, threading.Thread]] = {}
        self._begun: set[Lease] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        # Apart from the loop, which may hang in the very store that can't be reached.
        self._watchdog = threading.Thread(target=self._watch_lease, name="lease", daemon=True)
        self._beat = self._renewed = awake_seconds()
        self._others = NO_OBSERVATION
        self._problem = ""
        self._full = False

    def start(self) -> None:
        """The worker is in the store when this returns."""
        self._me = self._advertised(self._me)
        self._workers.beat(self._me)
        self._beat = self._renewed = awake_seconds()
        self._thread.start()
        self._watchdog.start()

    def poke(self) -> None:
        """There is something to look at."""
        self._wake.set()

    def drain(self) -> None:
        """Takes no more runs, and goes on with those that it has. May be called in a handler of a signal."""
        self._draining.set()

    @property
    def is_drained(self) -> bool:
        """Whether it takes no more runs and has none left."""
        return self._draining.is_set() and self.used == 0

    def stop(self) -> None:
        """Ends every engine and leaves the runs, and their tasks, to another worker, which takes them at once.

        It goes on beating until no engine is left, for at most `STOP_SECONDS`; runs that are being cancelled end.
        """
        self._stopped.set()
        self._tell_running(lambda attempt: attempt.hand_over(closing_seconds=CLOSING_SECONDS), STOP_SECONDS)
        self._over.set()
        self._wake.set()
        self._thread.join(LOOK_SECONDS)
        self._tell_running(RunAttempt.lose, LAST_SECONDS)
        if self._running():
            # Others wait until it has been silent for long enough: an engine may be there still.
            log.warning("stopped without signing off", action="worker_stop")
            return
        try:
            self._workers.remove(self._me.id)
        except WesError as error:
            log.warning("could not sign off", action="worker_stop", problem=str(error))

    def _tell_running(self, tell: Callable[[RunAttempt], None], seconds: float) -> None:
        """Until none is left, or for so long."""
        until = time.monotonic() + seconds
        while (running := self._running()) and time.monotonic() < until:
            for attempt in running:
                tell(attempt)
            self._wake.set()
            time.sleep(0.05)

    def _running(self) -> list[RunAttempt]:
        with self._lock:
            return [attempt for attempt, _ in self._attempts.values()]

    def _loop(self) -> None:
        while not self._over.is_set():
            try:
                self._look()
                self._tell("")
            except WesError as error:
                self._tell(f"{error} ({error.__cause__})" if error.__cause__ else str(error))
            except Exception:
                log.exception("could not look", action="look")
            self._wake.wait(self._policy.look_seconds)
            self._wake.clear()

    def _tell(self, problem: str) -> None:
        """Once when it begins and once when it is over."""
        if problem and not self._problem:
            log.warning("could not look", action="look", problem=problem)
        if self._problem and not problem:
            log.warning("the look succeeds again", action="look")
        self._problem = problem

    def _look(self) -> None:
        self._renew()
        lost = self._lost_workers()
        while not (self._draining.is_set() or self._stopped.is_set()) and (run := self._next_run(lost)) is not None:
            self._begin(run, recover=self._why_ended(run))

    def _next_run(self, lost: Mapping[str, Beats]) -> Run | None:
        """A run of a lost worker, else the next that is queued; without a free slot only one that is to be ended.

        Slots are kept for runs of workers that may be lost: what was begun goes on before something else begins.
        """
        runs = self._dependencies.runs
        engines = self._me.engines if self._free() > 0 and self._has_room() else {}
        run = runs.take_over(self._me.id, lost, engines) if lost else None
        if run is not None:
            log.warning("taken over", action="take_over", run_id=run.id, epoch=run.epoch)
            return run
        if not engines or self._free() <= self._doubtful_runs():
            return None
        run = runs.claim(self._me.id, engines, self._policy.owner_slots)
        if run is not None:
            log.info("claimed", action="claim", run_id=run.id, epoch=run.epoch)
        return run

    @staticmethod
    def _why_ended(run: Run) -> str | None:
        """Why a run that was taken is only ended here; None where its engine is started, be it again."""
        return WHY_LOST_TOO_OFTEN if only_ends(run.state, run.losses) else None

    def _has_room(self) -> bool:
        """Whether the disk has room for another run; where not, what is queued waits."""
        try:
            check_disk(self._dependencies.folders.root, self._dependencies.min_free_gb)
        except DiskFull as error:
            if not self._full:
                log.error(str(error), action="disk_full")
            self._full = True
        else:
            self._full = False
        return not self._full

    def _renew(self) -> None:
        """Beats where it is time, and looks what of its runs is still this worker's."""
        if awake_seconds() - self._beat > self._policy.renew_seconds:
            asked = awake_seconds()
            self._me = self._described()
            self._workers.beat(self._me)
            self._beat = asked
        with self._lock:
            known = dict(self._attempts)
        held = self._dependencies.runs.held(self._me.id)
        self._renewed = self._beat
        for lease, (attempt, thread) in known.items():
            self._tell_attempt(attempt, thread, lease, held)
        mine = {Lease(run_id=run_id, worker=self._me.id, epoch=holding.epoch) for run_id, holding in held.items()}
        self._begun &= mine | set(known)
        if not self._stopped.is_set():
            self._settle(mine - set(known))

    def _described(self) -> WorkerInfo:
        """What it can do; a folder of engines that can't be read is no reason to fall silent."""
        described = self._me
        try:
            described = self._describe()
        except OSError as error:
            log.warning("could not look at the engines", action="describe", problem=str(error))
        return self._advertised(described)

    def _advertised(self, described: WorkerInfo) -> WorkerInfo:
        """With how many runs it takes."""
        slots, owner_slots = self._policy.slots, self._policy.owner_slots
        return replace(described, slots=slots, owner_slots=owner_slots, hindrance=self._hindrance())

    def _hindrance(self) -> str:
        """Why it takes no runs, for those whose runs wait; the log tells the operator more."""
        if self.draining:
            return "the worker is being drained"
        return "the disk of the worker is full" if self._full else ""

    def _tell_attempt(
        self, attempt: RunAttempt, thread: threading.Thread, lease: Lease, held: Mapping[str, ClaimStatus]
    ) -> None:
        holding = held.get(lease.run_id)
        if holding is not None and holding.epoch == lease.epoch:
            attempt.go_on()
            if holding.state is RunState.CANCELING:
                attempt.cancel()
        elif thread.is_alive() and lease in self._attempts:
            # An attempt that has just ended holds nothing either, but its thread is about to leave.
            attempt.lose()

    def _settle(self, unattended: set[Lease]) -> None:
        """Runs that this worker holds and that nobody here works on get an attempt.

        One that was begun here failed and could not say so. Any other was claimed just when the database went away, so
        that the claim was stored and its answer lost.
        """
        for lease in unattended:
            try:
                run = self._dependencies.runs.held_run(lease)
            except StaleClaim:
                continue
            log.warning("held, but nobody works on it", action="settle", run_id=run.id, epoch=run.epoch)
            if lease in self._begun:
                self._begin(run, recover=WHY_FAILED)
            else:
                self._begin(run, recover=self._why_ended(run))

    def _watch_lease(self) -> None:
        """Suspends the engines of a worker that can't renew its lease, before another worker may take its runs.

        They go on once the worker knows that the runs are still its own, and are ended where they are not. So a
        database that is away for all costs nothing but time, and a worker that alone is cut off does no harm.
        """
        while not self._over.wait(WATCH_SECONDS):
            if awake_seconds() - self._renewed > self._policy.give_up_seconds:
                for attempt in self._running():
                    attempt.suspend()

    def _lost_workers(self) -> Mapping[str, Beats]:
        self._others = observe(
            self._others, self._dependencies.runs.holders(), awake_seconds(), longest_step=self._policy.renew_seconds
        )
        lost = silent_workers(self._others, self._policy.lease_seconds)
        lost.pop(self._me.id, None)
        return lost

    def _doubtful_runs(self) -> int:
        """How many runs are held by workers of whom it is not known whether they live."""
        others = doubtful_workers(self._others, self._policy.lease_seconds) - {self._me.id}
        return sum(len(self._dependencies.runs.held(worker)) for worker in others)

    def _begin(self, run: Run, *, recover: str | None = None) -> None:
        """Works on the run in a thread; with `recover`, ends it for that reason."""
        lease = Lease(run_id=run.id, worker=self._me.id, epoch=run.epoch)
        attempt = RunAttempt(dependencies=self._dependencies, run=run, lease=lease)
        thread = threading.Thread(target=self._run, args=(attempt, recover), name=f"run-{run.id}", daemon=True)
        with self._lock:
            self._attempts[lease] = (attempt, thread)
            self._begun.add(lease)
        thread.start()

    def _run(self, attempt: RunAttempt, recover: str | None) -> None:
        try:
            if recover is None:
                attempt.execute()
            else:
                attempt.recover(recover)
        except Exception:
            log.exception("the attempt failed", action="attempt_failed", run_id=attempt.run.id)
            # Whoever ends it next may fail on the same.
            self._stopped.wait(AGAIN_SECONDS)
        finally:
            with self._lock:
                self._attempts.pop(attempt.lease, None)
            self._wake.set()

    @property
    def slots(self) -> int:
        """How many runs it takes at once."""
        return self._policy.slots

    @property
    def draining(self) -> bool:
        """Whether it takes no more runs."""
        return self._draining.is_set()

    @property
    def full(self) -> bool:
        """Whether there was too little disk for another run when it last looked."""
        return self._full

    @property
    def used(self) -> int:
        """How many runs it has now."""
        with self._lock:
            return len(self._attempts)

    def _free(self) -> int:
        return self.slots - self.used
