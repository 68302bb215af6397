"""How far the run is, in a file for the server."""

import json
import os
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Jobs of the workflow that do something; `known` may grow where checkpoints add some, `cached` need no run."""

    known: int | None = None
    running: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0


class Progress:
    """Safe to call from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.counts = Counts()

    def remaining(self, jobs: int, cached: int) -> None:
        """How many jobs are still to end, and how many need no run."""
        with self._lock:
            now = self.counts
            self._set(replace(now, known=now.done + now.failed + jobs, cached=cached))

    def started(self, jobs: int) -> None:
        with self._lock:
            self._set(replace(self.counts, running=self.counts.running + jobs))

    def ended(self, jobs: int, *, good: bool, again: bool) -> None:
        """`again`: it failed, but is tried once more."""
        with self._lock:
            now = self.counts
            done, failed = now.done + jobs * good, now.failed + jobs * (not good and not again)
            self._set(replace(now, running=now.running - jobs, done=done, failed=failed))

    def _set(self, counts: Counts) -> None:
        if counts == self.counts:
            return
        self.counts = counts
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        unfinished.write_text(json.dumps(asdict(counts)))
        unfinished.rename(self._path)
