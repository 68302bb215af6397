"""Runs executors in containers, by the command line of docker or podman (acceptance: tes, 12)."""

import csv
import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from sandbox.bubblewrap import Mount
from sandbox.identity import Identity
from tes_service.errors import TaskFault
from tes_service.layout import SCRATCH, Layout
from tes_service.processes import ExecutorStreams, RunningExecutor, Spawner, StopSignal
from tes_service.runners.container_engine import LOOK_AGAIN_SECONDS, ContainerEngine, ContainerState, Images, last_line
from tes_service.runners.port import AWAY_SECONDS, ExecutorRequest
from tes_service.task_log import excerpt
from tes_service.task_request import TaskRequest

log = structlog.get_logger()

LABEL = "wes-tes.task"
SERVER_LABEL = "wes-tes.server"
"""Whose container it is: several servers may use one engine."""
NEVER_RAN = frozenset({"created", "configured", "initialized"})
COMMAND_PROBLEMS = frozenset({126, 127})
"""The image does not have the program, or it can't be run: the executor's fault, as in a shell."""
LONGEST_LINE = 60_000
ENVIRONMENT = {"HOME": SCRATCH, "TMPDIR": SCRATCH}
"""The user inside has no entry in the image's passwd, and so no home."""


@dataclass(frozen=True, kw_only=True)
class ContainerRunner:
    """`server` is this server's own id. `network` gives containers one. Nothing outlives a container: it has process
    numbers of its own."""

    engine: ContainerEngine
    images: Images
    spawner: Spawner
    identity: Identity
    server: str
    network: bool = False
    uses_images: bool = True

    @property
    def name(self) -> str:
        """The engine's program, docker or podman."""
        return self.engine.program

    @property
    def about(self) -> str:
        """As `Runner.about`."""
        network = "with" if self.network else "without"
        return f"run in containers of {self.engine.program}, {network} network, as uid {self.identity.uid}"

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None:
        """Pulls the images that are not here."""
        for image in dict.fromkeys(executor["image"] for executor in request.executors):
            self.images.ensure(image, stop)

    def settle(self, request: TaskRequest, layout: Layout) -> None:
        """A container takes any path."""

    def start(self, call: ExecutorRequest) -> RunningExecutor:
        """As `Runner.start`."""
        name = f"wes-tes-{call.task_id}-{call.attempt}-{call.index}"
        self._create(name, call)
        interactive = ["--interactive"] if call.has_stdin else []
        argv = self.engine.argv(["start", "--attach", *interactive, name])
        try:
            client = self.spawner.spawn(argv, call.streams, self.engine.environment())
        except BaseException as error:
            _try_remove(self.engine, name)
            if isinstance(error, OSError):
                raise TaskFault(f"{self.engine.program} could not be started: {error.strerror}") from None
            raise
        return _RunningContainer(self.engine, name, client, call.streams.stderr, resumes=not call.has_stdin)

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:
        """The engine has kept all that was printed, so both streams are written anew. What an executor was still to
        read from its stdin is lost with the server that fed it."""
        document = json.loads(handle)
        name = document["name"]
        state = self.engine.patiently(lambda: self.engine.state(name), stop)
        if state is None or state.status in NEVER_RAN or not document["resumes"]:
            return None
        argv = self.engine.argv(["logs", "--follow", name])
        client = self.spawner.spawn(argv, streams, self.engine.environment())
        return _RunningContainer(self.engine, name, client, streams.stderr)

    def discard(self, task_id: str) -> None:
        """Removes the containers of a task."""
        for name in self.engine.labelled(f"{LABEL}={task_id}", LABEL):
            self.engine.remove(name)

    def sweep(self, held: Callable[[str], bool]) -> None:
        """Removes containers of this server whose task has ended."""
        for name, task_id in self.engine.labelled(f"{SERVER_LABEL}={self.server}", LABEL).items():
            if not held(task_id):
                log.info("container.left-over", action="remove", task_id=task_id, container=name)
                self.engine.remove(name)

    def _create(self, name: str, call: ExecutorRequest) -> None:
        labels = ["--label", f"{LABEL}={call.task_id}", "--label", f"{SERVER_LABEL}={self.server}"]
        with _environment_file({**ENVIRONMENT, **call.env}) as (fd, options):
            created = ["create", "--name", name, *labels, *self._options(call), *options]
            try:
                self.engine.run([*created, call.image, *call.command[1:]], keep=[fd])
            except TaskFault:
                _try_remove(self.engine, name)
                raise

    def _options(self, call: ExecutorRequest) -> list[str]:
        options = ["--user", self.engine.user(self.identity.uid, self.identity.gid), "--entrypoint", call.command[0]]
        options += ["--security-opt", "no-new-privileges", "--cap-drop", "ALL", *self.engine.own_options()]
        options += [] if self.network and call.request.wants_network is not False else ["--network", "none"]
        options += ["--interactive"] if call.has_stdin else []
        options += ["--workdir", call.workdir] if call.workdir else []
        for mount in call.layout.mounts():
            options += ["--mount", mount_option(mount)]
        return [*options, *self._limits(call)]

    def _limits(self, call: ExecutorRequest) -> list[str]:
        cores, limits = call.request.resources.get("cpu_cores"), call.limits
        options = ["--cpus", str(cores)] if cores else []
        options += [*self.engine.memory(limits.memory_bytes), "--pids-limit", str(limits.processes)]
        # The engine's own copy of what is printed, which is only read after a restart of this server; its form takes
        # more room than the text, and what is printed may be data and no log.
        return [*options, "--log-opt", f"max-size={2 * limits.log_bytes}", *self.engine.file_size(limits.largest_file)]


def mount_option(mount: Mount) -> str:
    """As CSV: paths may hold commas and quotes."""
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields if mount.writable else [*fields, "readonly"])
    return text.getvalue()


@contextmanager
def _environment_file(env: Mapping[str, str]) -> Iterator[tuple[int, list[str]]]:
    """Variables go to the engine in a file without a name: others can't read them in its command line, and they never
    become those of the engine's own program. Only a value that such a file can't hold goes on the command line."""
    lines = {name: value for name, value in env.items() if _fits(name, value)}
    rest = [part for name, value in env.items() if name not in lines for part in ("--env", f"{name}={value}")]
    fd = os.memfd_create("environment", 0)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.writelines(f"{name}={value}\n".encode() for name, value in lines.items())
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd, [*rest, "--env-file", f"/proc/self/fd/{fd}"]
    finally:
        os.close(fd)


def _fits(name: str, value: str) -> bool:
    return name.isidentifier() and len(value) < LONGEST_LINE and not any(letter in value for letter in "\n\r")


def _try_remove(engine: ContainerEngine, name: str) -> bool:
    """One try; what an engine that is away keeps is found by `ContainerRunner.sweep`."""
    try:
        engine.remove(name)
    except TaskFault as fault:
        log.warning("container.not-removed", action="remove", container=name, problem=str(fault))
        return False
    return True


class _RunningContainer:
    """A container and the client that follows it. The client may end first, when it loses the engine: what counts is
    the container."""

    pid = None
    out_of_memory = False

    def __init__(
        self,
        engine: ContainerEngine,
        name: str,
        client: "subprocess.Popen[bytes]",
        stderr: int,
        *,
        resumes: bool = True,
    ) -> None:
        self._engine = engine
        self._name = name
        self._client = client
        self._stderr = stderr
        self._lock = threading.Lock()
        self._killed = threading.Event()
        self._removal: threading.Thread | None = None
        self.handle = json.dumps({"name": name, "resumes": resumes})

    def wait(self) -> int | None:
        self._client.wait()
        exit_code = None
        try:
            exit_code = self._exit_code()
        finally:
            with self._lock:
                removal = self._removal
            if removal is None:
                _try_remove(self._engine, self._name)
            else:
                removal.join()
        return None if self._killed.is_set() else exit_code

    def kill(self) -> None:
        """Removing also ends a container that is only about to start. It can take seconds, so not in this thread."""
        self._killed.set()
        with self._lock:
            if self._removal is None:
                self._removal = threading.Thread(target=self._remove_until_gone, daemon=True)
                self._removal.start()

    def _remove_until_gone(self) -> None:
        while not _try_remove(self._engine, self._name):
            time.sleep(LOOK_AGAIN_SECONDS)
        self._client.kill()

    def _exit_code(self) -> int | None:
        state = self._final_state()
        if state is None:
            return None
        if not state.problem and state.status not in NEVER_RAN:
            self.out_of_memory = state.out_of_memory and state.exit_code != 0
            return state.exit_code
        code = next((one for one in (state.exit_code, self._client.returncode) if one in COMMAND_PROBLEMS), None)
        if code is None:
            problem = state.problem or last_line(excerpt(self._stderr))
            raise TaskFault(f"the container could not be started: {problem}")
        return code

    def _final_state(self) -> ContainerState | None:
        """None where the container is gone, or was killed while the engine is away."""
        end = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                state = self._engine.state(self._name)
                if state is None or state.ended:
                    return state
                self._engine.run(["wait", self._name], seconds=None)
                end = time.monotonic() + AWAY_SECONDS
            except TaskFault as fault:
                if time.monotonic() > end:
                    raise TaskFault(self._engine.away(fault)) from None
                if self._killed.wait(LOOK_AGAIN_SECONDS):
                    return None
