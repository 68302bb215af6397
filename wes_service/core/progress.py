"""How far a run is, in steps: what its engine says, and where it says nothing what its tasks show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.json_types import BadJson, Json, read_json
from tes.task import TASK_TERMINAL, TaskState

FILE = ".wes/progress.json"
"""Below the run's work folder; engines replace it as a whole whenever it changes."""
LARGEST = 4096
FIELDS = ("known", "running", "done", "failed", "cached")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Numbers of steps. `known` is None while the engine can't tell; `cached` are those taken from an earlier run."""

    known: int | None = None
    running: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0

    def as_json(self) -> dict[str, Json]:
        """The extension field; `known` is left out while it is unknown."""
        counts: dict[str, Json] = {"running": self.running, "done": self.done, "failed": self.failed}
        known: dict[str, Json] = {} if self.known is None else {"known": self.known}
        return {**known, **counts, "cached": self.cached}


def told_by_engine(raw: bytes) -> Progress | None:
    """What an engine wrote; None for anything that is not such a document, as the file is foreign code's."""
    try:
        document = read_json(raw)
    except BadJson:
        return None
    if not isinstance(document, dict):
        return None
    numbers: dict[str, Any] = {name: value for name in FIELDS if _is_count(value := document.get(name))}
    return Progress(**numbers) if {"running", "done"} <= numbers.keys() else None


def shown_by_tasks(counts: Mapping[str, int]) -> Progress:
    """From the number of tasks in each TES state."""
    ended = {state.value for state in TASK_TERMINAL}
    done = counts.get(TaskState.COMPLETE.value, 0)
    running = sum(number for state, number in counts.items() if state not in ended)
    failed = sum(counts.values()) - done - running - counts.get(TaskState.CANCELED.value, 0)
    return Progress(running=running, done=done, failed=failed)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
