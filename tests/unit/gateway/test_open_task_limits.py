from datetime import UTC, datetime
from pathlib import Path

from gateway.followed_task import FollowedTask
from gateway.open_task_limits import OpenTaskLimits
from tes.task import Task
from wes_service.core.run import Owner

ANN, BOB = (Owner(issuer="i", subject=name) for name in ("ann", "bob"))
OWNERS = {"a": ANN, "b": BOB}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Queue:
    """Tasks by name, whose first letter says whose they are and whose first two which run's."""

    def __init__(self, per_worker: int | None = None, per_owner: int | None = None) -> None:
        self.limits = OpenTaskLimits(per_worker, per_owner)
        self.tasks: dict[str, FollowedTask] = {}

    def enter(self, *names: str, is_out: bool = False) -> list[str]:
        for name in names:
            task = Task(id=name, run_id=name[:2], name=name, created=NOON, body={})
            self.tasks[name] = FollowedTask(task=task, logs=Path())
        return [self.limits.enter(self.tasks[name], OWNERS[name[0]], is_out=is_out) for name in names]

    def leave(self, *names: str) -> None:
        for name in names:
            self.limits.leave(self.tasks.pop(name))

    @property
    def out(self) -> set[str]:
        return {name for name, task in self.tasks.items() if self.limits.holds(task)}


def test_without_limits_nothing_waits() -> None:
    queue = Queue()
    assert queue.enter("a1-0", "a1-1", "b1-0") == ["", "", ""]
    assert len(queue.out) == 3


def test_a_task_over_a_limit_is_told_which_one_and_is_woken_when_it_has_a_place() -> None:
    queue = Queue(per_worker=1)
    assert queue.enter("a1-0", "a1-1") == ["", "this worker's limit of open tasks is 1 (WES_OPEN_TASKS)"]
    assert not queue.tasks["a1-1"].woken.is_set()
    queue.leave("a1-0")
    assert queue.out == {"a1-1"}
    assert queue.tasks["a1-1"].woken.is_set()


def test_an_owner_at_the_limit_keeps_nobody_else_waiting() -> None:
    queue = Queue(per_owner=1)
    told = "their owner's limit of open tasks on this worker is 1 (WES_OWNER_OPEN_TASKS)"
    assert queue.enter("a1-0", "a2-0", "b1-0") == ["", told, ""]
    queue.leave("b1-0")
    assert queue.out == {"a1-0"}


def test_one_task_of_another_owner_does_not_wait_for_ten_thousand() -> None:
    queue = Queue(per_worker=2)
    queue.enter(*(f"a1-{number}" for number in range(10_000)), "b1-0")
    queue.leave("a1-0")
    assert queue.out == {"a1-1", "b1-0"}


def test_runs_of_one_owner_take_turns_and_tasks_of_one_run_come_in_order() -> None:
    queue = Queue(per_worker=3)
    queue.enter("a1-0", "a1-1", "a1-2", "a1-3", "a2-0", "a2-1")
    queue.leave("a1-0")
    assert queue.out == {"a1-1", "a1-2", "a2-0"}
    queue.leave("a1-1")
    assert len(queue.out) == 3


def test_a_task_that_a_tes_has_already_counts_whatever_the_limit() -> None:
    queue = Queue(per_worker=1)
    queue.enter("a1-0", "a1-1", is_out=True)
    assert queue.enter("a1-2") != [""]
    queue.leave("a1-0")
    assert queue.out == {"a1-1"}
    queue.leave("a1-1")
    assert queue.out == {"a1-2"}


def test_a_task_that_is_given_up_while_it_waits_leaves_nothing() -> None:
    queue = Queue(per_worker=1)
    queue.enter("a1-0", "b1-0", "b1-1")
    queue.leave("b1-0")
    queue.leave("a1-0")
    assert queue.out == {"b1-1"}


def test_a_task_that_enters_again_is_counted_once() -> None:
    queue = Queue(per_worker=1)
    queue.enter("a1-0")
    assert queue.limits.enter(queue.tasks["a1-0"], ANN, is_out=True) == ""
    queue.leave("a1-0")
    assert queue.enter("a1-1") == [""]
