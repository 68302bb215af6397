"""Runs, steps and times as a terminal shows them."""

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import typer

from wes_cli.views import LogView

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
    """The word, in the colour of the state that it names."""
    color = COLORS.get(word)
    return typer.style(word, fg=color) if color else word


def print_warnings(warnings: Iterable[str]) -> None:
    """What a person should know, and that is no error."""
    for warning in warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)


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


_NUMBER = re.compile(r"(_\d+)+$")
MAX_WORD_LENGTH = 40


def step_names(steps: Sequence[LogView]) -> dict[str, str]:
    """Names by task id. A step of a scatter, of which the name says only a number, gets what its command alone has."""
    groups: dict[str, list[LogView]] = defaultdict(list)
    for step in steps:
        groups[_NUMBER.sub("", step.name)].append(step)
    return {step.id: _name(step, group) for group in groups.values() for step in group}


def _name(step: LogView, group: Sequence[LogView]) -> str:
    name = step.name or step.id
    if len({each.name for each in group}) < 2:
        return name
    own = _distinguishing_word(step, group)
    return f"{name} ({own})" if own else name


def _distinguishing_word(step: LogView, group: Sequence[LogView]) -> str:
    """The first word of the command that no other step of the scatter has, a path by its file name."""
    others = {word for each in group if each.name != step.name for word in _words(each)}
    own = (posixpath.basename(word.strip("\"';,")) for word in _words(step) if word not in others)
    return next((word for word in own if 0 < len(word) <= MAX_WORD_LENGTH), "")


def _words(step: LogView) -> list[str]:
    return [word for text in step.cmd for word in text.split()]
