"""A small program between the server and one unsandboxed executor: `guard.py LIFELINE ORDER`.

ORDER is a descriptor with a JSON document: `command`, `env`, `cwd`, `limits` (pairs, as
`resource.setrlimit` takes them), `uid` and `gid` (null: stay who we are). LIFELINE
is the reading end of a pipe: once the server closes it, or dies, everything that the executor has started is killed.
The guard becomes the parent of every process that loses its own, and ends only when there is none left.

It runs by itself (`python -I -S`), so it imports nothing of this project. The environment of the task never becomes
that of a process with the server's rights: a variable like LD_PRELOAD would run code in it.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
NOT_FOUND = 127
NOT_RUNNABLE = 126


def main(lifeline: int, order: int) -> int:
    """Starts the executor, waits for it, and returns its exit code once nothing of it is left."""
    libc = ctypes.CDLL(None, use_errno=True)
    with os.fdopen(order) as file:
        executor = json.load(file)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        become(libc, executor, lifeline)
    wait_for(child, lifeline)
    return end_all(child)


def become(libc: Any, executor: dict[str, Any], lifeline: int) -> None:
    """Turns this process into the executor; never returns."""
    try:
        os.close(lifeline)
        if executor["uid"] is not None:
            os.setgroups([])
            os.setresgid(executor["gid"], executor["gid"], executor["gid"])
            os.setresuid(executor["uid"], executor["uid"], executor["uid"])
        for kind, value in executor["limits"]:
            resource.setrlimit(kind, (value, value))
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.chdir(executor["cwd"])
        os.execvpe(executor["command"][0], executor["command"], executor["env"])  # noqa: S606 - a command, without a shell
    except OSError as error:
        os.write(2, f"{executor['command'][0]}: {error.strerror}\n".encode(errors="replace"))
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE)


def wait_for(child: int, lifeline: int) -> None:
    """Until the executor has ended or the server wants it to."""
    process = os.pidfd_open(child)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(lifeline, select.POLLIN)
    poll.poll()
    os.close(process)


def end_all(child: int) -> int:
    """Kills all that is left, whoever's child it became; the executor's exit code (128 + n for signal n)."""
    exit_code = 128 + signal.SIGKILL
    while True:
        ended = reap()
        if ended is None:
            return exit_code
        pid, status = ended
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            exit_code = 128 - code if code < 0 else code


def reap() -> tuple[int, int] | None:
    """The next child that has ended; while there is none, those that are left are killed."""
    try:
        ended = os.waitpid(-1, os.WNOHANG)
        if ended[0] == 0:
            kill_children()
            ended = os.waitpid(-1, 0)
    except ChildProcessError:
        return None
    return ended


def kill_children() -> None:
    """SIGKILL for each child of this process."""
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and parent_of(entry) == own:
            os.kill(int(entry.name), signal.SIGKILL)


def parent_of(entry: Path) -> int | None:
    """The parent of the process of a folder in /proc; None where it is gone."""
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
