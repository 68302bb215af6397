"""The file of a rule's `benchmark:`, from the times that the TES gives for its command."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

COLUMNS = ("s", "h:m:s", "max_rss", "max_vms", "max_uss", "max_pss", "io_in", "io_out", "mean_load", "cpu_time")
UNKNOWN = "NA"


def write_benchmark(path: Path, times: Iterable[float | None]) -> None:
    """One row for each time that the command ran; what a TES does not measure is `NA`, as in Snakemake."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in (COLUMNS, *map(_row, times))))


def seconds(task: Mapping[str, Any]) -> Iterator[float | None]:
    """How long each executor of a task ran; None where the TES does not say."""
    attempts = task.get("logs") or [{}]
    for log in attempts[-1].get("logs") or []:
        try:
            yield (_time(log["end_time"]) - _time(log["start_time"])).total_seconds()
        except (KeyError, TypeError, ValueError):
            yield None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _row(seconds: float | None) -> list[str]:
    known = [UNKNOWN, UNKNOWN] if seconds is None else [f"{seconds:.4f}", str(timedelta(seconds=int(seconds)))]
    return [*known, *[UNKNOWN] * (len(COLUMNS) - len(known))]
