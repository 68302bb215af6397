"""A queue that remembers whom it would have woken."""


class FakeQueue:
    def __init__(self) -> None:
        self.woken: list[str] = []
        self.broken = False

    def wake(self, run_id: str) -> None:
        self.woken.append(run_id)

    def check(self) -> None:
        if self.broken:
            raise OSError("redis://:secret@queue:6379 refused the connection")
