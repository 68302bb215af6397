"""Threads that want the same thing done do it for each other, one after the other, as much as waits at once."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """An item, and the sign for its thread: it is done, or it is this thread's turn to do what waits."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.sign = threading.Event()


class Gathering(Generic[Item]):
    """Calls `work` with all items that came while it was at work before: never twice at once, nobody waits alone.

    `work` says itself what became of each item; it takes `most` at once.
    """

    def __init__(self, work: Callable[[Sequence[Item]], None], most: int) -> None:
        self._work = work
        self._most = most
        self._lock = threading.Lock()
        self._queue: deque[Waiting[Item]] = deque()
        self._busy = False

    @property
    def waiting(self) -> int:
        """How many items nobody works at yet."""
        return len(self._queue)

    def do(self, item: Item) -> None:
        """Returns when `work` has had the item, in this thread or in another; raises what it raised in this one."""
        mine = Waiting(item)
        with self._lock:
            self._queue.append(mine)
            first, self._busy = not self._busy, True
        if not first:
            mine.sign.wait()
        if not mine.done:
            self._do_batch()

    def _do_batch(self) -> None:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
        try:
            self._work([waiting.item for waiting in batch])
        finally:
            self._pass_on()
            for waiting in batch:
                waiting.done = True
                waiting.sign.set()

    def _pass_on(self) -> None:
        """The oldest of those that came meanwhile is next."""
        with self._lock:
            self._busy = bool(self._queue)
            if self._queue:
                self._queue[0].sign.set()
