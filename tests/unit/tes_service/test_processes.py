import pytest

from tes_service.errors import TaskStopped
from tes_service.processes import TaskControl


class _Running:
    handle = ""
    pid = None
    out_of_memory = False

    def __init__(self) -> None:
        self.kills = 0

    def wait(self) -> int | None:
        return 0

    def kill(self) -> None:
        self.kills += 1


def test_a_stop_ends_what_runs() -> None:
    control, running = TaskControl(), _Running()
    assert control.run(lambda: running) is running
    control.stop()
    assert running.kills == 1
    assert control.stopped
    with pytest.raises(TaskStopped):
        control.check()


def test_nothing_is_started_after_a_stop() -> None:
    control, running = TaskControl(), _Running()
    control.stop()
    with pytest.raises(TaskStopped):
        control.run(lambda: running)


def test_what_has_ended_is_not_killed() -> None:
    control, running = TaskControl(), _Running()
    control.run(lambda: running)
    control.ended()
    control.stop()
    assert running.kills == 0
