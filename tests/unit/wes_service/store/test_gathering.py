import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from wes_service.store.transactions import Gathering


class Held:
    """Work whose first batch waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, batch: Sequence[int]) -> None:
        self.batches.append(list(batch))
        self.begun.set()
        assert self.free.wait(30)


def test_what_came_during_a_batch_is_the_next_one_in_order_and_cut_at_the_most() -> None:
    held = Held()
    gathering = Gathering(held, most=3)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(gathering.do, 0)]
        assert held.begun.wait(30)
        for number in range(1, 8):
            futures.append(pool.submit(gathering.do, number))
            while gathering.waiting < number:
                threading.Event().wait(0.001)
        held.free.set()
        for future in futures:
            future.result(30)
    assert held.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_an_error_is_raised_where_the_batch_was_done_and_the_next_one_goes_on() -> None:
    def work(batch: Sequence[int]) -> None:
        if 1 in batch:
            raise LookupError("one")

    gathering = Gathering(work, most=10)
    with pytest.raises(LookupError, match="one"):
        gathering.do(1)
    gathering.do(2)
    assert gathering.waiting == 0


def test_never_two_batches_at_once_and_every_item_exactly_once() -> None:
    done: list[int] = []
    at_work = threading.Lock()

    def work(batch: Sequence[int]) -> None:
        assert at_work.acquire(blocking=False)
        done.extend(batch)
        at_work.release()

    gathering = Gathering(work, most=5)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(gathering.do, range(2000)))
    assert sorted(done) == list(range(2000))
