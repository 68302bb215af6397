"""cwltool's error messages as sentences for a person."""

import logging
import re

from engines.kit.network import has_network

LONGEST_SENTENCE = 1000
SOURCE_POSITION = re.compile(r"^\s*(?:file://|\.\./|/)(?:\S*/)?([^/\s]*):(\d+:\d+):\s*")
WEB_REFERENCE = re.compile(r"undefined reference to '?https?://")
NO_NETWORK = "this server gives engines no network, so refer to a file beside the document by a relative reference"


class ErrorLog(logging.Handler):
    """Keeps the first error that cwltool only logs, as it does for a step whose inputs can't be made."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.first is None:
            self.first = record.getMessage()


def condensed(message: str) -> str:
    """cwltool's message of many indented lines as one, each `file.cwl:line:column` only where it changes."""
    parts: list[str] = []
    position = ""
    for line in message.splitlines():
        match = SOURCE_POSITION.match(line)
        text = (line[match.end() :] if match else line).strip()
        if not text:
            continue
        if match and match[1] and position != f"{match[1]}:{match[2]}":
            position = f"{match[1]}:{match[2]}"
            text = f"{position}: {text}"
        parts.append(text)
    text = " ".join(parts)[:LONGEST_SENTENCE]
    return f"{text}; {NO_NETWORK}" if WEB_REFERENCE.search(text) and not has_network() else text
