"""The contract of a runner, documented once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.limits import ResourceLimits
from sandbox.monitor import LimitSettings
from tes_service.layout import Layout
from tes_service.processes import ExecutorStreams, RunningExecutor, StopSignal
from tes_service.task_request import TaskRequest

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
class ExecutorRequest:
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
    streams: ExecutorStreams
    limits: ResourceLimits
    has_stdin: bool = False


class Runner(Protocol):
    """A way to run executors: containers, a sandbox, or plain processes."""

    @property
    def name(self) -> str:
        """Of the engine or program, as in `TES_RUNNER`."""

    @property
    def about(self) -> str:
        """How tasks are run, for the system log of each."""

    @property
    def network(self) -> bool:
        """Whether executors have one, unless their task wants none."""

    @property
    def uses_images(self) -> bool:
        """Whether an executor finds what is in its image."""

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None:
        """Gets what the task needs from the runner (images); `TaskFault` where it can't be run here."""

    def settle(self, request: TaskRequest, layout: Layout) -> None:
        """Called once all inputs are there; `TaskFault` where this runner can't offer the layout."""

    def start(self, call: ExecutorRequest) -> RunningExecutor:
        """Starts an executor; `TaskFault` where it can't be started."""

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:
        """The executor of that handle, started by an earlier server; None where it can't be followed any more."""

    def discard(self, task_id: str) -> None:
        """Ends whatever an earlier server has left of a task; `TaskFault` where that can't be done."""

    def sweep(self, held: Callable[[str], bool]) -> None:
        """Ends what is left of tasks of this server that are not `held` any more; `TaskFault` as `discard`."""


def network_notes(runner: Runner, request: TaskRequest) -> list[str]:
    """A line for a task's system log where it has another network than tasks of this runner, or than it wants."""
    if request.wants_network and not runner.network:
        return ["the task wants a network (backend parameter network), and tasks have none here (TES_NETWORK)"]
    if request.wants_network is False and runner.network:
        return ["without network, as the task wants none (backend parameter network)"]
    return []
