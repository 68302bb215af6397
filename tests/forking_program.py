"""Runs an engine's executor for each line of standard input, in a fork of a process that has imported the engine.

For tests, run by the engine's own Python: `python -I -c THIS NAME`. A line is a JSON object with `number`, `settings`,
`environment`, `cwd`, `stdout` and `stderr`. Lines of standard output tell `NUMBER pid PID` and `NUMBER ended CODE`.
"""

import contextlib
import importlib
import json
import os
import runpy
import sys
import tempfile
from typing import Any

PREPARED = {
    "cwl": (
        ("engines.cwl.executor.web_clients", "spare_web_clients"),
        ("engines.cwl.executor.run", None),
        ("engines.cwl.executor.schemas", "use_cache"),
    ),
    "wdl": (
        ("engines.wdl.executor.__main__", "spare_docker"),
        ("engines.wdl.executor.run", None),
        ("engines.wdl.executor.grammars", "use_cache"),
    ),
}
"""Modules that a run would import first, each with a function that it would call."""


def prepare(name: str) -> None:
    for module, function in PREPARED[name]:
        loaded = importlib.import_module(module)
        if function:
            getattr(loaded, function)()


def run(name: str, request: Any) -> None:
    """In a process of its own, which ends as the executor would end."""
    # Of its own session, as an engine may signal its whole process group.
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    for target, path in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        file = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(file, target)
        os.close(file)
    sys.modules.pop(f"engines.{name}.executor.__main__", None)
    sys.argv = ["executor", request["settings"]]
    runpy.run_module(f"engines.{name}.executor", run_name="__main__", alter_sys=True)


def watch(name: str, request: Any) -> None:
    """In a process of its own, which does nothing but wait for the run's."""
    child = os.fork()
    if child == 0:
        run(name, request)
        return
    os.write(1, f"{request['number']} pid {child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(1, f"{request['number']} ended {os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def reap(options: int) -> None:
    """Whoever measures this process sees the processor time of all runs."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options) != (0, 0):
            pass


def main() -> None:
    name = sys.argv[1]
    prepare(name)
    for line in iter(sys.stdin.readline, ""):
        if os.fork() == 0:
            watch(name, json.loads(line))
            return
        reap(os.WNOHANG)
    reap(0)


if __name__ == "__main__":
    main()
