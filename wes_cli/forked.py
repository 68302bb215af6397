"""Programs of `wes up` as forks of it: what all of them import is loaded once, and its memory is shared.

Only for a process with a single thread, as threads and their locks do not come along.
"""

import ctypes
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from setproctitle import setproctitle

from wes_service.core.liveness import DRAIN_SIGNAL

PROGRAMS = ("wes_service.app", "workers.main", "tes_service.server", "wes_cli.main")
PR_SET_PDEATHSIG = 1
SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, DRAIN_SIGNAL})


def load_programs() -> None:
    """Imports what the programs are made of, and keeps the garbage collector from touching, and so copying, it."""
    for name in PROGRAMS:
        import_module(name)
    gc.collect()
    gc.freeze()


class ForkedProgram:
    """A running `wes ARGUMENTS`, with the methods of `subprocess.Popen` that `Child` uses. It is killed when this
    process ends."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        if threading.active_count() > 1:
            raise RuntimeError("a process with several threads can't be forked safely")
        parent = os.getpid()
        self._exit_code: int | None = None
        # Until it has forgotten what this process does at a signal, which is to end its own children.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                become(arguments, environment, parent, lambda: _redirect(log))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._pidfd = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it runs."""
        if self._exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
                os.close(self._pidfd)
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended; `subprocess.TimeoutExpired` after `timeout` seconds."""
        if self._exit_code is None:
            ended = select.poll()
            ended.register(self._pidfd, select.POLLIN)
            ended.poll(None if timeout is None else timeout * 1000)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("wes", timeout or 0.0)
        return code


def become(
    arguments: Sequence[str], environment: Mapping[str, str], parent: int, open_files: Callable[[], None]
) -> NoReturn:
    """Turns a fork of the process `parent` into the program, as if it had been started by itself; `open_files` gives it
    its standard files and closes all others."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            open_files()
            # Before the environment changes, as it is written over what this process began with.
            setproctitle(f"wes {' '.join(arguments)}")
            os.environ.clear()
            os.environ.update(environment)
            code = _exit_code(arguments)
    finally:
        os._exit(code)


def _exit_code(arguments: Sequence[str]) -> int:
    """Of the command `wes ARGUMENTS`, whose output is written by then."""
    from wes_cli.main import app

    try:
        app(list(arguments))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - nobody above would print it
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _redirect(log: Path) -> None:
    """Standard input is empty, and both outputs go to `log`; nothing else of the parent's stays open."""
    empty = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for source, target in ((empty, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
