"""A value that may be a moment old."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """What `read` gave at most `seconds` ago; threads share it."""

    def __init__(self, read: Callable[[], Value], seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._seconds = seconds
        self._now = now
        self._lock = threading.Lock()
        self._kept: tuple[float, Value] | None = None

    def value(self) -> Value:
        """The kept value, or a new one where it is too old."""
        with self._lock:
            kept = self._kept
        if kept is not None and self._now() - kept[0] < self._seconds:
            return kept[1]
        return self.fresh()

    def fresh(self) -> Value:
        """A new value, whatever is kept."""
        began = self._now()
        value = self._read()
        with self._lock:
            self._kept = (began, value)
        return value
