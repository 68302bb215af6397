"""What a running step has printed, put together from what its TES shows of it at each look.

A TES shows the whole of a short log, but only the end (or both ends) of a long one, so that what it shows does not grow
any more. Here it does: whoever follows the log gets what is new, until the TES delivers the whole file.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.task_documents import executor_logs, running_output
from tes.task import Task
from wes_service.core.links import LIVE_SUFFIX, STREAMS, log_file

TAIL = 2000
"""Characters of what is known by which its end is found in what a TES shows next."""
AFTER_A_GAP = 4000
"""Characters that are shown where that end is not found: the step has printed faster than the TES was asked."""
GAP = "\n[... some lines are left out here while the step runs ...]\n"
LARGEST = 64 * 1024**2
"""Bytes of a live log; what comes after waits for the whole file."""


def unseen(shown: str, length: int, tail: str) -> str:
    """What of `shown` is new where `length` characters are known, and end with `tail`; after a gap, the end of it."""
    if shown[length - len(tail) : length] == tail:
        return shown[length:]
    found = shown.rfind(tail)
    if found >= 0:
        return shown[found + len(tail) :]
    return GAP + shown[-AFTER_A_GAP:]


@dataclass(kw_only=True)
class LiveLog:
    """One growing file. Foreign code may own the folder, so a link in the file's place is never followed."""

    path: Path
    tail: str = ""
    length: int = 0
    size: int = 0

    def add(self, shown: str) -> None:
        """Appends what is new in what a TES shows."""
        new = unseen(shown, self.length, self.tail)
        data = new.encode(errors="replace")
        if not data or self.size + len(data) > LARGEST:
            return
        with open(self.path, "ab", opener=_no_link) as file:
            file.write(data)
        self.size += len(data)
        self.length += len(new)
        self.tail = (self.tail + new)[-TAIL:]


LiveLogs = dict[str, LiveLog]
"""Those of one task, by the names of the files that they become."""


def add_streams(live: LiveLogs, task: Task, folder: Path) -> None:
    """Adds what is new in the task's logs to the files that are read while it runs."""
    for name, text in _streams(task):
        if name not in live:
            live[name] = LiveLog(path=folder / f"{name}{LIVE_SUFFIX}")
            live[name].path.unlink(missing_ok=True)
        live[name].add(text)


def keep_streams(live: LiveLogs, task: Task, folder: Path) -> None:
    """Writes what the TES kept of stdout and stderr, where it has not written the whole file itself."""
    for name, text in _streams(task):
        log = live.get(name)
        if log is not None and log.size > len(text) and not os.path.lexists(folder / name):
            log.path.rename(folder / name)
        else:
            write_new(folder / name, text)
    drop_streams(live)


def drop_streams(live: LiveLogs) -> None:
    """Removes the files, as of a TES task that was lost."""
    for log in live.values():
        log.path.unlink(missing_ok=True)
    live.clear()


def _streams(task: Task) -> list[tuple[str, str]]:
    """Each log by the name of its file, as far as the TES shows it."""
    entries: list[tuple[int, Mapping[str, Any]]] = [*enumerate(executor_logs(task.document))]
    if not task.terminal:
        entries.append(running_output(task.document))
    shown = [(log_file(stream, index), entry.get(stream)) for index, entry in entries for stream in STREAMS]
    return [(name, text) for name, text in shown if isinstance(text, str) and text]


def write_new(path: Path, text: str) -> None:
    """Writes a file where none is; nothing where one is."""
    try:
        with open(path, "xb", opener=_no_link) as file:
            file.write(text.encode(errors="replace"))
    except FileExistsError:
        return


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
