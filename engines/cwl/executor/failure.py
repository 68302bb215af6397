"""Keeps why the run failed: the first reason counts, what follows from it does not."""

import json
import logging
import re
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

PLACE = re.compile(r"^\s*(?:file://|\.\./|/)(?:\S*/)?([^/\s]*):(\d+:\d+):\s*")
LONGEST = 1000
WEB_REFERENCE = re.compile(r"undefined reference to '?https?://")
NO_NETWORK = "the engine has no network, so refer to a file beside the document by a relative reference"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """`kind`: `workflow`, `inputs`, `unsupported`, `step`, `tes` or `engine`; `sentence` is for a person."""

    kind: str
    sentence: str
    step: str | None = None
    task_id: str | None = None
    exit_code: int | None = None


class Failures:
    """Writes the first failure to a file; safe to call from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.first: Failure | None = None

    def add(self, failure: Failure) -> None:
        with self._lock:
            if self.first is None:
                self.first = failure
                self._path.write_text(json.dumps(asdict(failure)))


class ErrorLog(logging.Handler):
    """Keeps the first error that cwltool only logs, as it does for a step whose inputs can't be made."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.first is None:
            self.first = record.getMessage()


def condensed(message: str) -> str:
    """cwltool's message of many indented lines as one, with each place as `file.cwl:line:column` and not repeated."""
    parts: list[str] = []
    place = ""
    for line in message.splitlines():
        found = PLACE.match(line)
        text = (line[found.end() :] if found else line).strip()
        if not text:
            continue
        if found and found[1] and place != f"{found[1]}:{found[2]}":
            place = f"{found[1]}:{found[2]}"
            text = f"{place}: {text}"
        parts.append(text)
    text = " ".join(parts)[:LONGEST]
    return f"{text}; {NO_NETWORK}" if WEB_REFERENCE.search(text) else text
