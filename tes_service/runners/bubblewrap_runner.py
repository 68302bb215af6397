"""Runs executors over the host's own system, read-only, in bubblewrap (acceptance: tes, 12; sandbox).

Without network, with its own process numbers, and with only the task's folders writable. Images are not used.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.bubblewrap import BWRAP_ENVIRONMENT, MIB, SYSTEM_FOLDERS, Mount, Sandbox, write_sandbox_files
from sandbox.identity import Identity
from sandbox.init_process import InitProcess, sandbox_pipes
from tes_service.errors import TaskFault
from tes_service.layout import SCRATCH, Layout
from tes_service.processes import ExecutorStreams, RunningExecutor, Spawner, StopSignal
from tes_service.runners.port import ExecutorRequest
from tes_service.task_log import excerpt
from tes_service.task_request import TaskRequest, is_beneath

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": SCRATCH,
    "LANG": "C.UTF-8",
    "TMPDIR": SCRATCH,
}
CLOSED = (*SYSTEM_FOLDERS, "/proc", "/dev", "/sys")
"""Nothing of a task can lie in these: they are the host's."""
NOT_FOUND = 127
NOT_RUNNABLE = 126
HOME_BYTES = 512 * MIB


@dataclass(frozen=True, kw_only=True)
class BubblewrapRunner:
    """`features`: options that this bwrap has; `files`: the folder of what is mounted into each sandbox."""

    spawner: Spawner
    identity: Identity
    features: frozenset[str]
    files: Path
    programs: tuple[Path, ...] = ()
    name: str = "bubblewrap"
    network: bool = False
    uses_images: bool = False
    about: str = "run in bubblewrap over the host's own programs, without network; cpu limits are not enforced"

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None:
        """Nothing to get."""

    def settle(self, request: TaskRequest, layout: Layout) -> None:  # noqa: ARG002
        """`TaskFault` where a path lies in a folder that is the host's own."""
        for mount in layout.mounts():
            if any(is_beneath(mount.target, folder) for folder in CLOSED):
                raise TaskFault(f"{mount.target} lies in a system folder, which is the host's own in this runner")

    def start(self, call: ExecutorRequest) -> RunningExecutor:
        """As `Runner.start`."""
        sandbox = Sandbox(
            mounts=(*self._programs(), *call.layout.mounts()),
            chdir=call.workdir or SCRATCH,
            environment={**ENVIRONMENT, **call.env},
            tmp_bytes=min(HOME_BYTES, call.limits.memory_bytes),
            files=write_sandbox_files(self.files),
            features=self.features,
        )
        with sandbox_pipes() as ends:
            _, *options = sandbox.argv((), ends)
            with _as_file(options[: options.index("--")]) as arguments:
                argv = [*self.identity.argv(), "bwrap", "--args", str(arguments), "--", *call.command]
                process = self._spawn(argv, call.streams, [arguments, *ends.inherited, *self._bound(call.layout)])
        return _Sandboxed(process, InitProcess(ends, call.limits, self.identity), call.streams.stderr)

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:  # noqa: ARG002
        """Its processes have died with the server."""
        return None

    def discard(self, task_id: str) -> None:
        """Nothing is ever left."""

    def sweep(self, held: Callable[[str], bool]) -> None:
        """Nothing is ever left."""

    def _programs(self) -> list[Mount]:
        """Folders that are the host's like its system folders; installed or removed while the server runs."""
        return [Mount(source=one, target=str(one)) for one in self.programs if one.is_dir()]

    def _bound(self, layout: Layout) -> list[int]:
        """Only for a bwrap that binds and closes them: a folder left open inside would be a way out."""
        if "--ro-bind-fd" not in self.features:
            return []
        return [one.fd for one in layout.bound if one.fd is not None]

    def _spawn(self, argv: Sequence[str], streams: ExecutorStreams, keep: Sequence[int]) -> "subprocess.Popen[bytes]":
        try:
            return self.spawner.spawn(argv, streams, {**BWRAP_ENVIRONMENT, "PATH": os.defpath}, keep)
        except OSError as error:
            raise TaskFault(f"the executor could not be started: {error.strerror}") from None


@contextmanager
def _as_file(arguments: Sequence[str]) -> Iterator[int]:
    """The options go to bwrap in a file that has no name: others can't read them in its command line (there are
    environment variables among them), and they may be longer than one."""
    fd = os.memfd_create("options", 0)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(b"".join(os.fsencode(part) + b"\0" for part in arguments))
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


class _Sandboxed:
    """bwrap is a process outside, and process 1 inside, with which the kernel ends all others."""

    handle = ""
    out_of_memory = False

    def __init__(self, process: "subprocess.Popen[bytes]", first: InitProcess, stderr: int) -> None:
        self._process = process
        self._first = first
        self._stderr = stderr
        self._killed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> int | None:
        self._process.wait()
        exit_code = self._first.end()
        if self._killed:
            return None
        return self._why_not() if exit_code is None else exit_code

    def kill(self) -> None:
        self._killed = True
        if not self._first.kill():
            self._process.kill()

    def _why_not(self) -> int:
        """bwrap reports no exit code where the command never ran; as in a shell, 127 and 126 say that it can't."""
        output = excerpt(self._stderr).strip()[-500:]
        last = output.rpartition("\n")[2]
        if not last.startswith("bwrap: execvp "):
            raise TaskFault(f"the sandbox could not be made: {output}")
        return NOT_FOUND if last.endswith(os.strerror(errno.ENOENT)) else NOT_RUNNABLE
