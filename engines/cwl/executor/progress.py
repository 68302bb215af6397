"""How far a run is, in a file that the worker reads."""

import json
import threading
from collections import Counter
from collections.abc import Hashable
from enum import StrEnum
from pathlib import Path


class StepState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CACHED = "cached"


class Progress:
    """Writes `known`, `running`, `done`, `failed` and `cached` numbers of steps; safe to call from any thread.

    `done` counts the cached ones too. `known` grows where a scatter's length is only known during the run; a step
    that is tried again is running.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[Hashable, int] = {}
        self._steps: dict[Hashable, StepState] = {}

    def know(self, part: Hashable, count: int) -> None:
        """`part` of the workflow has so many tasks, as far as is known."""
        with self._lock:
            if self._known.get(part) != count:
                self._known[part] = count
                self._write()

    def step(self, step: Hashable, state: StepState) -> None:
        with self._lock:
            if self._steps.get(step) is not state:
                self._steps[step] = state
                self._write()

    def _write(self) -> None:
        counts = Counter(self._steps.values())
        known = max(sum(self._known.values()), len(self._steps))
        numbers = {state.value: counts[state] for state in StepState}
        numbers[StepState.DONE] += counts[StepState.CACHED]
        document = {"known": known, **numbers}
        unfinished = self._path.with_name(f".{self._path.name}")
        unfinished.write_text(json.dumps(document))
        unfinished.rename(self._path)
