"""Runs as their owners read them: lists by filters, logs, tasks and files."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO, Protocol

from common.engine import Engine
from common.errors import InvalidField, LogNotFound, TaskNotFound
from common.json_types import Json
from common.paging import Cursor, decode, encode
from common.times import rfc3339
from engines.kit.settings import PROGRESS
from tes.task import Task
from wes_service.core import run_log
from wes_service.core.links import LIVE_SUFFIX, Links, RecordedOutput, files, log_file, may_fetch
from wes_service.core.ports import RunStore, TaskStore
from wes_service.core.run import EVERY_RUN, TERMINAL, Owner, Run, RunFilter, RunState, RunSummary
from wes_service.core.run_log import (
    MAX_PROGRESS_BYTES,
    RunProgress,
    TaskLogId,
    parse_progress,
    progress_of_tasks,
)
from wes_service.core.workflow import SOURCE_FILE
from wes_service.services.engine_choice import type_names
from wes_service.services.waiting import WaitingRuns

MAX_SEARCH_CHARACTERS = 1000
MAX_FILTER_TAGS = 20
MAX_TASK_LOGS = 1000
PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_SOURCE_BYTES = 64 * 1024


def run_filter(
    engines: Sequence[Engine],
    *,
    state: Iterable[str] = (),
    tag: Iterable[str] = (),
    workflow_type: Iterable[str] = (),
    since: str | None = None,
    until: str | None = None,
    search: str = "",
) -> RunFilter:
    """The filter; `InvalidField` says what there is instead. A run's type is the one that its engine runs."""
    return RunFilter(
        states=frozenset(map(_state, state)),
        engines=frozenset(name for each in workflow_type for name in _of_type(each, engines)),
        tags=_tags(list(tag)),
        since=_time("since", since),
        until=_time("until", until),
        search=_search(search),
    )


def _state(name: str) -> RunState:
    if name not in set(RunState):
        raise InvalidField("state", f"{name[:40]!r} is no state; there is {', '.join(RunState)}")
    return RunState(name)


def _of_type(workflow_type: str, engines: Sequence[Engine]) -> list[str]:
    found = [engine.name for engine in engines if workflow_type.casefold() in type_names(engine)]
    if not found:
        known = ", ".join(dict.fromkeys(engine.workflow_type for engine in engines))
        raise InvalidField("workflow_type", f"{workflow_type[:40]!r} is not known; there is {known}")
    return found


def _tags(texts: Sequence[str]) -> frozenset[str]:
    for text in texts:
        if ":" not in text:
            raise InvalidField("tag", f"{text[:40]!r} has no colon; write key:value")
    if len(set(texts)) > MAX_FILTER_TAGS:
        raise InvalidField("tag", f"at most {MAX_FILTER_TAGS} are possible")
    return frozenset(texts)


def _time(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return rfc3339(text)
    except ValueError:
        example = "write it like 2025-06-07T12:00:00Z, or with an offset, whose + is %2B in a URL"
        raise InvalidField(field, f"{text[:40]!r} is not a time of RFC 3339; {example}") from None


def _search(text: str) -> str:
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise InvalidField("search", f"longer than {MAX_SEARCH_CHARACTERS} characters")
    if any(ord(character) < 32 for character in text):
        raise InvalidField("search", "holds a control character")
    return text.casefold()


class RunFiles(Protocol):
    """Files of runs; the caller has checked the run's owner."""

    def open_log(self, run_id: str, relative: str) -> BinaryIO | None:
        """A file below the run's logs; None where nothing was written."""

    def open_output(self, run_id: str, relative: str) -> BinaryIO:
        """A file below the run's work folder, never one outside; `LogNotFound`."""

    def read_work(self, run_id: str, relative: str, most: int) -> bytes:
        """The first `most` bytes of a file below the run's work folder; empty where there is none."""

    def output_files(self, run_id: str, relative: str) -> list[str]:
        """The files beneath a folder of the run's work folder, by path relative to it."""


@dataclass(frozen=True, kw_only=True)
class StoredContent:
    """A file to send; `sha256` where it is known, and text instead of a file where only a TES kept it."""

    file: BinaryIO | None
    text: str = ""
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunReader:
    """Everything raises `RunNotFound` for a run that is not there or not the owner's."""

    runs: RunStore
    tasks: TaskStore
    files: RunFiles
    waiting: WaitingRuns

    def page(self, owner: Owner, size: int, token: str, filters: RunFilter = EVERY_RUN) -> dict[str, Json]:
        """Schema RunListResponse; a token is good for the filters that it came with."""
        page = self.runs.page(owner, checked_size(size), decode(token, filters.digest), filters)
        token = encode(page.next, filters.digest)
        return {"runs": [run_log.summary(run) for run in page.items], "next_page_token": token}

    def events(self, owner: Owner, run_id: str) -> dict[str, Json]:
        """Schema EventListResponse."""
        return {"events": [run_log.event(event) for event in self.runs.events(owner, run_id)]}

    def log(self, owner: Owner, run_id: str, links: Links) -> dict[str, Json]:
        """Schema RunLog; the first line of a queued run's system log says what it waits for."""
        run = self.runs.get(owner, run_id)
        if run.state is RunState.QUEUED:
            run = replace(run, reason=self.waiting.why(run))
        tasks = self.tasks.page(run_id, MAX_TASK_LOGS, None).items
        log = run_log.run_log(run, tasks, links, MAX_TASK_LOGS)
        return {**log, **self._progress(run), **self._source(run)}

    def status(self, owner: Owner, run_id: str) -> dict[str, Json]:
        """Schema RunStatus."""
        run = self.runs.summary(owner, run_id)
        return {"run_id": run_id, "state": run.state.value, **self._progress(run)}

    def task_page(self, owner: Owner, run_id: str, size: int, token: str, links: Links) -> dict[str, Json]:
        """Schema TaskListResponse."""
        self.runs.summary(owner, run_id)
        tasks, cursor = _first_logs(self._tasks_after(run_id, checked_size(size), decode(token)), size)
        return {
            "task_logs": [run_log.task_log(task, log, links) for task, log in tasks],
            "next_page_token": encode(cursor),
        }

    def task(self, owner: Owner, run_id: str, name: str, links: Links) -> dict[str, Json]:
        """Schema TaskLog."""
        task, log = self._task(owner, run_id, name)
        return run_log.task_log(task, log, links)

    def engine_stream(self, owner: Owner, run_id: str, stream: str) -> StoredContent:
        """The engine's stdout or stderr, as far as it has come."""
        self.runs.summary(owner, run_id)
        return StoredContent(file=self.files.open_log(run_id, stream))

    def task_stream(self, owner: Owner, run_id: str, name: str, stream: str) -> StoredContent:
        """A task's stdout or stderr: the whole file, or as far as it has come, else what the TES kept of it."""
        task, log = self._task(owner, run_id, name)
        last = run_log.is_last_attempt(task, log)
        file = self._task_file(run_id, f"tasks/{task.id}/{log_file(stream, log.executor)}") if last else None
        return StoredContent(file=file, text="" if file else run_log.tes_stream(task, log, stream))

    def _task_file(self, run_id: str, name: str) -> BinaryIO | None:
        """The whole file, or while the task runs the one that the gateway lets grow."""
        return self.files.open_log(run_id, name) or self.files.open_log(run_id, name + LIVE_SUFFIX)

    def outputs(self, owner: Owner, run_id: str) -> Sequence[RecordedOutput]:
        """Every output file; folders that the engine did not list are looked into."""
        return [file for entry in files(self.runs.get(owner, run_id).outputs) for file in self._expanded(run_id, entry)]

    def output(self, owner: Owner, run_id: str, path: str) -> StoredContent:
        """An output's content; `LogNotFound` for what is no output."""
        run = self.runs.get(owner, run_id)
        if not _is_plain(path) or not may_fetch(run.outputs, path):
            raise LogNotFound
        return StoredContent(file=self.files.open_output(run_id, path), sha256=_sha256(run, path))

    def _progress(self, run: Run | RunSummary) -> dict[str, Json]:
        """The extension field; nothing before the first step is known, and nothing runs in a run that has ended."""
        reported = parse_progress(self.files.read_work(run.id, PROGRESS, MAX_PROGRESS_BYTES))
        progress = reported or progress_of_tasks(self.tasks.counts(run.id))
        progress = replace(progress, running=0) if run.state in TERMINAL else progress
        return {} if progress == RunProgress() else {"progress": progress.as_json()}

    def _source(self, run: Run) -> dict[str, Json]:
        """The extension field; nothing for a workflow that was attached, or is not fetched yet."""
        if "://" not in run.request.workflow_url:
            return {}
        file = self.files.open_log(run.id, SOURCE_FILE)
        if file is None:
            return {}
        with file:
            return {"workflow_source": json.loads(file.read(MAX_SOURCE_BYTES))}

    def _expanded(self, run_id: str, entry: RecordedOutput) -> Sequence[RecordedOutput]:
        if not entry.folder:
            return [entry]
        return [RecordedOutput(name=entry.name, path=path) for path in self.files.output_files(run_id, entry.path)]

    def _task(self, owner: Owner, run_id: str, name: str) -> tuple[Task, TaskLogId]:
        self.runs.summary(owner, run_id)
        log = run_log.parse_log_name(name)
        task = self.tasks.get(run_id, log.task_id)
        if log not in run_log.log_ids(task) or run_log.log_name(task, log) != name:
            raise TaskNotFound
        return task, log

    def _tasks_after(self, run_id: str, size: int, after: Cursor | None) -> "_TaskLogPage":
        """What follows the cursor, which may stand between two logs of one task."""
        if after is None or "." not in after.id:
            page = self.tasks.page(run_id, size, after)
            return _TaskLogPage(logs=_logs(page.items), next=page.next)
        last = run_log.parse_log_name(after.id)
        whole = Cursor(created=after.created, id=last.task_id)
        begun = [
            (task, log) for task, log in _logs([self._task_of_token(run_id, last.task_id)]) if _key(log) > _key(last)
        ]
        page = self.tasks.page(run_id, size, whole)
        return _TaskLogPage(logs=[*begun, *_logs(page.items)], next=page.next)

    def _task_of_token(self, run_id: str, task_id: str) -> Task:
        try:
            return self.tasks.get(run_id, task_id)
        except TaskNotFound:
            raise InvalidField("page_token", "this is not a token of this list") from None


@dataclass(frozen=True, kw_only=True)
class _TaskLogPage:
    logs: Sequence[tuple[Task, TaskLogId]]
    next: Cursor | None


def checked_size(size: int) -> int:
    """`InvalidField` for a page size that is not from 1 to 1000."""
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"from 1 to {MAX_PAGE_SIZE} is possible, not {size}")
    return size


def _first_logs(rest: _TaskLogPage, size: int) -> tuple[Sequence[tuple[Task, TaskLogId]], Cursor | None]:
    if len(rest.logs) <= size:
        return rest.logs, rest.next
    task, log = rest.logs[size - 1]
    following = rest.logs[size][0]
    name = run_log.log_name(task, log) if following.id == task.id else task.id
    return rest.logs[:size], Cursor(created=task.created, id=name)


def _logs(tasks: Sequence[Task]) -> list[tuple[Task, TaskLogId]]:
    return [(task, log) for task in tasks for log in run_log.log_ids(task)]


def _key(log: TaskLogId) -> tuple[int, int]:
    return log.attempt, log.executor


def _is_plain(path: str) -> bool:
    return "\0" not in path and all(part not in {"", ".", ".."} for part in path.split("/"))


def _sha256(run: Run, path: str) -> str | None:
    return next((file.sha256 for file in files(run.outputs) if file.path == path), None)
