"""Child processes that `wes up` keeps running: started, watched, started again, ended."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANY = 5
SHORT_LIFE = 10.0
LONGEST_WAIT = 10.0


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """A program of the stack; `stop_seconds` is how long it may take to stop by itself."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    stop_seconds: float = 10.0


@dataclass(kw_only=True)
class Child:
    """One running program. Its output goes to `log`; it dies with this process, whatever kills that."""

    spec: ChildSpec
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_deaths: int = 0
    wait_until: float = field(default=0.0)
    log_start: int | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.log_start = out.tell() if self.log_start is None else self.log_start
            # A session of its own: Ctrl-C in the terminal is for `wes up`, which ends its children in order.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(self.spec.environment),
                start_new_session=True,
            )
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def died(self) -> str | None:
        """What to say of a death that was not noted yet; it says too when it will be started again."""
        if self.alive or self.process is None or self.wait_until:
            return None
        lived = time.monotonic() - self.started
        self.quick_deaths = self.quick_deaths + 1 if lived < SHORT_LIFE else 0
        wait = min(LONGEST_WAIT, 0.2 * 2**self.quick_deaths)
        self.wait_until = time.monotonic() + wait
        return (
            f"{self.spec.name} ended with code {self.exit_code}; it is started again in {wait:.1f} s (see {self.log})"
        )

    @property
    def hopeless(self) -> bool:
        """It ended soon after each of the last starts."""
        return self.quick_deaths >= MANY

    def restart_when_due(self) -> bool:
        """Whether it was started again just now."""
        if not self.wait_until or time.monotonic() < self.wait_until:
            return False
        self.wait_until = 0.0
        self.start()
        return True

    def stop(self) -> None:
        """Asks it to stop, ends it after `stop_seconds`, and returns when it is gone."""
        if self.process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(self.spec.stop_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def last_lines(self, count: int = 15) -> str:
        """The end of its output, of this `wes up` only."""
        try:
            with self.log.open("rb") as log:
                log.seek(self.log_start or 0)
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-count:])

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)
