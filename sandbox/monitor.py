"""Looks at what foreign code uses of this machine, and ends what uses more than it may, with a sentence that says so.

For what the kernel can't limit without cgroups: the memory of all processes of a sandbox together, the size of a
folder, and logs. Where memory or disk of the machine itself run out, the one that took most of it is ended, so that
those beside it go on.
"""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from sandbox import resources
from sandbox.limits import MIB, ResourceLimits, in_gb

log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 0.25
DISK_SAMPLE_SECONDS = 2.0
"""Between two looks at a folder's size."""
FINAL_SAMPLE_SECONDS = 5.0
MEMORY_WATERMARK = 0.03
FORK_BOMB_SECONDS = 10.0
"""How long foreign code may fork as often as it can; what it really wants to do may wait for a process for ever."""
QUIET_SAMPLES = 12
"""After so many quiet samples the next burst is another one. No seconds, as samples are rare on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """Where each limit is set, for sentences."""

    memory: str
    processes: str
    disk: str
    log: str


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One piece of foreign code.

    `name`: what a sentence calls it, `the step`. `pid`: the process of which all others come; None where its memory is
    limited by others (a container). `folder`: what it writes to; `writers`: a name for all that do, where these are
    more. `logs`: descriptors of its log files by name, which stay open as long as it is watched. `end`: ends all of it,
    soon; called once, and never after it was let go.
    """

    name: str
    limits: ResourceLimits
    settings: LimitSettings
    end: Callable[[], None]
    pid: int | None = None
    folder: Path | None = None
    writers: str = ""
    logs: tuple[tuple[str, int], ...] = ()


@dataclass(kw_only=True)
class ForkBombDetector:
    """Since when foreign code has as many processes as it may, or is a fork bomb: then fewer are seen, as most are gone
    before they are read, but most of those seen are new each time."""

    since: float = 0.0
    quiet: int = QUIET_SAMPLES
    known: frozenset[int] = frozenset()

    def lasts(self, tree: Sequence[resources.ProcessUsage], limit: int, now: float) -> bool:
        """To be told of each look; whether it has been so for too long."""
        count, pids = sum(one.threads for one in tree), frozenset(one.pid for one in tree)
        turnover = len(pids - self.known) * 2 > len(pids)
        self.known = pids
        if count < limit * 0.95 and (count * 2 < limit or not turnover):
            self.quiet += 1
            return False
        if self.quiet >= QUIET_SAMPLES:
            self.since = now
        self.quiet = 0
        return now - self.since > FORK_BOMB_SECONDS


@dataclass(kw_only=True)
class MonitoredWorkload:
    """`problem`: the sentence with which it was ended, empty where it was not."""

    workload: Workload
    problem: str = ""
    measure_at: float = 0.0
    measured: "Future[int] | None" = None
    fork_bomb: ForkBombDetector = field(default_factory=ForkBombDetector)


@dataclass(kw_only=True)
class LowWatermark:
    """When something of the machine runs out: below `spare`, and after that only at half of what was left then, so that
    one that ended has the time to give it back."""

    spare: float
    level: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.level = self.spare

    def is_reached(self, free: float) -> bool:
        """Whether something has to end now; to be told of each sample."""
        if free >= self.spare:
            self.level = self.spare
        if free >= self.level:
            return False
        self.level = free / 2
        return True


class ResourceMonitor:
    """One per process, with a thread that lives while there is something to look at. `disk`: the folder on whose disk
    foreign code writes, `spare_disk` how many bytes are to be left on it."""

    def __init__(self, disk: Path, spare_disk: int, *, total_memory: int) -> None:
        self._disk = disk
        self._free_disk = LowWatermark(spare=spare_disk)
        self._free_memory = LowWatermark(spare=max(256 * MIB, total_memory * MEMORY_WATERMARK))
        self._lock = threading.Condition()
        self._watched: list[MonitoredWorkload] = []
        self._thread: threading.Thread | None = None
        self._trees = resources.ProcessTrees()
        # One at a time: a folder with millions of files must neither keep the rest waiting nor take all cores.
        self._measuring = ThreadPoolExecutor(1, thread_name_prefix="measure")

    def add(self, workload: Workload) -> MonitoredWorkload:
        """Watches it from now on, until `let_go`."""
        watched = MonitoredWorkload(workload=workload)
        with self._lock:
            self._watched.append(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
        return watched

    def let_go(self, watched: MonitoredWorkload) -> None:
        """It has ended: after this returns it is looked at no more. What it left is looked at a last time, as one that
        is quick may end at the kernel's own limit between two looks."""
        if not watched.problem:
            watched.problem = self._log_problem(watched.workload) or disk_problem_at_end(watched.workload)
        with self._lock:
            if watched in self._watched:
                self._watched.remove(watched)
            self._lock.notify_all()

    @contextmanager
    def over(self, workload: Workload) -> Iterator[MonitoredWorkload]:
        """Watches it for as long as the block lasts."""
        watched = self.add(workload)
        try:
            yield watched
        finally:
            self.let_go(watched)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
            try:
                self._look()
            except Exception:
                log.exception("could not look at what foreign code uses", action="watch")
            with self._lock:
                self._lock.wait(SAMPLE_SECONDS)

    def _look(self) -> None:
        with self._lock:
            watched = [one for one in self._watched if not one.problem]
        roots = [one.workload.pid for one in watched if one.workload.pid is not None]
        trees = self._trees.look(roots) if roots else {}
        for one in watched:
            self._end(one, self._too_much(one, trees.get(one.workload.pid or 0, [])))
        self._spare(watched, trees)

    def _too_much(self, one: MonitoredWorkload, tree: Sequence[resources.ProcessUsage]) -> str:
        forks_too_long = one.fork_bomb.lasts(tree, one.workload.limits.processes, time.monotonic())
        return (
            self._log_problem(one.workload)
            or memory_problem(one.workload, tree)
            or (processes_message(one.workload) if forks_too_long else "")
            or self._disk_problem(one)
        )

    def _log_problem(self, workload: Workload) -> str:
        for name, fd in workload.logs:
            # Closed where it has just ended.
            with contextlib.suppress(OSError):
                if os.fstat(fd).st_size > workload.limits.log_bytes:
                    limit = f"{in_gb(workload.limits.log_bytes)} ({workload.settings.log})"
                    return f"{workload.name} wrote more to {name} than its limit of {limit}"
        return ""

    def _disk_problem(self, one: MonitoredWorkload) -> str:
        limit, folder = one.workload.limits.disk_bytes, one.workload.folder
        if limit is None or folder is None or time.monotonic() < one.measure_at:
            return ""
        if one.measured is None:
            one.measured = self._measuring.submit(resources.disk_usage, folder)
        if not one.measured.done():
            return ""
        size, one.measured = one.measured.result(), None
        one.measure_at = time.monotonic() + DISK_SAMPLE_SECONDS
        return disk_message(one.workload, limit) if size > limit else ""

    def _spare(self, watched: Sequence[MonitoredWorkload], trees: dict[int, list[resources.ProcessUsage]]) -> None:
        left = [one for one in watched if not one.problem]
        if left and self._free_memory.is_reached(resources.available_memory()):
            taken = {id(one): resources.proportional_memory(trees.get(one.workload.pid or 0, [])) for one in left}
            self._end_most(left, taken, "memory of this machine ran out")
        left = [one for one in left if not one.problem]
        if left and self._free_disk.is_reached(shutil.disk_usage(self._disk).free):
            taken = {id(one): _on_disk(one.workload, trees.get(one.workload.pid or 0, [])) for one in left}
            self._end_most(left, taken, "disk of this machine is nearly full")

    def _end_most(self, left: Sequence[MonitoredWorkload], taken: dict[int, int], what: str) -> None:
        worst = max(left, key=lambda one: taken[id(one)])
        if taken[id(worst)] > 0:
            self._end(worst, f"the {what}, and {worst.workload.name} had taken most of it: {in_gb(taken[id(worst)])}")

    def _end(self, one: MonitoredWorkload, problem: str) -> None:
        """Under the lock, as it may just have ended by itself."""
        with self._lock:
            if not problem or one not in self._watched:
                return
            one.problem = problem
            one.workload.end()
        log.warning("foreign code was ended", action="watch", problem=problem)


def memory_problem(workload: Workload, tree: Sequence[resources.ProcessUsage]) -> str:
    """First by the plain sum, which is never less than what is really used."""
    limit = workload.limits.memory_bytes
    if sum(one.memory for one in tree) <= limit or resources.proportional_memory(tree) <= limit:
        return ""
    return memory_message(workload.name, limit, workload.settings)


def processes_message(workload: Workload) -> str:
    """The sentence for what has forked too much for too long."""
    limit = f"{workload.limits.processes} processes and threads ({workload.settings.processes})"
    return f"{workload.name} started processes without end: it was at its limit of {limit} for {FORK_BOMB_SECONDS:g} s"


def memory_message(name: str, limit: int, settings: LimitSettings) -> str:
    """The sentence for what used more memory (bytes) than its limit."""
    return f"{name} used more memory than its limit of {in_gb(limit)} ({settings.memory})"


def disk_problem_at_end(workload: Workload) -> str:
    """The sentence where its folder is larger at its end than it may be, as far as that is seen in a few seconds."""
    limit, folder = workload.limits.disk_bytes, workload.folder
    if limit is None or folder is None or resources.disk_usage(folder, FINAL_SAMPLE_SECONDS) <= limit:
        return ""
    return disk_message(workload, limit)


def disk_message(workload: Workload, limit: int) -> str:
    """The sentence for what used more disk (bytes) than its limit."""
    writers = workload.writers or workload.name
    return f"{writers} used more disk than its limit of {in_gb(limit)} ({workload.settings.disk})"


def _on_disk(workload: Workload, tree: Sequence[resources.ProcessUsage]) -> int:
    if tree:
        return resources.bytes_written(tree)
    return resources.disk_usage(workload.folder, FINAL_SAMPLE_SECONDS) if workload.folder else 0
