"""How times, sizes and tables are written for a person."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

import typer

COLORS = {
    "COMPLETE": "green",
    "EXECUTOR_ERROR": "red",
    "SYSTEM_ERROR": "red",
    "CANCELED": "yellow",
    "CANCELING": "yellow",
    "RUNNING": "cyan",
    "done": "green",
    "failed": "red",
    "running": "cyan",
}
UNITS = ("kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Bytes, in units of 1,000: `5.2 kB`."""
    if count < 1000:
        return f"{count} B"
    value, unit = count / 1000, UNITS[0]
    for bigger in UNITS[1:]:
        if value < 999.95:
            break
        value, unit = value / 1000, bigger
    return f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """`3 s`, `2 min 05 s`, `1 h 02 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def between(started: datetime | None, ended: datetime | None) -> str:
    """How long something took, or has taken until now; empty where it has not started."""
    if started is None:
        return ""
    return duration(((ended or datetime.now(tz=UTC)) - started).total_seconds())


def local_time(moment: datetime | None) -> str:
    """Date and time where the person is; empty where there is none."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def exact_local_time(moment: datetime | None) -> str:
    """The same to the millisecond."""
    return moment.astimezone().isoformat(" ", "milliseconds")[:23] if moment else ""


def colored(word: str) -> str:
    color = COLORS.get(word)
    return typer.style(word, fg=color) if color else word


def clean(text: str) -> str:
    """Text of a server on one line, without characters that would steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of plain text, two spaces apart; words that stand for a state are coloured."""
    lines = [head, *([clean(cell) for cell in row] for row in rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (wide - width(cell)) for cell, wide in zip(cells, widths, strict=True)]
    padded[-1] = cells[-1]
    return "  ".join(text.replace(cell, colored(cell), 1) for text, cell in zip(padded, cells, strict=True)).rstrip()


def width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    wide = sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)
