"""What process trees use at this moment, read from /proc in one pass for all of them."""

import contextlib
import os
import subprocess
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DU_SECONDS = 60.0
LOOKS_KEPT = 8
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class ProcessUsage:
    """`memory`: resident bytes, shared pages with them. `threads`: how many it has, one at least."""

    pid: int
    parent: int
    memory: int
    threads: int = 1


class ProcessTrees:
    """The trees of some roots, looked at several times a second.

    Most processes of a machine belong to none of them: these are read once and then passed over, for `LOOKS_KEPT` looks
    at most, as a number may be another process's by then.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._roots: frozenset[int] = frozenset()
        self._others: set[int] = set()
        self._looks = 0

    def look(self, roots: Iterable[int]) -> dict[int, list[ProcessUsage]]:
        """Each root's processes, itself among them; none where it is gone."""
        wanted = frozenset(roots)
        if wanted != self._roots or self._looks == LOOKS_KEPT:
            self._roots, self._looks = wanted, 0
            self._others.clear()
        self._looks += 1
        numbers = process_numbers(self._proc)
        self._others &= numbers
        found = running_processes(self._proc, numbers - self._others)
        children = _children(found)
        self._others |= _others(children, self._others, wanted)
        return {root: _tree(found, children, root) for root in wanted}


def process_numbers(proc: Path = PROC) -> set[int]:
    """Of all processes of this machine."""
    return {int(name) for name in os.listdir(proc) if name.isdigit()}  # noqa: PTH208


def running_processes(proc: Path, numbers: Iterable[int]) -> dict[int, ProcessUsage]:
    """Those of `numbers` that are there, read with the system's own calls as there are many."""
    found = (_process(str(proc), str(number)) for number in numbers)
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


def _children(found: Mapping[int, ProcessUsage]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for one in found.values():
        children.setdefault(one.parent, []).append(one.pid)
    return children


def _others(children: Mapping[int, Sequence[int]], known: Iterable[int], roots: Container[int]) -> set[int]:
    """All that come from the machine's first process, or from one that is `known`, and from no root.

    What has lost its parent just now is not among them, as nobody knows whose it is.
    """
    others: set[int] = set()
    waiting = [0, *known]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in roots]
        others.update(new)
        waiting += new
    return others


def _tree(found: Mapping[int, ProcessUsage], children: Mapping[int, Sequence[int]], root: int) -> list[ProcessUsage]:
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
