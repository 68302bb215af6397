"""Process 1 of a sandbox: with it the kernel ends all others inside.

It is held by a pidfd, so that what is signalled is never another process which got its number.
"""

import contextlib
import json
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.identity import Identity
from sandbox.limits import ResourceLimits


@dataclass(frozen=True, kw_only=True)
class SandboxPipes:
    """Between this process and bwrap, which inherits `inherited`. On `status` it says which process is the first and
    how it ended; it does not start the command before something comes on `gate`."""

    status: int
    status_writer: int
    gate: int
    gate_reader: int

    @property
    def inherited(self) -> tuple[int, int]:
        """The descriptors that bwrap's process is to have."""
        return self.status_writer, self.gate_reader

    def options(self) -> tuple[str, ...]:
        """The options of bwrap that name them."""
        return "--json-status-fd", str(self.status_writer), "--block-fd", str(self.gate_reader)


@contextmanager
def sandbox_pipes() -> Iterator[SandboxPipes]:
    """For one start; `InitProcess` takes over this process's ends."""
    status, status_writer = os.pipe()
    gate_reader, gate = os.pipe()
    try:
        yield SandboxPipes(status=status, status_writer=status_writer, gate=gate, gate_reader=gate_reader)
    except BaseException:
        os.close(status)
        os.close(gate)
        raise
    finally:
        os.close(status_writer)
        os.close(gate_reader)


class InitProcess:
    """Takes its limits, and only then runs the command: a library that the code brings with it (LD_PRELOAD) would be
    loaded into a program that sets them from inside. Any thread may call."""

    def __init__(self, ends: SandboxPipes, limits: ResourceLimits, identity: Identity) -> None:
        self._status = os.fdopen(ends.status, "rb")
        self._lock = threading.Lock()
        pid = self._report("child-pid")
        self._pidfd = _pidfd(pid)
        try:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    limits.hold(pid, identity)
                os.write(ends.gate, b"1")
        except BrokenPipeError:
            pass
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(ends.gate)

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
