import pytest

from tes_service.admission import Share, admitted, need, too_much
from tes_service.task import Resources

MACHINE = Share(cpus=4, memory=16, disk=100)


def test_a_task_that_does_not_say_takes_one_core() -> None:
    assert need(Resources()) == Share(cpus=1)


def test_what_is_asked_is_taken() -> None:
    assert need(Resources(cpu_cores=3, ram_gb=2, disk_gb=1)) == Share(cpus=3, memory=2, disk=1)


@pytest.mark.parametrize(
    ("share", "field"),
    [
        (Share(cpus=5), "cpu_cores"),
        (Share(memory=16.5), "ram_gb"),
        (Share(disk=101), "disk_gb"),
    ],
)
def test_too_much_is_told_by_its_field(share: Share, field: str) -> None:
    told = too_much(share, MACHINE)
    assert told is not None
    assert told.startswith(f"resources.{field}: ")


def test_all_of_the_machine_is_not_too_much() -> None:
    assert too_much(MACHINE, MACHINE) is None


def test_as_many_start_as_fit() -> None:
    one = Share(cpus=1, memory=6)
    assert admitted([one] * 10, Share(), MACHINE) == 2
    assert admitted([one] * 10, Share(memory=6), MACHINE) == 1
    assert admitted([Share(cpus=1)] * 3, Share(), MACHINE) == 3
    assert admitted([], Share(), MACHINE) == 0


def test_what_is_not_asked_for_is_not_waited_for() -> None:
    assert admitted([Share(cpus=1)], Share(cpus=1, disk=200), MACHINE) == 1
    assert admitted([Share(cpus=1, disk=1)], Share(cpus=1, disk=100), MACHINE) == 0


def test_nobody_overtakes() -> None:
    assert admitted([Share(cpus=4), Share(cpus=1)], Share(cpus=1), MACHINE) == 0
