"""Commands `wes …` for tests as forks of one process that has imported them, as `wes up` forks its programs.

The imports take most of a command's processor time. Some test starts each command as a program of its own, which shows
that it can be; the many other starts come from here.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from tests.waiting import PATIENCE
from wes_cli import forked
from wes_cli.main import COMMANDS

NEEDS_EXEC = {"LD_PRELOAD"}
"""Variables that count when a program is loaded, and so have no effect here."""
LONGEST = 1 << 20
"""Bytes of a question."""


class StartedProgram(forked.ForkedProgram):
    """A running `wes ARGUMENTS` with the methods of `subprocess.Popen` that tests use; killed when this process ends.

    What it prints is appended to the files `stdout` and `stderr`, which may be one.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path | None = None,
        cwd: Path | None = None,
    ) -> None:
        # Not that of the class, which forks this process.
        self._server = _server_of(os.getpid())
        self._exit_code: int | None = None
        (self.pid,), (self._pidfd,) = self._server.ask(
            arguments=[str(argument) for argument in arguments],
            environment=dict(environment),
            cwd=str(cwd or Path.cwd()),
            files=[os.devnull, str(stdout.absolute()), str((stderr or stdout).absolute())],
        )

    def poll(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it runs."""
        if self._exit_code is None:
            (self._exit_code,), _ = self._server.ask(poll=self.pid)
        return self._exit_code

    @property
    def returncode(self) -> int | None:
        """As the last `poll` or `wait` has seen it."""
        return self._exit_code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._pidfd)


def run_wes(
    *arguments: object, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """The command once it has ended, as `subprocess.run` returns it."""
    with tempfile.TemporaryDirectory(prefix="wes-test-said-") as place:
        stdout, stderr = Path(place) / "stdout", Path(place) / "stderr"
        words = [str(argument) for argument in arguments]
        program = StartedProgram(words, os.environ if environment is None else environment, stdout, stderr, cwd)
        try:
            code = program.wait(PATIENCE)
        finally:
            program.kill()
        return subprocess.CompletedProcess(["wes", *words], code, stdout.read_text(), stderr.read_text())


class ProgramServer:
    """This process's end of the server: one question at a time, whichever thread asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-m", "tests.program_server", str(theirs.fileno())]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        atexit.register(self._close)

    def ask(self, **question: Any) -> tuple[list[Any], list[int]]:
        """The answer, and the files that came with it."""
        with self._lock:
            self._socket.send(json.dumps(question).encode())
            answer, files, _, _ = socket.recv_fds(self._socket, LONGEST, 1)
        assert answer, "the process that starts programs has ended"
        return json.loads(answer), files

    def _close(self) -> None:
        self._socket.close()
        self._process.wait(30)


@cache
def _server_of(_pid: int) -> ProgramServer:
    """One for each process: a fork of this one has its own."""
    return ProgramServer()


class _Server:
    """Forks a program for each question, and tells what became of it. Its programs end with it."""

    def __init__(self, questions: socket.socket) -> None:
        self._questions = questions
        self._codes: dict[int, int | None] = {}
        self._pid = os.getpid()

    def serve(self) -> None:
        """Until nobody is there to ask."""
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())
        # Ctrl-C is for who asks, and ends this one by that.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while question := self._questions.recv(LONGEST):
            asked = json.loads(question)
            if "poll" in asked:
                self._reap()
                self._questions.send(json.dumps([self._codes[asked["poll"]]]).encode())
            else:
                self._start(asked)

    def _reap(self) -> None:
        """At once, as a test may wait until a program is gone."""
        for pid in [pid for pid, code in self._codes.items() if code is None]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._codes[pid] = os.waitstatus_to_exitcode(status)

    def _start(self, asked: Mapping[str, Any]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            _become(asked, self._pid)
        pidfd = os.pidfd_open(pid)
        self._codes[pid] = None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        socket.send_fds(self._questions, [json.dumps([pid]).encode()], [pidfd])
        os.close(pidfd)


def _become(asked: Mapping[str, Any], parent: int) -> NoReturn:
    def open_files() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for number, name in enumerate(asked["files"]):
            opened = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            os.dup2(opened, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(asked["cwd"])
        tempfile.tempdir = None

    forked.become(asked["arguments"], asked["environment"], parent, open_files)


def main(questions: socket.socket) -> None:
    for entry in COMMANDS.values():
        import_module(entry.module)
    forked.load_programs()
    _Server(questions).serve()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
