"""When foreign code starts processes without end."""

from collections.abc import Sequence

import pytest

from sandbox.monitor import ForkBombDetector
from sandbox.resources import ProcessUsage

LIMIT = 100


def tree(count: int, first: int = 1, threads: int = 1) -> Sequence[ProcessUsage]:
    return [ProcessUsage(pid=first + number, parent=1, memory=0, threads=threads) for number in range(count)]


def looks(
    crowd: ForkBombDetector, seconds: int, counts: Sequence[int], *, anew: bool = False, threads: int = 1
) -> list[bool]:
    """One look each 0.25 s, at as many processes as `counts` say in turn; `anew`: all are new at each look."""
    return [
        crowd.lasts(tree(counts[number % len(counts)], 1 + 1000 * number * anew, threads), LIMIT, 100 + number / 4)
        for number in range(seconds * 4)
    ]


def test_a_fork_bomb_is_one_though_most_of_it_is_gone_before_it_is_read() -> None:
    seen = looks(ForkBombDetector(), 12, [75, 60, 80, 10], anew=True)
    assert seen.index(True) / 4 == pytest.approx(10, abs=1)


def test_what_stays_at_the_limit_is_one_too() -> None:
    assert True in looks(ForkBombDetector(), 12, [99])
    assert True in looks(ForkBombDetector(), 12, [2], threads=49)


@pytest.mark.parametrize(("counts", "anew"), [([90], False), ([40], True), ([1], True), ([0], False)])
def test_many_that_stay_or_few_that_change_are_none(counts: list[int], anew: bool) -> None:
    assert True not in looks(ForkBombDetector(), 60, counts, anew=anew)


def test_bursts_with_rests_are_none() -> None:
    assert True not in looks(ForkBombDetector(), 60, [*[99] * 20, *[5] * 16])


def test_looks_that_are_far_apart_on_a_busy_machine_see_it_too() -> None:
    crowd = ForkBombDetector()
    seen = [crowd.lasts(tree(80, 1 + 1000 * number), LIMIT, 100 + 5.0 * number) for number in range(5)]
    assert seen == [False, False, False, True, True]
