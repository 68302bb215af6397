"""Bytes that are moved to or from a server that may fail, hang, or take for ever: tried again, bounded in time, and
left where the task is stopped (acceptance: tes, 6)."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from common.errors import EngineError
from sandbox.network import TransientFailure
from tes_service.errors import TaskFault
from tes_service.processes import StopSignal

T = TypeVar("T")

LOOK_SECONDS = 0.2
RATE_SECONDS = 60.0
LOWEST_RATE = 1000
"""Bytes per second, on average over `RATE_SECONDS`: a server that sends less never comes to an end."""


class TransferAbandoned(Exception):
    """Nobody waits for this transfer any more."""


class Transfer:
    """One try to move bytes, in a thread of its own, which is left where the task is stopped: a name that is looked up,
    or a server that sends nothing, can't be interrupted."""

    def __init__(self, move: Callable[["Transfer"], None]) -> None:
        self._move = move
        self._lock = threading.Lock()
        self._abandoned = False
        self._problem: Exception | None = None
        self._ended = threading.Event()
        self.moved = 0

    def start(self) -> None:
        """Returns at once."""
        threading.Thread(target=self._run, name="transfer", daemon=True).start()

    def ended(self, seconds: float) -> bool:
        """Whether it ends within so many seconds; raises what it failed with."""
        if not self._ended.wait(seconds):
            # It may end right now: what it failed with is told the next time.
            return False
        if self._problem is not None:
            raise self._problem
        return True

    def abandon(self) -> None:
        """No piece is moved after this."""
        with self._lock:
            self._abandoned = True

    @contextmanager
    def piece(self, size: int) -> Iterator[int]:
        """To be held while a piece of `size` bytes is written or read; how many there are with it. Ends the transfer
        where it was abandoned."""
        with self._lock:
            if self._abandoned:
                raise TransferAbandoned
            self.moved += size
            yield self.moved

    def _run(self) -> None:
        try:
            self._move(self)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._problem = error
        finally:
            self._ended.set()


@dataclass(frozen=True, kw_only=True)
class TransferPolicy:
    """`seconds`: for one transfer, with all that is tried again."""

    retries: int
    seconds: float
    sleep: Callable[[float], None] = time.sleep

    def carry_out(
        self, what: str, move: Callable[[Transfer], None], stop: StopSignal, *, lowest_rate: int = LOWEST_RATE
    ) -> None:
        """Each try begins anew. `TaskFault` that begins with `what`, the sentence on what could not be done."""
        end = time.monotonic() + self.seconds
        problem = ""
        for attempt in range(self.retries + 1):
            stop.check()
            if attempt:
                self.sleep(min(2.0**attempt / 4, 10))
            try:
                return self._once(move, stop, end, lowest_rate)
            except TransientFailure as error:
                problem = str(error)
            except EngineError as error:
                raise TaskFault(f"{what}: {error}") from error
        raise TaskFault(f"{what}: {problem}")

    def _once(self, move: Callable[[Transfer], None], stop: StopSignal, end: float, lowest_rate: int) -> None:
        transfer = Transfer(move)
        rate = _Rate(since=time.monotonic(), lowest=lowest_rate)
        transfer.start()
        try:
            while not transfer.ended(LOOK_SECONDS):
                stop.check()
                if time.monotonic() > end:
                    raise EngineError(f"it takes longer than {self.seconds:g} seconds (TES_FETCH_SECONDS)")
                rate.check(time.monotonic(), transfer.moved)
        finally:
            transfer.abandon()


@dataclass(kw_only=True)
class _Rate:
    """Looks once in `RATE_SECONDS` at how much has come since. `lowest`: bytes per second, 0 for none."""

    since: float
    lowest: int
    moved: int = 0

    def check(self, now: float, moved: int) -> None:
        if now - self.since < RATE_SECONDS:
            return
        if moved - self.moved < self.lowest * RATE_SECONDS:
            raise TransientFailure(f"the server sent less than {self.lowest} bytes per second")
        self.since, self.moved = now, moved


def each_at_once(items: Iterable[T], work: Callable[[T], None], count: int) -> None:
    """Works on `count` items at a time, which are taken one by one, as there may be very many. After a failure no more
    are begun; the first one is raised once all have ended."""
    problems: list[BaseException] = []
    lock = threading.Lock()
    rest = iter(items)

    def run() -> None:
        while True:
            try:
                with lock:
                    if problems:
                        return
                    item = next(rest)
                work(item)
            except StopIteration:
                return
            except BaseException as problem:  # noqa: BLE001 - raised again where it is waited for
                problems.append(problem)

    # A pool of its own: slow servers of one task hold up no other.
    with ThreadPoolExecutor(count, "transfer") as pool:
        for _ in range(count):
            pool.submit(run)
    if problems:
        raise problems[0]
