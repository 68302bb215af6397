"""Files of a run: attachments as the workflow's author sees them, the output object, and benchmarks."""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engines.kit.files import file_url

FILE_URL = "file://"
BENCHMARK_COLUMNS = (
    *("s", "h:m:s", "max_rss", "max_vms", "max_uss", "max_pss"),
    *("io_in", "io_out", "mean_load", "cpu_time"),
)
NOT_MEASURED = "NA"


def attached_files(attachments: Path) -> tuple[str, ...]:
    """All of them, by their path below the folder, in order."""
    paths = (Path(folder) / name for folder, _, names in os.walk(attachments) for name in names)
    return tuple(sorted(str(path.relative_to(attachments)) for path in paths))


def mirror(attachments: Path, work: Path, names: Iterable[str]) -> None:
    """Links each attachment into the working folder under the same name; what is there already stays."""
    for name in names:
        link = work / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(link):
            link.symlink_to(attachments / name)


def with_paths(value: Any) -> Any:
    """A value of `workflow_params` in which each local File or Directory object is its path, as Snakefiles want it."""
    if isinstance(value, dict):
        location = str(value.get("location", ""))
        if value.get("class") in {"File", "Directory"} and location.startswith(FILE_URL):
            return unquote(location.removeprefix(FILE_URL))
        return {name: with_paths(item) for name, item in value.items()}
    return [with_paths(item) for item in value] if isinstance(value, list) else value


def is_attached(path: str, attachments: Path) -> bool:
    """Whether it is an attachment, by whichever name."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(attachments))


def output_object(files: Iterable[str], work: Path) -> dict[str, Any]:
    """Each target's File or Directory by its path relative to the working folder; an attachment is no output."""
    outputs: dict[str, Any] = {}
    for name in sorted(set(files)):
        path = Path(os.path.normpath(work / name))
        if path.exists() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(work)):
            kind = "Directory" if path.is_dir() else "File"
            key = os.path.relpath(path, work)
            outputs[key] = {"class": kind, "location": file_url(path), "basename": path.name}
    return outputs


def write_benchmark(path: Path, times: Iterable[float | None]) -> None:
    """One row for each time that the command ran; what a TES does not measure is `NA`, as in Snakemake."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in (BENCHMARK_COLUMNS, *map(_row, times))))


def executor_seconds(task: Mapping[str, Any]) -> Iterator[float | None]:
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
    known = [] if seconds is None else [f"{seconds:.4f}", str(timedelta(seconds=int(seconds)))]
    return [*known, *[NOT_MEASURED] * (len(BENCHMARK_COLUMNS) - len(known))]
