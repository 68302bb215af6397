import pytest

from tes.task import TesResources
from tes_service.admission import Capacity, admissible, requested_capacity, unsatisfiable

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
    assert admissible([one] * 10, Capacity(), MACHINE) == 2
    assert admissible([one] * 10, Capacity(memory=6), MACHINE) == 1
    assert admissible([Capacity(cpus=1)] * 3, Capacity(), MACHINE) == 3
    assert admissible([], Capacity(), MACHINE) == 0


def test_what_is_not_asked_for_is_not_waited_for() -> None:
    assert admissible([Capacity(cpus=1)], Capacity(cpus=1, disk=200), MACHINE) == 1
    assert admissible([Capacity(cpus=1, disk=1)], Capacity(cpus=1, disk=100), MACHINE) == 0


def test_nobody_overtakes() -> None:
    assert admissible([Capacity(cpus=4), Capacity(cpus=1)], Capacity(cpus=1), MACHINE) == 0
