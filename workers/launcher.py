"""Runs an `EngineCommand` as a sandboxed process (design, decisions 4, 5 and 13)."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import psutil

from common.engine import RUN_ROOT, EngineCommand, Installation, RunFolder
from common.errors import SystemFailure
from gateway.server import SOCKET_NAME
from sandbox.bubblewrap import Mount, Sandbox, SandboxProbe, is_system, write_sandbox_files
from sandbox.egress import EgressProxy, EgressSocket
from sandbox.identity import Identity
from sandbox.init_process import InitProcess, SandboxPipes, sandbox_pipes
from sandbox.limits import GIB, ResourceLimits
from sandbox.monitor import LimitSettings, MonitoredWorkload, ResourceMonitor, Workload

RELAY = Path(__file__).with_name("relay.py")
INSIDE_PORT = 8765
"""Fixed, so that an engine started again after a take-over sees the same URL."""
GATEWAY_SOCKET = "/gw.sock"
EGRESS_PORT = 8766
EGRESS_SOCKET = "/egress.sock"
"""Inside, where engines may reach the network."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
GRACE_SECONDS = 1.0
ENGINE_LIMITS = ResourceLimits(memory_bytes=8 * 1000**3)
SETTINGS = LimitSettings(
    memory="WES_ENGINE_MEMORY_GB",
    processes="WES_ENGINE_PROCESSES",
    disk="WES_RUN_DISK_GB",
    log="WES_ENGINE_LOG_GB",
)
SPARE_DISK = GIB // 2
TMP_BYTES = GIB
"""Of each of /tmp, /home and /dev/shm, which are memory."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One engine to start: its command, its run's folder (from `Launcher.seen`), its installation, and folders that it
    may read in place."""

    command: EngineCommand
    folder: RunFolder
    installation: Installation
    allowed_data: tuple[Path, ...] = ()


def proxy_variables() -> dict[str, str]:
    """How programs inside find the proxy; most read one of the two spellings. The gateway is never asked through it."""
    proxy = f"http://127.0.0.1:{EGRESS_PORT}"
    found = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": "127.0.0.1,localhost"}
    return {**found, **{name.upper(): value for name, value in found.items()}}


class RunningEngine:
    """A started engine. `wait` and `stop` may be called from any thread.

    `problem`: why this service ended it, empty where it did not.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        first: InitProcess,
        stop_signal: int,
        logs: Sequence[IO[bytes]],
        egress: EgressSocket | None = None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._process = process
        self._stop_signal = stop_signal
        self._first = first
        self._logs = logs
        self._egress = egress
        self._closed = closed
        # Nobody has waited for it yet, so the number is still its own.
        self._pidfd = os.pidfd_open(process.pid)
        self._lock = threading.Lock()
        self._gone = False
        self._watched: MonitoredWorkload | None = None
        self._let_go: Callable[[MonitoredWorkload], None] = _ignore

    @property
    def pid(self) -> int:
        """Of the process that this service started, which is the engine's outermost wrapper."""
        return self._process.pid

    @property
    def problem(self) -> str:
        """The sentence with which it was ended for using too much; empty where it was not."""
        return self._watched.problem if self._watched else ""

    @property
    def refused_hosts(self) -> tuple[str, ...]:
        """A sentence for each host that it wanted to reach and may not."""
        return self._egress.refusals() if self._egress else ()

    def watch(self, watch: ResourceMonitor, limits: ResourceLimits, folder: Path) -> None:
        """Ends it, with a `problem`, once it uses more than it may."""
        logs = tuple((Path(log.name).name, log.fileno()) for log in self._logs)
        subject = Workload(
            name="the engine",
            limits=limits,
            settings=SETTINGS,
            end=self._end,
            pid=self.pid,
            folder=folder,
            writers="the run",
            logs=logs,
        )
        self._watched, self._let_go = watch.add(subject), watch.let_go

    def wait(self, seconds: float) -> int | None:
        """The exit code (negative: ended by that signal), or None where it still runs after `seconds`.

        With an exit code nothing that it started is left.
        """
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._clear()
        return 128 - code if code > 128 else code

    def stop(self) -> None:
        """Asks it to stop, and ends its whole process tree after a second of grace; returns when it is gone."""
        self._ask()
        deadline = time.monotonic() + GRACE_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """Ends the whole process tree, and returns when it is gone; does nothing where it is."""
        self._end()
        # A sandbox that stands still does not see that its first process is gone.
        self._signal(signal.SIGCONT)
        self._process.wait()
        self._clear()

    def _end(self) -> None:
        """By descriptors that stay its own: a number may be another process's by now."""
        with self._lock:
            if self._gone or self._first.kill():
                return
            for process in _below(self._process.pid, self._pidfd):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            _kill(self._pidfd)

    def _clear(self) -> None:
        if self._watched is not None:
            self._let_go(self._watched)
        with self._lock:
            if self._gone:
                return
            self._gone = True
            self._closed()
            self._first.end()
            os.close(self._pidfd)
            for log in self._logs:
                log.close()
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()

    def suspend(self) -> None:
        """Lets the whole process tree stand still."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._gone:
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
            for process in _below(self._process.pid, self._pidfd):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)

    def _ask(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(f"{int(self._stop_signal)}\n".encode())
                self._process.stdin.flush()


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
        limits: ResourceLimits = ENGINE_LIMITS,
        spare_disk: int = SPARE_DISK,
        egress: EgressProxy | None = None,
    ) -> None:
        self._identity = identity
        self._egress = egress if probe.works else None
        self._limits = limits
        self._watch = ResourceMonitor(sandbox_files, spare_disk, total_memory=psutil.virtual_memory().total)
        self._probe = probe
        self._files = sandbox_files
        self._gateway = gateway_folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="launcher")

    @property
    def sandboxed(self) -> bool:
        """Whether engines run in bubblewrap."""
        return self._probe.works

    def seen(self, folder: RunFolder) -> RunFolder:
        """A run's folder, with where its engine will see it: in every sandbox at the same place."""
        return replace(folder, seen_root=RUN_ROOT) if self.sandboxed else folder

    def argv(
        self, launch: Launch, first: SandboxPipes | None = None, egress: EgressSocket | None = None
    ) -> tuple[str, ...]:
        """The whole command line; it holds no secret. `first` as in `Sandbox.argv`."""
        python = _relay_python(launch.installation)
        if not self.sandboxed:
            # Without a sandbox the relay ends the engine when its standard input does, so it must outlive the worker.
            outer = (*self._identity.argv(dies_with_parent=False), *self._limits.argv())
            return (*outer, python, "-S", "-E", str(_copy_relay(self._files)), "--", *launch.command.argv)
        ways = [f"{INSIDE_PORT}={GATEWAY_SOCKET}", *([f"{EGRESS_PORT}={EGRESS_SOCKET}"] if egress else [])]
        relay = (python, "-S", "-E", "/relay.py", *ways, "--")
        return (*self._identity.argv(), *self._sandbox(launch, egress).argv([*relay, *launch.command.argv], first))

    def start(self, launch: Launch) -> RunningEngine:
        """Starts it with stdout and stderr in the run's `logs`; `SystemFailure` where that can't be done."""
        return self._thread.submit(self._start, launch).result()

    def close(self) -> None:
        """Starts nothing any more; engines that run go on until the worker's process ends."""
        self._thread.shutdown(wait=False)

    def _start(self, launch: Launch) -> RunningEngine:
        egress = self._egress.open(launch.folder.root.name) if self._egress else None
        logs = [(launch.folder.logs / name).open("ab") for name in ("stdout", "stderr")]
        try:
            with sandbox_pipes() as ends:
                process = self._spawn(launch, logs, self.argv(launch, ends, egress), ends)
            first = InitProcess(ends, self._limits, self._identity)
        except OSError as error:
            for log in logs:
                log.close()
            self._close(egress)
            raise SystemFailure(f"the engine could not be started: {error}") from error
        stop_signal = getattr(signal, launch.command.stop_signal)
        engine = RunningEngine(process, first, stop_signal, logs, egress, partial(self._close, egress))
        engine.watch(self._watch, self._limits, launch.folder.work)
        return engine

    def _close(self, egress: EgressSocket | None) -> None:
        if self._egress and egress:
            self._egress.close(egress)

    def _spawn(
        self, launch: Launch, logs: Sequence[IO[bytes]], argv: Sequence[str], ends: SandboxPipes
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=logs[0],
            stderr=logs[1],
            env={"PATH": os.defpath} if self.sandboxed else dict(launch.command.environment),
            cwd="/" if self.sandboxed else launch.folder.work,
            start_new_session=True,
            restore_signals=True,
            pass_fds=ends.inherited if self.sandboxed else (),
        )

    def _sandbox(self, launch: Launch, egress: EgressSocket | None) -> Sandbox:
        folder = launch.folder
        mounts = [
            *(Mount(source=path, target=str(path)) for path in _readable(launch)),
            Mount(source=_copy_relay(self._files), target="/relay.py"),
            # The folder has the ways out of all runs, too.
            Mount(source=self._gateway / SOCKET_NAME, target=GATEWAY_SOCKET),
            *([Mount(source=egress.path, target=EGRESS_SOCKET)] if egress else []),
            Mount(source=folder.attachments, target=str(folder.seen.attachments)),
            Mount(source=folder.control, target=str(folder.seen.control)),
            Mount(source=folder.work, target=str(folder.seen.work), writable=True),
        ]
        environment = {"HOME": "/home", "LANG": "C.UTF-8", "TMPDIR": "/tmp", "PATH": SYSTEM_PATH}  # noqa: S108
        if egress:
            environment |= proxy_variables()
        return Sandbox(
            mounts=tuple(mounts),
            chdir=str(folder.seen.work),
            environment={**environment, **launch.command.environment},
            tmp_bytes=TMP_BYTES,
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
    mounted = [*(path for path in own if not is_system(path)), *launch.allowed_data]
    return [path for path in dict.fromkeys(mounted) if path.exists()]


def _below(pid: int, pidfd: int) -> list[psutil.Process]:
    """What came from a process that runs still, as its descriptor tells; psutil knows each by its time of birth."""
    try:
        found = psutil.Process(pid).children(recursive=True)
        signal.pidfd_send_signal(pidfd, 0)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return []
    return found


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _ignore(_: MonitoredWorkload) -> None:
    """There is nothing to let go of."""


def _relay_python(installation: Installation) -> str:
    own = installation.environment / "bin" / "python"
    if own.exists():
        return str(own)
    found = shutil.which("python3", path=SYSTEM_PATH)
    if found is None:
        raise SystemFailure("no python3 in /usr/local/bin, /usr/bin or /bin: the engine's sandbox needs one")
    return found
