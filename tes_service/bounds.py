"""How much of this machine one task may use: what it asks for, else what the server's settings say."""

from dataclasses import dataclass

from sandbox.limits import ResourceLimits
from tes_service.task import GB, Resources, is_beneath


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """`memory_bytes`: for a task that asks for none. `log_folder`: streams that a task asks for below this path are
    logs, limited to `log_bytes`; other ones are data."""

    memory_bytes: int
    processes: int
    log_bytes: int
    log_folder: str

    def limits(self, resources: Resources) -> ResourceLimits:
        return ResourceLimits(
            memory_bytes=int(resources.ram_gb * GB) if resources.ram_gb else self.memory_bytes,
            processes=self.processes,
            disk_bytes=int(resources.disk_gb * GB) if resources.disk_gb else None,
            log_bytes=self.log_bytes,
        )

    def is_log(self, path: str | None) -> bool:
        """Whether a stream of an executor is a log: one that no path is asked for is kept as such only."""
        return path is None or is_beneath(path, self.log_folder)
