"""What process trees use at this moment, read from /proc in one pass for all of them."""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DU_SECONDS = 60.0
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class ProcessUsage:
    """`memory`: resident bytes, shared pages with them. `threads`: how many it has, one at least."""

    pid: int
    parent: int
    memory: int
    threads: int = 1


def running_processes(proc: Path = PROC) -> dict[int, ProcessUsage]:
    """All of this machine, by their number. Asked for four times a second, so it reads with the system's own calls."""
    found = (_process(str(proc), name) for name in os.listdir(proc) if name.isdigit())  # noqa: PTH208
    return {one.pid: one for one in found if one is not None}


def _process(proc: str, pid: str) -> ProcessUsage | None:
    try:
        text = _read(f"{proc}/{pid}/stat")
        # The program's name is in parentheses and may hold any letter.
        fields = text[text.rindex(b")") + 2 :].split()
        return ProcessUsage(pid=int(pid), parent=int(fields[1]), memory=int(fields[21]) * PAGE, threads=int(fields[17]))
    except (OSError, ValueError, LookupError):
        return None


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, PAGE)
    finally:
        os.close(file)


def process_trees(found: Mapping[int, ProcessUsage], roots: Iterable[int]) -> dict[int, list[ProcessUsage]]:
    """Each root's processes, itself among them; none where it is gone."""
    children: dict[int, list[int]] = {}
    for one in found.values():
        children.setdefault(one.parent, []).append(one.pid)
    return {root: _tree(found, children, root) for root in roots}


def _tree(found: Mapping[int, ProcessUsage], children: Mapping[int, list[int]], root: int) -> list[ProcessUsage]:
    tree: list[ProcessUsage] = []
    waiting = [root] if root in found else []
    while waiting:
        pid = waiting.pop()
        tree.append(found[pid])
        waiting += children.get(pid, ())
    return tree


def proportional_memory(tree: Iterable[ProcessUsage], proc: Path = PROC) -> int:
    """Bytes, in which what several processes share counts once. Dear, so only where the plain sum is too much."""
    return sum(_proportional(proc, one) for one in tree)


def _proportional(proc: Path, one: ProcessUsage) -> int:
    try:
        for line in (proc / str(one.pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, LookupError):
        pass
    return one.memory


def bytes_written(tree: Iterable[ProcessUsage], proc: Path = PROC) -> int:
    """Bytes that they and their ended children have written to disks."""
    return sum(_written(proc, one.pid) for one in tree)


def _written(proc: Path, pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, LookupError):
        for line in (proc / str(pid) / "io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    return 0


def available_memory(proc: Path = PROC) -> int:
    """Bytes that this machine could still give."""
    for line in (proc / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError("no MemAvailable in /proc/meminfo")


def disk_usage(folder: Path, seconds: float = DU_SECONDS) -> int:
    """Bytes on disk below a folder, however deep; nothing is followed out of it, and what can't be read, or not within
    `seconds`, counts nothing."""
    try:
        ran = subprocess.run(
            ["du", "-sx", "--block-size=1", "--", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        return int(ran.stdout.split()[0])
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError):
        return 0
