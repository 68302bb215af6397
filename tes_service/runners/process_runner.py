"""Runs executors as plain processes: nothing is isolated, so only with an explicit switch (acceptance: tes, 12).

There are no container paths: each declared path is one in the task's own folder, and wherever it is written in a
command, an environment variable or the text of an input, the path that is really there is put in its place.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.foreign_files import folder_beneath
from sandbox.identity import Identity
from tes_service.errors import TaskFault
from tes_service.layout import SCRATCH, Layout, declared_folders
from tes_service.processes import ExecutorStreams, RunningExecutor, Spawner, StopSignal
from tes_service.runners import guard
from tes_service.runners.port import ExecutorRequest
from tes_service.task_request import TaskRequest

GUARD = Path(guard.__file__)


@dataclass(frozen=True, kw_only=True)
class ProcessRunner:
    """For machines where nothing else works."""

    spawner: Spawner
    identity: Identity
    name: str = "process"
    network: bool = True
    uses_images: bool = False
    about: str = (
        "run as a plain process without any isolation, as the server was told to; paths were "
        "mapped to the task's own folder, and cpu limits are not enforced"
    )

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None:
        """Nothing to get."""

    def settle(self, request: TaskRequest, layout: Layout) -> None:
        """Inputs that would be mounted become symlinks; texts get the paths that are really there."""
        for mount in layout.bound:
            *above, name = mount.target.strip("/").split("/")
            with folder_beneath(layout.root, tuple(above), self.identity) as folder:
                os.symlink(mount.source, name, dir_fd=folder)
        for one in request.inputs:
            if text := one.get("content"):
                layout.host(one["path"]).write_text(PathMapping(layout, request).mapped(text), errors="surrogateescape")

    def start(self, call: ExecutorRequest) -> RunningExecutor:
        """As `Runner.start`."""
        paths = PathMapping(call.layout, call.request)
        scratch = str(call.layout.host(SCRATCH))
        usual = {"PATH": os.defpath, "HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8"}
        order = {
            "command": [paths.mapped(part) for part in call.command],
            "env": usual | {name: paths.mapped(value) for name, value in call.env.items()},
            "cwd": str(call.layout.host(call.workdir or SCRATCH)),
            "uid": self.identity.uid if self.identity.drop else None,
            "gid": self.identity.gid,
            "limits": list(call.limits.kernel(sandboxed=False).items()),
        }
        reader, writer = os.pipe()
        try:
            return _GuardedProcess(self._spawn(order, reader, call.streams), writer)
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:  # noqa: ARG002
        """Its processes have died with the server."""
        return None

    def discard(self, task_id: str) -> None:
        """Nothing is ever left."""

    def sweep(self, held: Callable[[str], bool]) -> None:
        """Nothing is ever left."""

    def _spawn(self, order: object, lifeline: int, streams: ExecutorStreams) -> "subprocess.Popen[bytes]":
        document = os.memfd_create("order")
        try:
            os.write(document, json.dumps(order).encode())
            os.lseek(document, 0, os.SEEK_SET)
            argv = [sys.executable, "-I", "-S", str(GUARD), str(lifeline), str(document)]
            return self.spawner.spawn(argv, streams, {}, [lifeline, document])
        except OSError as error:
            raise TaskFault(f"the executor could not be started: {error.strerror}") from None
        finally:
            os.close(document)


class PathMapping:
    """Puts real paths in the place of a task's own ones, where they stand as a whole or as the beginning of a path."""

    def __init__(self, layout: Layout, request: TaskRequest) -> None:
        self._layout = layout
        longest_first = sorted(set(declared_paths(request)), key=len, reverse=True)
        names = "|".join(re.escape(path) for path in longest_first if path != "/")
        self._pattern = re.compile(rf"(?:(?<![\w./-])|(?<=-[A-Za-z]))(?:{names})(?![\w.-])") if names else None

    def mapped(self, text: str) -> str:
        """The text with host paths in the place of the task's."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: str(self._layout.host(found.group())), text)


def declared_paths(request: TaskRequest) -> Iterable[str]:
    """Every path that the task names, and the folders that they need where this machine has none of that name."""
    yield from request.volumes
    yield from (one["path"] for one in request.inputs)
    yield from (output.path for output in request.outputs if not output.pattern)
    yield from (folder for folder in declared_folders(request) if not Path(folder).exists())
    for executor in request.executors:
        named = (executor.get("workdir"), executor.get("stdin"), executor.get("stdout"), executor.get("stderr"))
        yield from (path for path in named if path is not None)


class _GuardedProcess:
    handle = ""
    out_of_memory = False

    def __init__(self, process: "subprocess.Popen[bytes]", lifeline: int) -> None:
        self._process = process
        self._lifeline: int | None = lifeline
        self._killed = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> int | None:
        exit_code = self._process.wait()
        self._close_lifeline()
        return None if self._killed else exit_code

    def kill(self) -> None:
        """The guard sees the pipe's end and kills all that is left."""
        self._killed = True
        self._close_lifeline()

    def _close_lifeline(self) -> None:
        with self._lock:
            if self._lifeline is not None:
                os.close(self._lifeline)
                self._lifeline = None
