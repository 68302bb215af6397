"""Which tasks run now: cores, memory and limits of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.settings import GB
from sandbox.limits import ResourceLimits
from tes.task import TesResources
from tes_service.task_request import is_beneath


@dataclass(frozen=True, kw_only=True)
class TaskLimits:
    """`memory_bytes`: for a task that asks for none. `log_folder`: streams that a task asks for below this path are
    logs, limited to `log_bytes`; other ones are data."""

    memory_bytes: int
    processes: int
    log_bytes: int
    log_folder: str

    def for_task(self, resources: TesResources) -> ResourceLimits:
        """The limits of each executor of a task that asks for these resources."""
        return ResourceLimits(
            memory_bytes=int(ram_gb * GB) if (ram_gb := resources.get("ram_gb")) else self.memory_bytes,
            processes=self.processes,
            disk_bytes=int(disk_gb * GB) if (disk_gb := resources.get("disk_gb")) else None,
            log_bytes=self.log_bytes,
        )

    def is_log(self, path: str | None) -> bool:
        """Whether a stream of an executor is a log: one that no path is asked for is kept as such only."""
        return path is None or is_beneath(path, self.log_folder)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Cores, and gigabytes (10^9 bytes) of memory and disk."""

    cpus: float = 0
    memory: float = 0
    disk: float = 0

    def __add__(self, other: "Capacity") -> "Capacity":
        return Capacity(cpus=self.cpus + other.cpus, memory=self.memory + other.memory, disk=self.disk + other.disk)


def requested_capacity(resources: TesResources) -> Capacity:
    """A task that does not say takes one core, and as much memory and disk as it finds."""
    return Capacity(
        cpus=resources.get("cpu_cores") or 1,
        memory=resources.get("ram_gb") or 0,
        disk=resources.get("disk_gb") or 0,
    )


def unsatisfiable(requested: Capacity, machine: Capacity) -> str | None:
    """A sentence that names the first resource of which the machine does not have as much at all."""
    asked = (
        ("cpu_cores", requested.cpus, machine.cpus, "cores"),
        ("ram_gb", requested.memory, machine.memory, "GB of memory"),
        ("disk_gb", requested.disk, machine.disk, "GB of disk"),
    )
    for field, amount, has, unit in asked:
        if amount > has:
            return f"resources.{field}: the task asks for {amount:g} {unit}, and this server has {has:g}"
    return None


def admissible(waiting: Sequence[Capacity], taken: Capacity, machine: Capacity) -> int:
    """How many from the head of the line may start: none overtakes another that still waits."""
    for count, one in enumerate(waiting):
        if not _fits(one, taken, machine):
            return count
        taken += one
    return len(waiting)


def _fits(one: Capacity, taken: Capacity, machine: Capacity) -> bool:
    """What a task does not ask for never keeps it waiting."""
    asked = (
        (one.cpus, taken.cpus, machine.cpus),
        (one.memory, taken.memory, machine.memory),
        (one.disk, taken.disk, machine.disk),
    )
    return all(amount == 0 or others + amount <= has for amount, others, has in asked)
