"""What a running step has printed, put together from what its TES shows of it at each look.

A TES shows the whole of a short log, but only the end (or both ends) of a long one, so that what it shows does not grow
any more. Here it does: whoever follows the log gets what is new, until the TES delivers the whole file.
"""

import os
from dataclasses import dataclass
from pathlib import Path

TAIL = 2000
"""Characters of what is known by which its end is found in what a TES shows next."""
AFTER_A_GAP = 4000
"""Characters that are shown where that end is not found: the step has printed faster than the TES was asked."""
GAP = "\n[... some lines are left out here while the step runs ...]\n"
LARGEST = 64 * 1024**2
"""Bytes of a live log; what comes after waits for the whole file."""


def unseen(told: str, length: int, tail: str) -> str:
    """What of `told` is new where `length` characters are known, and end with `tail`; after a gap, the end of it."""
    if told[length - len(tail) : length] == tail:
        return told[length:]
    found = told.rfind(tail)
    if found >= 0:
        return told[found + len(tail) :]
    return GAP + told[-AFTER_A_GAP:]


@dataclass(kw_only=True)
class LiveLog:
    """One growing file. Foreign code may own the folder, so a link in the file's place is never followed."""

    path: Path
    tail: str = ""
    length: int = 0
    size: int = 0

    def add(self, told: str) -> None:
        """Appends what is new in what a TES shows."""
        new = unseen(told, self.length, self.tail)
        data = new.encode(errors="replace")
        if not data or self.size + len(data) > LARGEST:
            return
        with open(self.path, "ab", opener=_no_link) as file:
            file.write(data)
        self.size += len(data)
        self.length += len(new)
        self.tail = (self.tail + new)[-TAIL:]


def write_new(path: Path, text: str) -> None:
    """Writes a file where none is; nothing where one is."""
    try:
        with open(path, "xb", opener=_no_link) as file:
            file.write(text.encode(errors="replace"))
    except FileExistsError:
        return


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
