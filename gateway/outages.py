"""What a run has to wait for: a line in its system log when that begins, and one when it is over."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

QUIET_SECONDS = 3.0
"""What is over sooner is not told."""


class Outages:
    """Of one run, whichever and however many of its tasks meet them; `note` adds a line to its system log."""

    def __init__(self, run_id: str, note: Callable[[str], None], quiet_seconds: float = QUIET_SECONDS) -> None:
        self._run_id = run_id
        self._note = note
        self._quiet_seconds = quiet_seconds
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def begin(self, what: str, problem: str) -> None:
        """`what` does not answer, or goes on not to."""
        since = self._since.setdefault(what, time.monotonic())
        if what not in self._told and time.monotonic() - since >= self._quiet_seconds:
            self._told.add(what)
            log.warning("waiting", action="outage", run_id=self._run_id, what=what, problem=problem)
            self._note(f"waiting for {what}: {problem}")

    def end(self, what: str) -> None:
        """`what` answers."""
        since = self._since.pop(what, None)
        if since is not None and what in self._told:
            self._told.remove(what)
            seconds = time.monotonic() - since
            log.info("answers again", action="outage_over", run_id=self._run_id, what=what, seconds=round(seconds))
            self._note(f"{what} answers again, after {seconds:.0f} s")
