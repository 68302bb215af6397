"""Process 1 of a sandbox: with it the kernel ends all others inside.

It is held by a pidfd, so that what is signalled is never another process which got its number.
"""

import contextlib
import json
import os
import select
import signal
import threading


class FirstProcess:
    """`status` is the reading end of bwrap's `--json-status-fd`, and closed by this. Any thread may call."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, "rb")
        self._lock = threading.Lock()
        self._pidfd = _pidfd(self._report("child-pid"))

    def kill(self) -> bool:
        """False where there is none (any more)."""
        with self._lock:
            if self._pidfd is None:
                return False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            return True

    def end(self) -> int | None:
        """To be called once, when bwrap has ended, which can be before those inside have (a program that it left in the
        background): returns when nothing is left, with the exit code, None where the command never ran."""
        self.kill()
        with self._lock, self._status:
            if self._pidfd is not None:
                poll = select.poll()
                poll.register(self._pidfd, select.POLLIN)
                poll.poll()
                os.close(self._pidfd)
                self._pidfd = None
            return self._report("exit-code")

    def _report(self, key: str) -> int | None:
        """The next document of bwrap's status that has `key`; None at its end."""
        for line in self._status:
            value = json.loads(line).get(key)
            if isinstance(value, int):
                return value
        return None


def _pidfd(pid: int | None) -> int | None:
    try:
        return None if pid is None else os.pidfd_open(pid)
    except ProcessLookupError:
        return None
