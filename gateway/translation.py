"""A task between its engine, which knows one root for every run, and a TES, which does not (design, decision 14).

Recorded and shown is what the engine names. On the way to a TES each location is put into that server's terms, once;
what the TES tells of the task is put back, once.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from common.errors import InvalidLocation, WesError
from common.location import STORES, RemoteLocation, file_url
from common.masking import masked_text
from common.run_root import DataLocation, FileInRun, RunLocation, RunRoot, TaskLocation
from gateway.policy import as_submission
from sandbox.identity import Identity, own_beneath
from tes.task import Task, TesInput, TesOutputFileLog, TesTask, TesTaskLog


class TaskFiles(Protocol):
    """How the files of one run get to the tasks of one TES and back. A task is told by its submission, too."""

    async def for_tes(self, task: Task) -> TesTask:
        """The task with URLs that the TES can use; paths in containers are the engine's. All that it reads is there.

        `UnusableInput` where something is not, `ObjectStoreFailure` where it may be later.
        """

    def for_engine(self, task: Task, document: TesTask) -> TesTask:
        """A view that the TES gave, in the engine's terms; what the TES itself says is put into them too."""

    def sentence_for_engine(self, task: Task, text: str) -> str:
        """What the TES says of a task it did not take."""

    def keeps_submissions_apart(self, task: Task) -> bool:
        """Whether each submission has outputs of its own, to which an earlier one that still runs can't write."""

    async def fetch(self, task: Task) -> None:
        """Makes what a task that has ended delivered the run's, and its engine's user's.

        `UnusableOutput` where that can't be, `ObjectStoreFailure` where it may be later.
        """


class ReadableInputs(Protocol):
    """What is done about inputs by URLs of a kind that the TES does not read."""

    async def readable(self, inputs: Sequence[TesInput]) -> list[TesInput]:
        """The inputs by which it reads the same files; `UnusableInput`, `ObjectStoreFailure`."""


class UnusableInput(WesError):
    """A task names a file that is not there, or that can't be read."""


class UnusableOutput(WesError):
    """What a task stored can't be brought back to its run."""


@dataclass(frozen=True, kw_only=True)
class DataElsewhere:
    """Folders of data that a TES reads under URLs of its own, so that they are never moved."""

    urls: Mapping[Path, str] = field(default_factory=dict)

    def url_of(self, location: FileInRun) -> str | None:
        """None for what the TES is not said to have. Keys of stores are taken as they are, other URLs are encoded."""
        if not isinstance(location, DataLocation):
            return None
        for folder, url in self._by_length:
            if location.path.is_relative_to(folder):
                below = str(location.path.relative_to(folder))
                named = below if url.partition(":")[0] in STORES else quote(below)
                return url if below == "." else f"{url}/{named}"
        return None

    @cached_property
    def _by_length(self) -> list[tuple[Path, str]]:
        """The innermost first, each under its real path too, by which a symlink is followed."""
        found = {real: url for path, url in self.urls.items() for real in (path, Path(os.path.realpath(path)))}
        return sorted(found.items(), key=lambda item: -len(item[0].parts))


@dataclass(frozen=True, kw_only=True)
class SharedFiles:
    """For a TES that sees the run's folder, and allowed data, under the paths that this machine has for them."""

    root: RunRoot
    identity: Identity
    data: DataElsewhere = field(default_factory=DataElsewhere)
    fetch_withheld: Callable[[FileInRun], None] | None = None
    """Brings what a file or folder has in a store still, where the run uses one too."""
    remote: ReadableInputs | None = None

    async def for_tes(self, task: Task) -> TesTask:
        if self.fetch_withheld is not None:
            await asyncio.to_thread(self._fetch_inputs, task, self.fetch_withheld)
        body = as_submission(task.body, task.submission)
        if self.remote is not None and (inputs := body.get("inputs")):
            body = {**body, "inputs": await self.remote.readable(inputs)}
        return self._relocated(body, self._url_of_tes)

    def for_engine(self, task: Task, document: TesTask) -> TesTask:
        del task
        shown = document.copy()
        # The task's own are what the engine named.
        shown.pop("inputs", None)
        shown.pop("outputs", None)
        if logs := document.get("logs"):
            shown["logs"] = [self._log_for_engine(log) for log in logs]
        return shown

    def sentence_for_engine(self, task: Task, text: str) -> str:
        del task
        return self._in_words_of_engine(text)

    def _in_words_of_engine(self, text: str) -> str:
        return self.root.with_seen_paths(masked_text(text))

    def keeps_submissions_apart(self, task: Task) -> bool:
        del task
        return False

    async def fetch(self, task: Task) -> None:
        await asyncio.to_thread(self._own_outputs, task)

    def _fetch_inputs(self, task: Task, fetch: Callable[[FileInRun], None]) -> None:
        for item in task.body.get("inputs") or []:
            url = item.get("url")
            location = self.root.parse(url) if url else None
            if location is not None and not isinstance(location, RemoteLocation) and not self.data.url_of(location):
                fetch(location)

    def _own_outputs(self, task: Task) -> None:
        for output in task.body.get("outputs") or []:
            try:
                location = self.root.parse(output["url"])
            except InvalidLocation:
                # As an earlier version named it.
                continue
            if isinstance(location, RunLocation):
                own_beneath(self.root.host_path(location), [self.root.folder.work.resolve()], self.identity)

    def _relocated(self, task: TesTask, put: Callable[[str], str]) -> TesTask:
        shown = task.copy()
        if inputs := task.get("inputs"):
            shown["inputs"] = [_with_url(item, put) for item in inputs]
        if outputs := task.get("outputs"):
            shown["outputs"] = [_with_url(item, put) for item in outputs]
        return shown

    def _url_of_tes(self, url: str) -> str:
        try:
            location: TaskLocation = self.root.parse(url)
        except InvalidLocation:
            # Recorded by an earlier version, which had the paths of this machine; such a task is never sent again.
            return url
        if isinstance(location, RemoteLocation):
            return url
        return self.data.url_of(location) or file_url(self.root.host_path(location))

    def _log_for_engine(self, log: TesTaskLog) -> TesTaskLog:
        shown = log.copy()
        if lines := log.get("system_logs"):
            shown["system_logs"] = [self._in_words_of_engine(line) for line in lines]
        if outputs := log.get("outputs"):
            delivered: list[TesOutputFileLog] = [_with_url(one, self.root.with_seen_paths) for one in outputs]
            shown["outputs"] = delivered
        return shown


def _with_url(item: Any, put: Callable[[str], str]) -> Any:
    url = item.get("url")
    return {**item, "url": put(url)} if url else item
