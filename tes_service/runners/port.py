"""The contract of a runner, documented once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.limits import ResourceLimits
from sandbox.monitor import LimitSettings
from tes_service.inputs import Stop
from tes_service.layout import Layout
from tes_service.spawn import Streams
from tes_service.task import TaskRequest

LIMIT_NAMES = LimitSettings(
    memory="resources.ram_gb, or TES_MEMORY_GB",
    processes="TES_PROCESSES",
    disk="resources.disk_gb",
    log="TES_LOG_GB",
)
"""Where the limits of a step are set, for sentences."""

AWAY_SECONDS = 600.0
"""How long a container engine may be away, e.g. to be upgraded, before the tasks that need it are given up."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One executor to start. `attempt` counts from 0. `workdir` None: the runner's own choice. Paths in it are the
    task's, not the host's."""

    task_id: str
    attempt: int = 0
    index: int
    request: TaskRequest
    image: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    layout: Layout
    streams: Streams
    limits: ResourceLimits
    has_stdin: bool = False


class Running(Protocol):
    """A started executor."""

    handle: str
    """What `Runner.attach` needs to find it after a restart of the server; empty where it dies with the server."""

    out_of_memory: bool
    """Once it has ended: whether the runner itself ended it for want of memory."""

    @property
    def pid(self) -> int | None:
        """The process of which all others come; None where the runner limits their memory by itself."""

    def wait(self) -> int | None:
        """Blocks until nothing of it is left; its exit code (128 + n for signal n), None where it was killed by `kill`.
        `TaskFault` where it never came to run."""

    def kill(self) -> None:
        """Ends all of its processes, soon; more than once is fine."""


class Runner(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str:
        """How tasks are run, for the system log of each."""

    @property
    def uses_images(self) -> bool:
        """Whether an executor finds what is in its image."""

    def prepare(self, request: TaskRequest, stop: Stop) -> None:
        """Gets what the task needs from the runner (images); `TaskFault` where it can't be run here."""

    def settle(self, request: TaskRequest, layout: Layout) -> None:
        """Called once all inputs are there; `TaskFault` where this runner can't offer the layout."""

    def start(self, call: Call) -> Running: ...

    def attach(self, handle: str, streams: Streams, stop: Stop) -> Running | None:
        """The executor of that handle, started by an earlier server; None where it can't be followed any more."""

    def discard(self, task_id: str) -> None:
        """Ends whatever an earlier server has left of a task; `TaskFault` where that can't be done."""

    def sweep(self, held: Callable[[str], bool]) -> None:
        """Ends what is left of tasks of this server that are not `held` any more; `TaskFault` as `discard`."""
