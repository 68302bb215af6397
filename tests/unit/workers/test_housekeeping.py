import threading

from wes_service.services.deletion import Deleter
from workers.run.housekeeping import Housekeeper


class Broken(Deleter):
    """Can't tidy up at first."""

    calls: list[str] = []
    third = threading.Event()

    def finish(self) -> None:
        self.calls.append("finish")
        if len(self.calls) == 1:
            raise OSError("the disk is away")
        if self.calls.count("finish") == 3:
            self.third.set()

    def sweep(self) -> None:
        self.calls.append("sweep")


def test_it_goes_on_after_a_failure_and_stops_when_told() -> None:
    deleter = Broken(runs=None, tombstones=None, folders=None)  # type: ignore[arg-type]
    keeper = Housekeeper(deleter, finish_seconds=0.01)
    keeper.start()
    assert deleter.third.wait(10)
    keeper.stop()
    assert not keeper._thread.is_alive()
    assert deleter.calls[:3] == ["finish", "sweep", "finish"]


def test_it_looks_for_orphans_once_a_day() -> None:
    class Counting(Broken):
        calls: list[str] = ["", ""]
        third = threading.Event()

    deleter = Counting(runs=None, tombstones=None, folders=None)  # type: ignore[arg-type]
    keeper = Housekeeper(deleter, finish_seconds=0.01)
    keeper.start()
    assert deleter.third.wait(10)
    keeper.stop()
    assert deleter.calls.count("sweep") == 1
