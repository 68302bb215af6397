"""How far a run of Snakemake is, for the server."""

import threading
from dataclasses import replace
from pathlib import Path

from engines.kit.program import RunContext
from engines.kit.reports import ProgressReport
from engines.snakemake.executor.settings import SnakemakeSettings


class JobProgress(ProgressReport):
    """Counts jobs as they start and end, of which a group is several at once; safe to call from any thread.

    Only jobs that do something count; `known` may grow where checkpoints add some.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()

    def set_remaining(self, jobs: int, cached: int) -> None:
        """How many jobs are still to end, and how many need no run."""
        with self._lock:
            now = self.counts
            self.counts = replace(now, known=now.done + now.failed + jobs, cached=cached)

    def started(self, jobs: int) -> None:
        """So many have become a task."""
        with self._lock:
            self.counts = replace(self.counts, running=self.counts.running + jobs)

    def ended(self, jobs: int, *, good: bool, again: bool) -> None:
        """`again`: it failed, but is tried once more."""
        with self._lock:
            now = self.counts
            done, failed = now.done + jobs * good, now.failed + jobs * (not good and not again)
            self.counts = replace(now, running=now.running - jobs, done=done, failed=failed)


SnakemakeRun = RunContext[SnakemakeSettings, JobProgress]
