"""The tasks of a run: sent, waited for, canceled, and what became of them."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engines.kit.files import file_url
from engines.kit.task_document import TAG_KEY
from engines.kit.tes_client import TesClient, TesRefused, TesUnreachable

COMPLETE = "COMPLETE"
LOST = frozenset({"SYSTEM_ERROR", "PREEMPTED"})
"""States in which the TES is to blame, not the step."""
TERMINAL = frozenset({COMPLETE, "EXECUTOR_ERROR", "CANCELED", *LOST})
UNWANTED = frozenset({"CANCELED", "CANCELING"})
STARTED = frozenset({"RUNNING", "PAUSED", *TERMINAL})
UNKNOWN_EXIT_CODE = 255
CANCEL_SECONDS = 15.0
LONG_POLL_SECONDS = 30.0
FIRST_PAUSE = 0.03
LONGEST_PAUSE = 0.5
"""Seconds between questions to a TES that answers at once."""
ANSWERED_LATE = 1.0
"""Seconds; a TES that takes longer has waited for a change itself."""
CANCEL_THREADS = 16


class RunStopped(Exception):
    """Nothing is sent any more: the run was stopped, or another step of it failed."""


class TimeLimitExceeded(Exception):
    """The task ran for longer than its step allows; the message is the task's id."""


@dataclass(frozen=True, kw_only=True)
class TaskOutcome:
    """How a task ended.

    `stderr` and `system` are the last lines of its logs, on one line. `output_folder`: where its first output of type
    DIRECTORY was to go, if that is a `file://` URL. `document`: its FULL view (TES 1.1.0, GetTask).
    """

    task_id: str
    state: str
    exit_code: int
    stderr: str = ""
    system: str = ""
    output_folder: Path | None = None
    document: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, task_id: str, document: Mapping[str, Any]) -> "TaskOutcome":
        """Of the FULL view of a task in a terminal state; what is missing there is left empty."""
        attempt = _last(document.get("logs"))
        executor = _last(attempt.get("logs"))
        state = str(document.get("state", "UNKNOWN"))
        return cls(
            task_id=task_id,
            state=state,
            exit_code=_exit_code(executor.get("exit_code"), state),
            stderr=_tail(str(executor.get("stderr") or "").splitlines()),
            system=_tail(str(line) for line in attempt.get("system_logs") or ()),
            output_folder=_output_folder(document),
            document=document,
        )

    @property
    def lost(self) -> bool:
        """The TES could not run it, or took its machine away."""
        return self.state in LOST

    @property
    def canceled(self) -> bool:
        """By this executor, or by somebody else."""
        return self.state == "CANCELED"

    def output_folder_in(self, parent: Path) -> Path | None:
        """Where the task really wrote, if that is a folder below `parent`.

        It is another folder than the one asked for where the gateway knew the step from before a restart."""
        folder = self.output_folder
        if folder is None or not folder.is_dir():
            return None
        return folder if folder.resolve().is_relative_to(parent.resolve()) else None

    def sentence(self, step: str) -> str:
        """Why the step of this name failed, for a person."""
        subject = f"the step '{step}' (task {self.task_id})"
        if self.lost:
            return f"{subject} could not be run by the TES: {self.system or self.stderr or self.state}"
        if self.canceled:
            return f"{subject} was canceled"
        return f"{subject} ended with exit code {self.exit_code}" + (f": {self.stderr}" if self.stderr else "")


class RunningTasks:
    """Those of one run that are under way; safe to use from any thread, also while others wait in `run`."""

    def __init__(self, client: TesClient, report: Callable[[str], None], sleep: Callable[[float], None] = time.sleep):
        self._client = client
        self._report = report
        self._sleep = sleep
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, task: Mapping[str, Any], limit: float | None = None) -> TaskOutcome:
        """Sends the task and waits until it has ended.

        `limit`: seconds from when it is seen running. Raises `RunStopped`, `TimeLimitExceeded`, `TesRefused` and
        `TesUnreachable`.
        """
        if self._stopped.is_set():
            raise RunStopped
        task_id = self._client.create(task)
        with self._lock:
            self._open.add(task_id)
        try:
            self._report(f"[job {task['name']}] is task {task_id}")
            if self._stopped.is_set():
                self._cancel(task_id)
            self._wait(task_id, limit)
            return TaskOutcome.of(task_id, self._client.full(task_id))
        finally:
            with self._lock:
                self._open.discard(task_id)

    def knows(self, key: str) -> bool:
        """Whether there is a task with this step key, which the gateway would answer with. Raises as `run`."""
        return any(task.get("state") not in UNWANTED for task in self._client.with_tag(TAG_KEY, key))

    def fetch(self, path: str) -> None:
        """Waits until the bytes of a task's output are there that stayed in a store.

        Raises `RunStopped`, and `TesRefused` or `TesUnreachable` where they can't be had.
        """
        while not self._client.fetched(file_url(path), LONG_POLL_SECONDS):
            if self._stopped.is_set():
                raise RunStopped

    def cancel_all(self, seconds: float = CANCEL_SECONDS) -> None:
        """Sends nothing more, and asks for the end of what is open; returns after `seconds` at the latest."""
        self._stopped.set()
        with self._lock:
            open_tasks = sorted(self._open)
        if open_tasks:
            cancelers = ThreadPoolExecutor(min(CANCEL_THREADS, len(open_tasks)))
            wait([cancelers.submit(self._cancel, task_id) for task_id in open_tasks], timeout=seconds)
            cancelers.shutdown(wait=False, cancel_futures=True)

    @property
    def stopped(self) -> bool:
        """Whether `cancel_all` was called."""
        return self._stopped.is_set()

    def _wait(self, task_id: str, limit: float | None) -> None:
        pause, last_state, end = FIRST_PAUSE, "", None
        while True:
            asked = time.monotonic()
            state = self._client.state(task_id, _poll_seconds(end, asked))
            if state in TERMINAL:
                return
            now = time.monotonic()
            if limit and end is None and state in STARTED:
                end = now + limit
            if end is not None and now >= end:
                self._cancel(task_id)
                raise TimeLimitExceeded(task_id)
            pause = FIRST_PAUSE if state != last_state else min(pause * 1.5, LONGEST_PAUSE)
            if now - asked < ANSWERED_LATE:
                self._sleep(pause if end is None else max(0.0, min(pause, end - now)))
            last_state = state

    def _cancel(self, task_id: str) -> None:
        try:
            self._client.cancel(task_id, patience=2.0)
        except (TesRefused, TesUnreachable) as error:
            self._report(f"task {task_id} could not be canceled: {error}")


def _poll_seconds(end: float | None, now: float) -> float:
    """How long the server may wait with its answer."""
    return LONG_POLL_SECONDS if end is None else max(0.0, min(LONG_POLL_SECONDS, end - now))


def _exit_code(value: object, state: str) -> int:
    try:
        code = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        code = 0 if state == COMPLETE else UNKNOWN_EXIT_CODE
    # Some servers give 0 where they don't know.
    return UNKNOWN_EXIT_CODE if code == 0 and state != COMPLETE else int(code)


def _last(items: object) -> Mapping[str, Any]:
    return items[-1] if isinstance(items, list) and items and isinstance(items[-1], dict) else {}


def _tail(lines: Iterable[str], count: int = 3) -> str:
    return " | ".join([line.strip() for line in lines if line.strip()][-count:])[-600:]


def _output_folder(task: Mapping[str, Any]) -> Path | None:
    for output in task.get("outputs") or ():
        url = str(output.get("url", ""))
        if output.get("type") == "DIRECTORY" and url.startswith("file:///"):
            return Path(unquote(url.removeprefix("file://")))
    return None
