"""A queue that remembers whom it would have woken."""


class FakeQueue:
    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, run_id: str) -> None:
        self.woken.append(run_id)
