"""Threads in which files are moved, so that the gateway's loop goes on."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")


class TransferThreads:
    """Threads that move files, of all runs; made and used in one event loop."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "transfer")
        self._running: set[Future[Any]] = set()

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What `work` returns. Cancelling it stops what has not begun."""
        running = self._pool.submit(work, *arguments)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(running)

    async def run_all(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """In as many threads as there are; the first that fails ends the others that have not begun."""
        running = [asyncio.ensure_future(self.run(work, item)) for item in items]
        try:
            return await asyncio.gather(*running)
        finally:
            for one in running:
                one.cancel()

    def stop(self) -> None:
        """Begins nothing more, and waits for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def are_busy(self) -> bool:
        """Whether something is moved at this moment."""
        return bool(self._running)
