"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    def __init__(self, start: datetime = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)) -> None:
        self._start = self._now = start

    def now(self) -> datetime:
        return self._now

    def reset(self) -> None:
        self._now = self._start

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
