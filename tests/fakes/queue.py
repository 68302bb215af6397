"""A queue that remembers whom it would have woken."""

from collections.abc import Callable


def _leave(_: str) -> None:
    """No worker is there."""


class FakeQueue:
    def __init__(self, worker: Callable[[str], None] = _leave) -> None:
        """`worker` removes the folder of a deleted run."""
        self.woken: list[str] = []
        self.notified: list[str] = []
        self.broken = False
        self._worker = worker

    def wake(self, run_id: str) -> None:
        self.woken.append(run_id)

    def remove_folder(self, run_id: str) -> None:
        self._worker(run_id)

    def deliver_notifications(self, run_id: str) -> None:
        self.notified.append(run_id)

    def check(self) -> None:
        if self.broken:
            raise OSError("redis://:secret@queue:6379 refused the connection")
