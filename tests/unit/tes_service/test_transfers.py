"""Transfers that end at an awkward moment."""

import threading

import pytest

from common.errors import EngineError
from tes_service.errors import TaskFault
from tes_service.processes import TaskControl
from tes_service.transfers import Transfer, TransferPolicy, each_at_once


def test_a_failure_just_after_a_look_is_no_success() -> None:
    def move(_: Transfer) -> None:
        raise EngineError("it broke")

    class EndsAfterTheFirstLook(threading.Event):
        looks = 0

        def wait(self, _timeout: float | None = None) -> bool:
            self.looks += 1
            return super().wait(30) and self.looks > 1

    transfer = Transfer(move)
    transfer._ended = EndsAfterTheFirstLook()
    transfer.start()
    assert not transfer.ended(0.01)
    with pytest.raises(EngineError, match="it broke"):
        transfer.ended(0.01)


def test_no_piece_is_moved_after_a_transfer_was_given_up() -> None:
    policy = TransferPolicy(retries=0, seconds=0.1)
    over, ended = threading.Event(), threading.Event()
    moved: list[int] = []

    def move(transfer: Transfer) -> None:
        over.wait(30)
        try:
            with transfer.piece(1) as total:
                moved.append(total)
        finally:
            ended.set()

    with pytest.raises(TaskFault, match=r"the file: it takes longer than 0\.1 seconds"):
        policy.carry_out("the file", move, TaskControl())
    over.set()
    assert ended.wait(30)
    assert moved == []


def test_after_a_failure_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        raise TaskFault(f"number {number}")

    with pytest.raises(TaskFault, match="number 0"):
        each_at_once(range(1_000_000), work, 1)
    assert begun == [0]
