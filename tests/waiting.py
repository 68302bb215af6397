"""Waiting for what happens in other programs, on machines that may be busy."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 240.0
"""Seconds that anything may take on a machine whose cores are busy. Only a failure takes as long."""
Held = TypeVar("Held")


def until(
    condition: Callable[[], Held], describe: Callable[[], object] = str, seconds: float = PATIENCE, pause: float = 0.05
) -> Held:
    """Waits until the condition is true and returns its value; fails with what `describe` returns."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, describe()
        time.sleep(pause)
    return value
