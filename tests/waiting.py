"""Waiting for what happens in other programs, on machines that may be busy."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 240.0
"""Seconds that anything may take on a machine whose cores are busy. Only a failure takes as long."""
LONGEST_PAUSE = 1.0
Held = TypeVar("Held")


def until(
    condition: Callable[[], Held], describe: Callable[[], object] = str, seconds: float = PATIENCE, pause: float = 0.05
) -> Held:
    """Waits until the condition is true and returns its value; fails with what `describe` returns.

    It looks after `pause` seconds first, and less often the longer it waits: each look costs processor time, be it of a
    server that is asked.
    """
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, describe()
        time.sleep(pause_after(waited, pause))
    return value


def pause_after(waited: float, shortest: float = 0.05) -> float:
    """Seconds to the next look at something that was waited for so long."""
    return max(shortest, min(LONGEST_PAUSE, waited / 10))
