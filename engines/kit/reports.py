"""What an executor reports while it runs: lines for the engine's log, the run's progress, and why it failed."""

import sys
import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from engines.kit.files import write_json


def report(line: str) -> None:
    """One line of the engine's log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run failed, or a step of it.

    `kind`: `workflow`, `inputs`, `unsupported`, `step`, `tes` or `engine`; `sentence` is for a person.
    """

    kind: str
    sentence: str
    step: str | None = None
    task_id: str | None = None
    exit_code: int | None = None


class FailureReport:
    """Writes the first failure to its file: later ones follow from it. Safe to call from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Of an engine that was started in this folder before.
        path.unlink(missing_ok=True)
        self._lock = threading.Lock()
        self.first: Failure | None = None

    def add(self, failure: Failure) -> None:
        """Does nothing where there is one already."""
        with self._lock:
            if self.first is None:
                self.first = failure
                write_json(self._path, asdict(failure))


@dataclass(frozen=True, kw_only=True)
class ProgressCounts:
    """Numbers of steps; `known` is None while the engine can't tell, `cached` need no task in this run."""

    known: int | None = None
    running: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0


class ProgressReport:
    """Keeps the counts in their file, which is replaced as a whole and only when they change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts = ProgressCounts()

    @property
    def counts(self) -> ProgressCounts:
        """The last that were set; to set others writes them."""
        return self._counts

    @counts.setter
    def counts(self, counts: ProgressCounts) -> None:
        if counts != self._counts:
            self._counts = counts
            write_json(self._path, asdict(counts))


class StepState(StrEnum):
    """How far one step is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CACHED = "cached"


class StepProgress(ProgressReport):
    """Counts the steps of a run by their last state; safe to call from any thread.

    `done` counts the cached ones too. `known` grows where a scatter's length is only known during the run; a step
    that is tried again is running.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._expected: dict[Hashable, int] = {}
        self._steps: dict[Hashable, StepState] = {}

    def expect(self, part: Hashable, count: int) -> None:
        """`part` of the workflow has so many tasks, as far as is known."""
        with self._lock:
            self._expected[part] = count
            self._update()

    def step(self, step: Hashable, state: StepState) -> None:
        """`step` is in this state now."""
        with self._lock:
            self._steps[step] = state
            self._update()

    def _update(self) -> None:
        states = Counter(self._steps.values())
        self.counts = ProgressCounts(
            known=max(sum(self._expected.values()), len(self._steps)),
            running=states[StepState.RUNNING],
            done=states[StepState.DONE] + states[StepState.CACHED],
            failed=states[StepState.FAILED],
            cached=states[StepState.CACHED],
        )


class JobProgress(ProgressReport):
    """Counts jobs as they start and end, a group of them at once; safe to call from any thread.

    `cached` jobs need no run, and are not among those that are `done`.
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
