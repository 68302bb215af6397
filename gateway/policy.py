"""What becomes of a task between an engine and its TES: an allow-list of files and URLs, tags, files for logs.

Whatever a task may not name is refused by its field.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from common.errors import InvalidField, InvalidLocation
from common.location import REMOTE, STORES, RemoteLocation, file_url
from common.run_root import DataLocation, FileInRun, RunLocation, RunRoot, TaskLocation
from tes.task import (
    TAG_ATTEMPT,
    TAG_GATEWAY,
    TAG_KEY,
    TAG_OWNER,
    TAG_RUN,
    TAG_STEP,
    TAG_SUBMISSION,
    TAG_TASK,
    FileType,
    TesExecutor,
    TesInput,
    TesOutput,
    TesTask,
)
from wes_service.core.links import log_file
from wes_service.core.run import Owner

LOGS_INSIDE = "/wes-logs/run"
"""Where stdout and stderr lie in a container; two levels deep, as Funnel mounts the parent of what it is given."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class FilePolicy:
    """What tasks of one run may read and write: its attachments and allowed data, its work folder, and remote URLs,
    but none in `storages`, where the files of all runs lie that a TES has credentials for."""

    root: RunRoot
    storages: frozenset[str] = frozenset()

    def permitted(self, task: TesTask) -> TesTask:
        """The task in which every input and output has the URL that was checked, in the one spelling that there is,
        and that of the file itself where it was named by a symlink.

        `InvalidField` names the first field that is not this run's to use, or that can't be understood.
        """
        checked = task.copy()
        if "inputs" in task:
            checked["inputs"] = [self._input(f"inputs[{i}]", one) for i, one in enumerate(task["inputs"] or [])]
        if "outputs" in task:
            checked["outputs"] = [self._output(f"outputs[{i}]", one) for i, one in enumerate(task["outputs"] or [])]
        return checked

    def own_file(self, field: str, url: str) -> RunLocation:
        """What an engine names in its work folder, symlinks followed; `InvalidField` for all else."""
        location = self._parsed(field, url, frozenset())
        real = None if isinstance(location, RemoteLocation) else self.root.followed(location)
        if not isinstance(real, RunLocation) or not self._may_write(real):
            raise InvalidField(field, "is nothing in this run's work folder")
        return real

    def _input(self, field: str, item: TesInput) -> TesInput:
        _check_path(f"{field}.path", item.get("path"))
        if not item.get("url") and item.get("content") is not None:
            text = item.copy()
            text.pop("url", None)
            return text
        location = self._parsed(f"{field}.url", item.get("url"), REMOTE)
        return {**item, "url": self._checked(f"{field}.url", location, self._may_read, "read")}

    def _output(self, field: str, item: TesOutput) -> TesOutput:
        _check_path(f"{field}.path", item.get("path"))
        if item.get("path_prefix"):
            _check_path(f"{field}.path_prefix", item["path_prefix"])
        location = self._parsed(f"{field}.url", item.get("url"), STORES)
        return {**item, "url": self._checked(f"{field}.url", location, self._may_write, "write to")}

    def _parsed(self, field: str, url: str | None, remote: frozenset[str]) -> TaskLocation:
        if not url:
            raise InvalidField(field, "a URL is needed, as a string")
        try:
            location = self.root.parse(url)
        except InvalidLocation as error:
            raise InvalidField(field, str(error)) from None
        if isinstance(location, RemoteLocation) and any(overlaps(location.url, one) for one in self.storages):
            raise InvalidField(field, "is where this service keeps the files of runs, which no task may name itself")
        if isinstance(location, RemoteLocation) and location.scheme not in remote:
            names = ", ".join(sorted(remote))
            raise InvalidField(field, f"a task can't write to {location.scheme}: URLs, only to files and {names}")
        return location

    def _checked(self, field: str, location: TaskLocation, may: Callable[[FileInRun], bool], verb: str) -> str:
        if isinstance(location, RemoteLocation):
            return location.url
        real = self.root.followed(location) if may(location) else None
        if real is None or not may(real):
            link = " by a symlink" if may(location) else ""
            problem = f"{self.root.seen_path(location)} leads{link} to what a task of this run may not {verb}"
            raise InvalidField(field, problem)
        return self.root.seen_url(real)

    def _may_read(self, location: FileInRun) -> bool:
        folder = self.root.folder
        return isinstance(location, DataLocation) or location.is_in(folder.attachments, folder.work)

    def _may_write(self, location: FileInRun) -> bool:
        return isinstance(location, RunLocation) and location.is_in(self.root.folder.work)


def overlaps(url: str, storage: str) -> bool:
    """Whether a URL may lead into a storage, or to what holds it, however a store or a TES reads it.

    Some decode it, and make one slash of two; `..` may lead anywhere. Funnel takes the beginning of a
    key for a folder, and leaves out the host of the store in `s3://HOST/BUCKET/KEY`.
    """
    kept, spellings = _parts(storage), [_parts(one) for one in (url, unquote(url))]
    return any(_lead_into(named, kept) or _lead_into([*named[:1], *named[2:]], kept) for named in spellings)


def _parts(url: str) -> list[str]:
    return [part for part in url.split("/") if part not in {"", "."}]


def _lead_into(named: Sequence[str], kept: Sequence[str]) -> bool:
    if ".." in named[1:] and named[0].lower() == kept[0].lower():
        return True
    if [part.lower() for part in named[:2]] != [part.lower() for part in kept[:2]]:
        return False
    below, held = "/".join(named[2:]), "/".join(kept[2:])
    return held.startswith(below) or f"{below}/".startswith(f"{held}/" if held else "")


def _check_path(field: str, path: str | None) -> None:
    """In the container. A TES joins what follows `path_prefix` to the URL, so that `..` would lead out of it."""
    if not path or not path.startswith("/"):
        raise InvalidField(field, "an absolute path is needed, as a string")
    if "\0" in path or ".." in _ESCAPED.sub(r"\1", path).split("/") or ".." in path.split("/"):
        raise InvalidField(field, "must not contain '..' or NUL")


def tagged(task: TesTask, *, run_id: str, task_id: str, owner: Owner, gateway: str) -> TesTask:
    """The task with tags of run, task and gateway; tags of the engine that claim to be ours are overwritten."""
    step = {TAG_STEP: task.get("name") or "", TAG_ATTEMPT: "1"}
    own = {TAG_RUN: run_id, TAG_TASK: task_id, TAG_OWNER: owner.subject, TAG_GATEWAY: gateway}
    return {**task, "tags": {**step, **(task.get("tags") or {}), **own}}


def with_log_files(task: TesTask, logs: Path) -> TesTask:
    """The task in which each executor has a stdout and a stderr file, and each of them is an output below `logs`.

    A TES truncates its own copy of both (to 10 kB in Funnel); these files are whole.
    """
    executors = [_with_streams(executor, index) for index, executor in enumerate(task["executors"])]
    kept: list[TesOutput] = [
        {"path": path, "url": file_url(logs / log_file(stream, index)), "type": FileType.FILE.value}
        for index, executor in enumerate(executors)
        for stream, path in (("stdout", executor["stdout"] or ""), ("stderr", executor["stderr"] or ""))
    ]
    return {**task, "executors": executors, "outputs": [*(task.get("outputs") or []), *kept]}


def _with_streams(executor: TesExecutor, index: int) -> TesExecutor:
    stdout = executor.get("stdout") or f"{LOGS_INSIDE}/{log_file('stdout', index)}"
    stderr = executor.get("stderr") or f"{LOGS_INSIDE}/{log_file('stderr', index)}"
    return {**executor, "stdout": stdout, "stderr": stderr}


def with_resources(task: TesTask, defaults: Mapping[str, float]) -> TesTask:
    """The task with default resources where it asks for none (TES 1.1.0, tesResources)."""
    if not defaults:
        return task
    asked = {name: value for name, value in (task.get("resources") or {}).items() if value}
    resources: Any = {**defaults, **asked}
    return {**task, "resources": resources}


def with_backend_parameters(task: TesTask, allowed: frozenset[str]) -> tuple[TesTask, list[str]]:
    """The task with those of its `backend_parameters` that are allowed, and the names of the others, sorted."""
    resources = task.get("resources")
    if not resources or "backend_parameters" not in resources:
        return task, []
    asked = resources["backend_parameters"] or {}
    kept = resources.copy()
    del kept["backend_parameters"]
    if allowed & asked.keys():
        kept["backend_parameters"] = {name: asked[name] for name in sorted(allowed & asked.keys())}
    return {**task, "resources": kept}, sorted(name[:100] for name in asked.keys() - allowed)


def step_key(task: TesTask) -> str | None:
    """The step's stable key (design, decision 9), where the engine gave one."""
    return (task.get("tags") or {}).get(TAG_KEY) or None


def step_attempt(task: TesTask) -> int:
    """Which attempt at its step a task is, from 1."""
    text = (task.get("tags") or {}).get(TAG_ATTEMPT, "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() else 1


def step_name(task: TesTask) -> str:
    """The task's own name, else the step's, else `task`."""
    return task.get("name") or (task.get("tags") or {}).get(TAG_STEP) or "task"


def as_submission(task: TesTask, number: int) -> TesTask:
    """The task for its TES: what is sent again is told apart by a tag from what was sent before."""
    return task if number == 1 else {**task, "tags": {**(task.get("tags") or {}), TAG_SUBMISSION: str(number)}}
