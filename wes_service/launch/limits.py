"""What one piece of foreign code may use of this machine, and the part of it that the kernel holds by itself.

Per process the kernel limits memory, the size of a file and open files; per sandbox the number of processes. What all
processes of a sandbox use together is for `wes_service.launch.watch`.
"""

import platform
import re
import resource
from dataclasses import dataclass

MIB = 1024**2
GIB = 1024**3
OPEN_FILES = 65536
COUNTED_BY_NAMESPACE = (5, 14)
"""Since this Linux the number of processes is counted for each user namespace, and so for each sandbox."""
FIRST_TO_GO = 500
"""Where memory runs out the kernel ends a process of foreign code, not the service."""


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """`memory_bytes`: of all its processes together. `processes`: threads count too. `disk_bytes`: of its folder (None:
    what there is). `log_bytes`: of each of its log files, stdout and stderr."""

    memory_bytes: int
    processes: int = 4096
    disk_bytes: int | None = None
    log_bytes: int = GIB

    def argv(self, *, sandboxed: bool) -> tuple[str, ...]:
        """The prefix of a command; it has to be inside of the sandbox where there is one, or others of the same user
        would be counted with it."""
        # Not --as: the address space that a JVM only reserves is far larger than what it uses. Above what they may use
        # together, so that the watch, which can say so, is mostly there first.
        memory = _at_most(resource.RLIMIT_DATA, self.memory_bytes + self.memory_bytes // 4 + 512 * MIB)
        files = _at_most(resource.RLIMIT_NOFILE, OPEN_FILES)
        options = [f"--data={memory}", f"--nofile={files}", "--core=0"]
        if self.disk_bytes is not None:
            options.append(f"--fsize={_at_most(resource.RLIMIT_FSIZE, self.disk_bytes)}")
        if sandboxed and counts_by_namespace():
            options.append(f"--nproc={_at_most(resource.RLIMIT_NPROC, self.processes)}")
        return ("choom", "-n", str(FIRST_TO_GO), "--", "prlimit", *options, "--")


def counts_by_namespace(release: str | None = None) -> bool:
    """Whether this kernel limits the processes of one sandbox without regard to others."""
    found = re.match(r"(\d+)\.(\d+)", platform.release() if release is None else release)
    return found is not None and (int(found[1]), int(found[2])) >= COUNTED_BY_NAMESPACE


def _at_most(kind: int, wanted: int) -> int:
    """Nobody may raise a hard limit that this process has already."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def in_gb(size: float) -> str:
    """Bytes in words: `1.5 GB`."""
    return f"{size / 1000**3:.3g} GB"
