"""A task between its engine, which knows one root for every run, and a TES, which does not (design, decision 14).

Recorded and shown is what the engine names. On the way to a TES each location is put into that server's terms, once;
what the TES tells of the task is put back, once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.errors import InvalidLocation
from common.location import RemoteLocation, file_url
from common.run_root import RunRoot, TaskLocation
from tes.task import TesOutputFileLog, TesTask, TesTaskLog


@dataclass(frozen=True, kw_only=True)
class SharedFiles:
    """For a TES that sees the run's folder, and allowed data, under the paths that this machine has for them."""

    root: RunRoot

    def for_tes(self, task: TesTask) -> TesTask:
        """The task with URLs that the TES can use; paths in containers are the engine's."""
        return self._relocated(task, self._url_of_tes)

    def for_engine(self, document: TesTask) -> TesTask:
        """A view that the TES gave, in the engine's terms; what the TES itself says is put into them too."""
        shown = self._relocated(document, self.root.with_seen_paths)
        if logs := document.get("logs"):
            shown["logs"] = [self._log_for_engine(log) for log in logs]
        return shown

    def sentence_for_engine(self, text: str) -> str:
        """What the TES says of a task it did not take."""
        return self.root.with_seen_paths(text)

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
        return url if isinstance(location, RemoteLocation) else file_url(self.root.host_path(location))

    def _log_for_engine(self, log: TesTaskLog) -> TesTaskLog:
        shown = log.copy()
        if lines := log.get("system_logs"):
            shown["system_logs"] = [self.root.with_seen_paths(line) for line in lines]
        if outputs := log.get("outputs"):
            delivered: list[TesOutputFileLog] = [_with_url(one, self.root.with_seen_paths) for one in outputs]
            shown["outputs"] = delivered
        return shown


def _with_url(item: Any, put: Callable[[str], str]) -> Any:
    url = item.get("url")
    return {**item, "url": put(url)} if url else item
