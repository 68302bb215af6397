"""Engines for tests that start in no time: each run is a fork of one process that has done its imports.

A run of its own costs half a second of processor time before it has read anything. What a fork shares with others is
what Python had imported; settings, environment, folders, signals and exit codes are as in a process of its own.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.engine import EngineCommand, Installation
from sandbox.identity import Identity

PROGRAM = Path(__file__).with_name("forking_program.py")
OPEN_TO_ALL = 0o666
LOST = -signal.SIGKILL


@dataclass(kw_only=True)
class ForkedRun:
    """One run; used like a `subprocess.Popen`."""

    stderr: Path
    pid: int | None = None
    returncode: int | None = None
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.started.wait(10)
        if self.pid is not None and self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired("engine", timeout or 0)
        return "", self.stderr.read_text(errors="replace")


@dataclass(kw_only=True)
class ForkedEngine:
    """The process that all runs of one engine are forks of."""

    process: "subprocess.Popen[str]"
    runs: list[ForkedRun] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, command: EngineCommand, cwd: Path, stdout: Path) -> ForkedRun:
        """Runs `command`, which names its settings last, in `cwd`; `stdout` is appended to."""
        with self.lock:
            run = ForkedRun(stderr=stdout.with_name(f"stderr-{len(self.runs)}"))
            for path in (stdout, run.stderr):
                path.touch()
                path.chmod(OPEN_TO_ALL)
            request = {
                "number": len(self.runs),
                "settings": command.argv[-1],
                "environment": dict(command.environment),
                "cwd": str(cwd),
                "stdout": str(stdout),
                "stderr": str(run.stderr),
            }
            self.runs.append(run)
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return run

    def follow(self) -> None:
        """Until the process has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            number, event, value = line.split()
            run = self.runs[int(number)]
            if event == "pid":
                run.pid = int(value)
                run.started.set()
            else:
                run.returncode = int(value)
                run.ended.set()
        for run in self.runs:
            if run.returncode is None:
                # The process that all are forks of is gone.
                run.returncode = LOST
                run.started.set()
                run.ended.set()


@contextmanager
def forked_engine(name: str, installation: Installation, identity: Identity) -> Iterator[ForkedEngine]:
    """`name`: as in `wes engines install NAME`."""
    python = str(installation.environment / "bin" / "python")
    process = subprocess.Popen(
        [*identity.argv(), python, "-I", "-c", PROGRAM.read_text(), name],
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    engine = ForkedEngine(process=process)
    follower = threading.Thread(target=engine.follow, daemon=True)
    follower.start()
    try:
        yield engine
    finally:
        for run in engine.runs:
            run.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        follower.join()
        process.stdout.close()
