"""What one piece of foreign code may use of this machine, and the part of it that the kernel holds by itself.

Per process the kernel limits memory, the size of a file and open files; per sandbox the number of processes. What all
processes of a sandbox use together is for `sandbox.monitor`.
"""

import errno
import os
import platform
import re
import resource
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.identity import Identity

MIB = 1024**2
GIB = 1024**3
OPEN_FILES = 65536
NAMESPACE_LIMITS_SINCE = (5, 14)
"""Since this Linux the number of processes is counted for each user namespace, and so for each sandbox."""
PRLIMIT_OPTIONS = {
    resource.RLIMIT_DATA: "data",
    resource.RLIMIT_NOFILE: "nofile",
    resource.RLIMIT_CORE: "core",
    resource.RLIMIT_FSIZE: "fsize",
    resource.RLIMIT_NPROC: "nproc",
}
"""As the program prlimit calls them."""


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """`memory_bytes`: of all its processes together. `processes`: threads count too. `disk_bytes`: of its folder (None:
    what there is). `log_bytes`: of each of its log files, stdout and stderr."""

    memory_bytes: int
    processes: int = 4096
    disk_bytes: int | None = None
    log_bytes: int = GIB

    @property
    def largest_file(self) -> int | None:
        """Bytes of one file for the kernel to hold: above `disk_bytes`, as the watch can say what the limit was."""
        return None if self.disk_bytes is None else self.disk_bytes + self.disk_bytes // 4 + 16 * MIB

    def kernel(self, *, sandboxed: bool) -> dict[int, int]:
        """What the kernel is to hold for each process, by `resource.RLIMIT_*`."""
        # Not RLIMIT_AS: the address space that a JVM only reserves is far larger than what it uses. Above what they may
        # use together, so that the watch, which can say so, is mostly there first.
        memory = self.memory_bytes + self.memory_bytes // 4 + 512 * MIB
        limits = {resource.RLIMIT_DATA: memory, resource.RLIMIT_NOFILE: OPEN_FILES, resource.RLIMIT_CORE: 0}
        if self.largest_file is not None:
            limits[resource.RLIMIT_FSIZE] = self.largest_file
        if sandboxed and limits_processes_per_namespace():
            limits[resource.RLIMIT_NPROC] = self.processes
        return {kind: _at_most(kind, value) for kind, value in limits.items()}

    def hold(self, pid: int, identity: Identity) -> None:
        """Sets them for the first process of a sandbox, from which all others will inherit them. `OSError`.

        As that identity itself: root may be without the capability to do so for others, in containers mostly.
        """
        limits = self.kernel(sandboxed=True)
        if not identity.drop:
            for kind, value in limits.items():
                resource.prlimit(pid, kind, (value, value))
            return
        argv = [*identity.argv(), "prlimit", f"--pid={pid}", *_options(limits)]
        ran = subprocess.run(argv, capture_output=True, text=True, env={"PATH": os.defpath}, check=False)
        if ran.returncode != 0:
            raise OSError(errno.EPERM, f"limits can't be set: {ran.stderr.strip()}")

    def argv(self) -> tuple[str, ...]:
        """Without a sandbox: a prefix to a command line, under which they hold from the command's first instruction.

        From outside they would come too early: until the command has changed its user, that user may not limit it.
        """
        return ("prlimit", *_options(self.kernel(sandboxed=False)), "--")


def limits_processes_per_namespace(release: str | None = None) -> bool:
    """Whether this kernel limits the processes of one sandbox without regard to others."""
    found = re.match(r"(\d+)\.(\d+)", platform.release() if release is None else release)
    return found is not None and (int(found[1]), int(found[2])) >= NAMESPACE_LIMITS_SINCE


def _options(limits: Mapping[int, int]) -> list[str]:
    return [f"--{PRLIMIT_OPTIONS[kind]}={value}" for kind, value in limits.items()]


def _at_most(kind: int, value: int) -> int:
    """Nobody may raise a hard limit that this process has already."""
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def in_gb(size: float) -> str:
    """Bytes in words: `1.5 GB`."""
    return f"{size / 1000**3:.3g} GB"
