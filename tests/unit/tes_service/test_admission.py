import pytest

from tes.task import TAG_OWNER, TAG_RUN, TesResources
from tes_service.admission import (
    Capacity,
    TaskGroup,
    TaskQueue,
    WaitingTask,
    has_room,
    requested_capacity,
    task_group,
    unsatisfiable,
)

MACHINE = Capacity(cpus=4, memory=16, disk=100)


def test_a_task_that_does_not_say_takes_one_core() -> None:
    assert requested_capacity(TesResources()) == Capacity(cpus=1)


def test_what_is_asked_is_taken() -> None:
    assert requested_capacity(TesResources(cpu_cores=3, ram_gb=2, disk_gb=1)) == Capacity(cpus=3, memory=2, disk=1)


@pytest.mark.parametrize(
    ("share", "field"),
    [
        (Capacity(cpus=5), "cpu_cores"),
        (Capacity(memory=16.5), "ram_gb"),
        (Capacity(disk=101), "disk_gb"),
    ],
)
def test_too_much_is_told_by_its_field(share: Capacity, field: str) -> None:
    told = unsatisfiable(share, MACHINE)
    assert told is not None
    assert told.startswith(f"resources.{field}: ")


def test_all_of_the_machine_is_not_too_much() -> None:
    assert unsatisfiable(MACHINE, MACHINE) is None


def test_as_many_start_as_fit() -> None:
    one = Capacity(cpus=1, memory=6)
    assert has_room(one, Capacity(memory=6), MACHINE)
    assert not has_room(one, Capacity(memory=12), MACHINE)
    assert not has_room(one, Capacity(cpus=4), MACHINE)


def test_what_is_not_asked_for_is_not_waited_for() -> None:
    assert has_room(Capacity(cpus=1), Capacity(cpus=1, disk=200), MACHINE)
    assert not has_room(Capacity(cpus=1, disk=1), Capacity(cpus=1, disk=100), MACHINE)


def started(queue: TaskQueue, machine: Capacity = MACHINE, *running: WaitingTask) -> list[str]:
    """What starts, in its order, until the next one finds no room."""
    now, names = list(running), []
    while (task := queue.first((one.group, one.capacity) for one in now)) is not None:
        if not has_room(task.capacity, sum((one.capacity for one in now), Capacity()), machine):
            break
        queue.remove(task.id)
        now.append(task)
        names.append(task.id)
    return names


def a_task(name: str, cpus: float = 1) -> WaitingTask:
    """Of the owner and run that the letters before the dash say: `a1-7`."""
    run = name.partition("-")[0]
    return WaitingTask(id=name, capacity=Capacity(cpus=cpus), group=TaskGroup(owner=run[:1], run=run))


def queue_of(*tasks: WaitingTask) -> TaskQueue:
    queue = TaskQueue()
    for task in tasks:
        queue.add(task)
    return queue


def test_the_tasks_of_one_run_start_in_order() -> None:
    queue = queue_of(*(a_task(f"a1-{number}") for number in range(5)))
    assert started(queue) == ["a1-0", "a1-1", "a1-2", "a1-3"]
    assert len(queue) == 1


def test_one_task_does_not_wait_for_another_owners_ten_thousand() -> None:
    queue = queue_of(*(a_task(f"a1-{number}") for number in range(10_000)), a_task("b1-0"))
    running = [a_task(f"a1-x{number}") for number in range(3)]
    assert started(queue, MACHINE, *running) == ["b1-0"]


def test_owners_take_turns_and_so_do_the_runs_of_each() -> None:
    queue = queue_of(a_task("a1-0"), a_task("a1-1"), a_task("a2-0"), a_task("b1-0"), a_task("b1-1"))
    assert started(queue, Capacity(cpus=5)) == ["a1-0", "b1-0", "a2-0", "b1-1", "a1-1"]


def test_who_has_many_cores_waits_for_who_has_many_tasks() -> None:
    queue = queue_of(a_task("a1-1"), a_task("b1-2"))
    running = [a_task("a1-0", 2.5), a_task("b1-0"), a_task("b1-1")]
    assert started(queue, Capacity(cpus=5.5), *running) == ["b1-2"]


def test_nobody_passes_over_the_next_one_that_needs_more_room() -> None:
    queue = queue_of(a_task("a1-1", 4), a_task("a1-2"), a_task("a1-3"))
    assert started(queue, MACHINE, a_task("a1-0")) == []


def test_a_large_task_comes_as_its_owner_has_the_fewest_cores_then() -> None:
    queue = queue_of(a_task("a1-0", 4), *(a_task(f"b1-{number}") for number in range(9)))
    assert started(queue, MACHINE, a_task("b1-x")) == []
    assert started(queue) == ["a1-0"]


def test_a_task_that_comes_back_is_the_first_of_its_run() -> None:
    queue = queue_of(a_task("a1-1"), a_task("b1-0"))
    queue.add_first(a_task("a1-0"))
    assert started(queue) == ["a1-0", "b1-0", "a1-1"]


def test_a_task_that_is_taken_out_leaves_nothing() -> None:
    queue = queue_of(a_task("a1-0"))
    for _ in range(2):
        queue.remove("a1-0")
    assert (len(queue), queue.first([])) == (0, None)


def test_tasks_of_clients_that_say_nothing_are_one_group() -> None:
    assert task_group({TAG_OWNER: "ann", TAG_RUN: "r"}) == TaskGroup(owner="ann", run="r")
    assert task_group({"lab": "x"}) == task_group({}) == TaskGroup()
