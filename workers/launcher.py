"""Runs an `EngineCommand` as a sandboxed process (design, decisions 4, 5 and 13)."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from wes_service.core.engine import EngineCommand, Installation, RunFolder
from wes_service.core.errors import SystemFailure
from wes_service.launch.identity import Identity
from wes_service.launch.sandbox import Mount, Sandbox, SandboxProbe, is_system, write_sandbox_files
from workers.gateway.server import SOCKET_NAME

RELAY = Path(__file__).with_name("relay.py")
INSIDE_PORT = 8765
"""Fixed, so that an engine started again after a take-over sees the same URL."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
GRACE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One engine to start: its command, its run's folder, its installation, and folders it may read in place."""

    command: EngineCommand
    folder: RunFolder
    installation: Installation
    allowed_data: tuple[Path, ...] = ()


class RunningEngine:
    """A started engine. `wait` and `stop` may be called from any thread."""

    def __init__(self, process: subprocess.Popen[bytes], stop_signal: int) -> None:
        self._process = process
        self._stop_signal = stop_signal

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """The exit code (negative: ended by that signal), or None where it still runs after `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return 128 - code if code > 128 else code

    def stop(self) -> None:
        """Asks it to stop, and ends its whole process tree after a second of grace; returns when it is gone."""
        self._ask()
        deadline = time.monotonic() + GRACE_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """Ends the whole process tree: the sandbox's first process takes all others with it."""
        for process in _tree(self._process.pid):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._close()

    def _ask(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(f"{int(self._stop_signal)}\n".encode())
                self._process.stdin.flush()

    def _close(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


class Launcher:
    """Starts engines, all from one thread that lives as long as the worker.

    A sandbox dies with the thread that started it, so that no engine outlives its worker and none dies too early.
    """

    def __init__(
        self,
        identity: Identity,
        probe: SandboxProbe,
        sandbox_files: Path,
        gateway_folder: Path,
        memory_bytes: int = 8 * 1000**3,
    ) -> None:
        self._identity = identity
        # Not --as: the address space that a JVM only reserves is far larger than what it uses.
        self._limits = ("prlimit", f"--data={memory_bytes}", "--core=0", "--")
        self._probe = probe
        self._files = sandbox_files
        self._gateway = gateway_folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="launcher")

    @property
    def sandboxed(self) -> bool:
        return self._probe.works

    def argv(self, launch: Launch) -> tuple[str, ...]:
        """The whole command line; it holds no secret."""
        python = _relay_python(launch.installation)
        if not self._probe.works:
            # Without a sandbox the relay ends the engine when its standard input does, so it must outlive the worker.
            relay = (python, "-S", "-E", str(_copy_relay(self._files)), "-", "0")
            return (*self._identity.argv(dies_with_parent=False), *self._limits, *relay, *launch.command.argv)
        relay = (python, "-S", "-E", "/relay.py", f"/gw/{SOCKET_NAME}", str(INSIDE_PORT))
        sandboxed = self._sandbox(launch).argv([*relay, *launch.command.argv])
        return (*self._identity.argv(), *self._limits, *sandboxed)

    def start(self, launch: Launch) -> RunningEngine:
        """Starts it with stdout and stderr in the run's `logs`; `SystemFailure` where that can't be done."""
        return self._thread.submit(self._start, launch).result()

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    def _start(self, launch: Launch) -> RunningEngine:
        argv = self.argv(launch)
        environment = {"PATH": os.defpath}
        if not self._probe.works:
            environment = dict(launch.command.environment)
        with _log(launch.folder, "stdout") as out, _log(launch.folder, "stderr") as err:
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=err,
                    env=environment,
                    cwd="/" if self._probe.works else launch.folder.work,
                    start_new_session=True,
                    restore_signals=True,
                )
            except OSError as error:
                raise SystemFailure(f"the engine could not be started: {error}") from error
        return RunningEngine(process, getattr(signal, launch.command.stop_signal))

    def _sandbox(self, launch: Launch) -> Sandbox:
        root = launch.folder
        mounts = [
            *(Mount(source=path, target=str(path)) for path in _readable(launch)),
            Mount(source=_copy_relay(self._files), target="/relay.py"),
            Mount(source=self._gateway, target="/gw"),
            Mount(source=root.attachments, target=str(root.attachments)),
            Mount(source=root.control, target=str(root.control)),
            Mount(source=root.work, target=str(root.work), writable=True),
        ]
        environment = {"HOME": "/home", "LANG": "C.UTF-8", "TMPDIR": "/tmp", "PATH": SYSTEM_PATH}  # noqa: S108
        return Sandbox(
            mounts=tuple(mounts),
            chdir=str(root.work),
            environment={**environment, **launch.command.environment},
            files=write_sandbox_files(self._files),
            features=self._probe.features,
        )


def _copy_relay(folder: Path) -> Path:
    """The relay in a place that the foreign identity can read, wherever this package lies."""
    target = folder / "relay.py"
    text = RELAY.read_bytes()
    if not target.exists() or target.read_bytes() != text:
        target.write_bytes(text)
        target.chmod(0o644)
    return target


def _readable(launch: Launch) -> list[Path]:
    own = [launch.installation.environment, *launch.installation.readable]
    wanted = [*(path for path in own if not is_system(path)), *launch.allowed_data]
    return [path for path in dict.fromkeys(wanted) if path.exists()]


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _relay_python(installation: Installation) -> str:
    own = installation.environment / "bin" / "python"
    if own.exists():
        return str(own)
    found = shutil.which("python3", path=SYSTEM_PATH)
    if found is None:
        raise SystemFailure("no python3 in /usr/local/bin, /usr/bin or /bin: the engine's sandbox needs one")
    return found


def _log(folder: RunFolder, name: str) -> IO[bytes]:
    return (folder.logs / name).open("ab")
