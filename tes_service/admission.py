"""Which tasks run now, and whose is the next: cores, memory and limits of each."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

from common.settings import GB
from sandbox.limits import ResourceLimits
from tes.task import TAG_OWNER, TAG_RUN, TesResources
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


@dataclass(frozen=True, kw_only=True)
class TaskGroup:
    """Whose a task is: the owner and the run that its tags name. All tasks without these tags are one group."""

    owner: str = ""
    run: str = ""


def task_group(tags: Mapping[str, str]) -> TaskGroup:
    """As a WES-TES gateway tags its tasks."""
    return TaskGroup(owner=tags.get(TAG_OWNER, ""), run=tags.get(TAG_RUN, ""))


@dataclass(frozen=True, kw_only=True)
class WaitingTask:
    """A task that has not started."""

    id: str
    capacity: Capacity
    group: TaskGroup


class TaskQueue:
    """Tasks that wait. Next is one of the owner with the fewest cores, of that owner one of the run with the fewest,
    and of that run the oldest. It is not passed over where there is no room for it yet, so that a large one comes, too.
    """

    def __init__(self) -> None:
        self._groups: dict[TaskGroup, OrderedDict[str, tuple[int, WaitingTask]]] = {}
        self._arrivals = count()
        self._returns = count(-1, -1)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def add(self, task: WaitingTask) -> None:
        """As the last one of its group."""
        self._groups.setdefault(task.group, OrderedDict())[task.id] = (next(self._arrivals), task)

    def add_first(self, task: WaitingTask) -> None:
        """Before all others of its group: it has had its turn."""
        group = self._groups.setdefault(task.group, OrderedDict())
        group[task.id] = (next(self._returns), task)
        group.move_to_end(task.id, last=False)

    def remove(self, task_id: str) -> None:
        """Does nothing where it is not there."""
        for group, tasks in list(self._groups.items()):
            if tasks.pop(task_id, None) is not None and not tasks:
                del self._groups[group]

    def first(self, running: Iterable[tuple[TaskGroup, Capacity]]) -> WaitingTask | None:
        """The next to start, beside those that run; None where none waits."""
        of_group: defaultdict[TaskGroup, float] = defaultdict(float)
        of_owner: defaultdict[str, float] = defaultdict(float)
        for group, capacity in running:
            of_group[group] += capacity.cpus
            of_owner[group.owner] += capacity.cpus
        heads = [next(iter(tasks.values())) for tasks in self._groups.values()]
        oldest: dict[str, int] = {}
        for arrival, task in heads:
            oldest[task.group.owner] = min(arrival, oldest.get(task.group.owner, arrival))

        def turn(head: tuple[int, WaitingTask]) -> tuple[float, int, float, int]:
            arrival, task = head
            owner = task.group.owner
            return of_owner[owner], oldest[owner], of_group[task.group], arrival

        return min(heads, key=turn)[1] if heads else None


def has_room(one: Capacity, taken: Capacity, machine: Capacity) -> bool:
    """Whether a task may start beside what is taken. What it does not ask for never keeps it waiting."""
    asked = (
        (one.cpus, taken.cpus, machine.cpus),
        (one.memory, taken.memory, machine.memory),
        (one.disk, taken.disk, machine.disk),
    )
    return all(amount == 0 or others + amount <= has for amount, others, has in asked)
