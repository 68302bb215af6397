"""A container engine as its command line: docker, or podman which answers to the same words."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tes_service.errors import TaskFault
from tes_service.processes import StopSignal
from tes_service.runners.port import AWAY_SECONDS

T = TypeVar("T")

COMMAND_SECONDS = 120.0
PROBE_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 1.0
LEAST_MEMORY = 6 * 1024**2
"""Docker refuses a lower limit."""
NOT_ENDED = frozenset({"running", "paused", "restarting", "stopping", "removing"})
ENGINE_VARIABLES = (
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "XDG_RUNTIME_DIR",
    "CONTAINER_HOST",
)


@dataclass(frozen=True, kw_only=True)
class ContainerEngine:
    """`rootless`: the engine runs as this user, and root inside of a container is this user outside."""

    program: str
    variables: Mapping[str, str]
    rootless: bool = False

    def argv(self, arguments: Sequence[str]) -> list[str]:
        """It dies with the server; the container that it follows does not."""
        return ["setpriv", "--pdeathsig", "KILL", "--", self.program, *arguments]

    def environment(self) -> Mapping[str, str]:
        """The variables of its client program."""
        return self.variables

    def run(self, arguments: Sequence[str], keep: Sequence[int] = (), seconds: float | None = COMMAND_SECONDS) -> str:
        """What it prints; `TaskFault` with its own message where it fails."""
        try:
            ran = subprocess.run(
                [self.program, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=seconds,
                env=dict(self.variables),
                stdin=subprocess.DEVNULL,
                pass_fds=tuple(keep),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TaskFault(f"{self.program} {arguments[0]} does not answer: {error}") from None
        if ran.returncode != 0:
            raise TaskFault(f"{self.program} {arguments[0]}: {last_line(ran.stderr)}")
        return ran.stdout

    def patiently(self, ask: Callable[[], T], stop: StopSignal) -> T:
        """Asks until the engine answers, as it may be away for a while; `TaskFault` where it is away for too long."""
        end = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return ask()
            except TaskFault as fault:
                if time.monotonic() > end:
                    raise TaskFault(self.away(fault)) from None
            stop.check()
            time.sleep(LOOK_AGAIN_SECONDS)

    def away(self, fault: TaskFault) -> str:
        """A sentence for a task that waited for the engine in vain."""
        return f"{self.program} was away for {AWAY_SECONDS:g} seconds: {fault}"

    def state(self, name: str) -> "ContainerState | None":
        """None where there is no such container; `TaskFault` where the engine can't be asked."""
        try:
            found = json.loads(self.run(["container", "inspect", name]))[0]["State"]
        except (TaskFault, ValueError, LookupError):
            if name in self._names():
                raise TaskFault(f"{self.program} does not tell the state of the container {name}") from None
            return None
        return ContainerState(
            status=str(found.get("Status", "")),
            exit_code=int(found.get("ExitCode", 0)),
            problem=str(found.get("Error", "")),
            out_of_memory=bool(found.get("OOMKilled")),
        )

    def remove(self, name: str) -> None:
        """Ends a container, whatever it is doing, and forgets it; fine where there is none. `TaskFault` where that
        can't be known."""
        try:
            self.run(["rm", "--force", "--volumes", name])
        except TaskFault:
            if self.state(name) is not None:
                raise

    def labelled(self, label: str, show: str) -> dict[str, str]:
        """The value of the label `show` of each container that has `label` (NAME or NAME=VALUE), by its name."""
        form = f'{{{{.Names}}}}\t{{{{.Label "{show}"}}}}'
        lines = self.run(["ps", "--all", "--filter", f"label={label}", "--format", form]).splitlines()
        return {name: value for name, _, value in (line.partition("\t") for line in lines)}

    def _names(self) -> list[str]:
        return self.run(["ps", "--all", "--format", "{{.Names}}"]).split()

    def own_options(self) -> list[str]:
        """What the two programs need said differently, for `create`."""
        if self.program == "podman":
            keep = ["--userns", "keep-id"] if self.rootless else []
            return ["--log-driver", "k8s-file", "--security-opt", "label=disable", *keep]
        return ["--log-driver", "json-file"]

    def user(self, uid: int, gid: int) -> str:
        """As whom to run inside, so that files belong to `uid` outside."""
        return "0:0" if self.rootless and self.program == "docker" else f"{uid}:{gid}"

    def file_size(self, size: int | None) -> list[str]:
        """`size` (bytes) of the largest file that a container may write."""
        return [] if size is None else ["--ulimit", f"fsize={size}"]

    def memory(self, size: int) -> list[str]:
        """Options that limit a container to `size` bytes of memory, swap included."""
        limit = f"{max(size, LEAST_MEMORY)}b"
        return ["--memory", limit, "--memory-swap", limit]


@dataclass(frozen=True, kw_only=True)
class ContainerState:
    """A container as `inspect` shows it; `problem` is why the engine could not start it."""

    status: str
    exit_code: int
    problem: str
    out_of_memory: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more, or ever has."""
        return self.status not in NOT_ENDED


def engine_of(program: str) -> ContainerEngine:
    """The engine, whether or not it answers; whether it is rootless is not known then."""
    variables = {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}
    return ContainerEngine(program=program, variables=variables)


def find_engine(program: str) -> ContainerEngine | None:
    """The engine if it answers now."""
    engine = engine_of(program)
    try:
        output = engine.run(["info", "--format", "{{json .}}"], seconds=PROBE_SECONDS)
        info = json.loads(output)
    except (TaskFault, ValueError):
        return None
    if not isinstance(info, dict) or (info.get("ServerErrors") and program == "docker"):
        return None
    return replace(engine, rootless=_is_rootless(info))


def _is_rootless(info: Mapping[str, object]) -> bool:
    host = info.get("host")
    security = host.get("security") if isinstance(host, Mapping) else None
    if isinstance(security, Mapping):
        return bool(security.get("rootless"))
    return "name=rootless" in str(info.get("SecurityOptions"))


def last_line(text: str) -> str:
    """The last line of an error output that has text, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-500:] if lines else "it failed without a message"


PROBLEM_SECONDS = 60.0
PULL_POLL_SECONDS = 0.2


@dataclass(kw_only=True)
class _ImageState:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = 0
    problem: str = ""


@contextmanager
def _locked(lock: threading.Lock, stop: StopSignal) -> Iterator[None]:
    """Waiting for another task's pull ends when this one is stopped."""
    while not lock.acquire(timeout=PULL_POLL_SECONDS):
        stop.check()
    try:
        yield
    finally:
        lock.release()


class Images:
    """Gets images, each once at a time, and keeps for a while which could not be had. `access`: variables by which a
    pull finds its credentials."""

    def __init__(
        self,
        engine: ContainerEngine,
        seconds: float,
        access: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._seconds = seconds
        self._access = access or {}
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _ImageState] = {}

    def ensure(self, image: str, stop: StopSignal) -> None:
        """`TaskFault` where the image is not here and can't be pulled."""
        with self._lock:
            known = self._known.setdefault(image, _ImageState())
        with _locked(known.lock, stop):
            if self._clock() >= known.until:
                known.problem = self._problem(image, stop)
                known.until = self._clock() + PROBLEM_SECONDS
            if known.problem:
                raise TaskFault(f"the image {image} can't be had: {known.problem} {self._advice(image)}")

    def _advice(self, image: str) -> str:
        return f"(check its name, or get it on the machine of this TES: {self._engine.program} pull {image})"

    def _problem(self, image: str, stop: StopSignal) -> str:
        """An engine that is away says nothing about an image: it is waited for."""
        if self._is_here(image):
            return ""
        self._engine.patiently(lambda: self._engine.run(["version"]), stop)
        return "" if self._is_here(image) else self._pull(image, stop)

    def _is_here(self, image: str) -> bool:
        try:
            self._engine.run(["image", "inspect", "--format", "{{.Id}}", image])
        except TaskFault:
            return False
        return True

    def _pull(self, image: str, stop: StopSignal) -> str:
        """Why it could not be pulled; empty where it could."""
        process = subprocess.Popen(
            [self._engine.program, "pull", "--quiet", image],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**self._engine.environment(), **self._access},
            text=True,
            errors="replace",
        )
        with process:
            try:
                return self._followed(process, stop)
            finally:
                if process.poll() is None:
                    process.kill()

    def _followed(self, process: "subprocess.Popen[str]", stop: StopSignal) -> str:
        end = self._clock() + self._seconds
        while self._clock() < end:
            stop.check()
            try:
                _, problem = process.communicate(timeout=PULL_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return last_line(problem) if process.returncode else ""
        return f"pulling it takes longer than {self._seconds:g} seconds"
