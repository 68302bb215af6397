"""Programs of `wes up` as forks of it: what all of them import is loaded once, and its memory is shared.

Only for a process with a single thread, as threads and their locks do not come along.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from setproctitle import setproctitle

PROGRAMS = ("wes_service.app", "workers.main", "tes_service.server", "wes_cli.main")
PR_SET_PDEATHSIG = 1
SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


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
        start = (tuple(arguments), dict(environment), log, os.getpid())
        self._process = multiprocessing.get_context("fork").Process(target=_run, args=start)
        # Until it has forgotten what this process does at a signal, which is to end its own children.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid or 0

    def poll(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended; `subprocess.TimeoutExpired` after `timeout` seconds."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], log: Path, parent: int) -> None:
    """Turns the fork into the program, as if it had been started by itself."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _redirect(log)
    # Before the environment changes, as it is written over what this process began with.
    setproctitle(f"wes {' '.join(arguments)}")
    os.environ.clear()
    os.environ.update(environment)
    from wes_cli.main import app

    app(list(arguments))


def _redirect(log: Path) -> None:
    """Standard input is empty, and both outputs go to `log`; nothing else of the parent's stays open."""
    empty = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for source, target in ((empty, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
