"""How much may come to a run from stores and from elsewhere."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.translation import UnusableOutput
from sandbox.limits import in_gb


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """`files`: most of one task. `run_bytes`: of a run, all its tasks together, None where only the disk is a limit, of
    which `free_bytes` are left alone."""

    files: int
    run_bytes: int | None
    free_bytes: int


@dataclass(kw_only=True)
class DownloadRoom:
    """Of one run, whose files are on the disk of `folder`. Methods may be called from many threads at once."""

    limits: DownloadLimits
    folder: Path
    received: int = 0
    """Bytes that there was to be room for since this worker has the run."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """So many bytes of outputs come in the block; where it fails they count nothing, as it may be tried again."""
        self.take(size)
        try:
            yield
        except BaseException:
            self.give_back(size)
            raise

    def take(self, size: int, what: str = "its outputs", *, on_disk: bool = True) -> None:
        """So many more bytes come, to a store where they are not `on_disk`; `UnusableOutput` where they can't."""
        with self._lock:
            most = self.limits.run_bytes
            if most is not None and self.received + size > most:
                raise UnusableOutput(
                    f"{what} ({in_gb(size)}) are more than the run may still have on disk: "
                    f"{in_gb(max(0, most - self.received))} of {in_gb(most)} (WES_RUN_DISK_GB)"
                )
            if on_disk and size > shutil.disk_usage(self.folder).free - self.limits.free_bytes:
                raise UnusableOutput(f"there is no room on disk for {what} ({in_gb(size)})")
            self.received += size

    def give_back(self, size: int) -> None:
        """So many of them did not stay."""
        with self._lock:
            self.received -= size
