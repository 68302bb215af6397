"""A task's log: what is captured of each executor's streams, shortened, and kept as the task goes."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from common.times import exact_time, parse_time
from sandbox.foreign_files import folder_beneath
from sandbox.identity import Identity
from tes.task import TesExecutor, TesExecutorLog, TesOutputFileLog, TesTaskLog
from tes_service.errors import TaskFault
from tes_service.folder_access import opened_source
from tes_service.layout import Layout
from tes_service.output_paths import locate, results_of
from tes_service.processes import ExecutorStreams

EXCERPT_BYTES = 10_000
"""Bytes shown of each end."""


def excerpt(fd: int) -> str:
    """The text of an open file; of a long one, both ends with a line between that tells the gap."""
    size = os.fstat(fd).st_size
    if size <= 2 * EXCERPT_BYTES:
        return os.pread(fd, size, 0).decode(errors="replace")
    head, tail = os.pread(fd, EXCERPT_BYTES, 0), os.pread(fd, EXCERPT_BYTES, size - EXCERPT_BYTES)
    gap = f"\n[... {size - 2 * EXCERPT_BYTES} bytes left out ...]\n"
    return _without_cut_letter(head) + gap + tail.lstrip(CONTINUATION).decode(errors="replace")


CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes that only follow others in UTF-8: at the start of the tail they are the rest of a letter."""


def _without_cut_letter(head: bytes) -> str:
    """Leaves out a letter at the end that was cut in two."""
    text = head.decode(errors="replace")
    return text.removesuffix("\ufffd")


STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Capture:
    """The log files of one executor, in a folder that only the server sees."""

    folder: Path
    index: int

    def file(self, stream: str) -> Path:
        """The file of `stdout` or `stderr`."""
        return self.folder / f"{self.index}.{stream}"

    def text(self, stream: str) -> str:
        """What there is so far, as a log shows it; empty where the file is gone."""
        try:
            fd = os.open(self.file(stream), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        try:
            return excerpt(fd)
        finally:
            os.close(fd)

    def discard(self) -> None:
        """Removes both files."""
        for stream in STREAMS:
            self.file(stream).unlink(missing_ok=True)


@contextmanager
def open_streams(
    capture: Capture, layout: Layout, executor: TesExecutor, identity: Identity
) -> Iterator[ExecutorStreams]:
    """The three descriptors that an executor is started with; `TaskFault` where its stdin is not there."""
    with ExitStack() as stack:
        stdin = _stdin(layout, executor.get("stdin"))
        stack.callback(os.close, stdin)
        stdout = _create(capture.file("stdout"), layout, executor.get("stdout"), identity)
        stack.callback(os.close, stdout)
        if executor.get("stderr") is not None and executor.get("stderr") == executor.get("stdout"):
            capture.file("stderr").unlink(missing_ok=True)
            os.link(capture.file("stdout"), capture.file("stderr"))
            yield ExecutorStreams(stdin=stdin, stdout=stdout, stderr=stdout)
            return
        stderr = _create(capture.file("stderr"), layout, executor.get("stderr"), identity)
        stack.callback(os.close, stderr)
        yield ExecutorStreams(stdin=stdin, stdout=stdout, stderr=stderr)


def _stdin(layout: Layout, path: str | None) -> int:
    if path is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    found = locate(layout, path)
    if found is None:
        raise TaskFault(f"the stdin {path} is not there")
    with opened_source(results_of(layout), found.path) as source:
        if source.is_folder:
            raise TaskFault(f"the stdin {path} is a folder")
        return os.open(f"/proc/self/fd/{source.fd}", os.O_RDONLY | os.O_CLOEXEC)


def _create(log: Path, layout: Layout, path: str | None, identity: Identity) -> int:
    """A new file; the same one under the task's own path, so that its output is written once."""
    fd = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        if identity.drop:
            os.fchown(fd, identity.uid, identity.gid)
        if path in layout.stubs:
            _replace_stub(log, layout.host(path or ""))
        elif path is not None:
            _link(log, layout, path, identity)
    except OSError as error:
        os.close(fd)
        raise TaskFault(f"{path} can't be written: {error.strerror}") from None
    return fd


def _replace_stub(log: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    os.link(log, target)


def _link(log: Path, layout: Layout, path: str, identity: Identity) -> None:
    *above, name = path.strip("/").split("/")
    with folder_beneath(layout.root, tuple(above), identity) as folder:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        os.link(log, name, dst_dir_fd=folder)


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


EXECUTOR_STARTED = "executor_start_time"
"""The entry of a log's metadata that tells since when the executor runs that is not yet in the log."""


@dataclass(frozen=True, kw_only=True)
class ExecutorLog:
    """Of an executor that has ended; the standard has no log without an exit code."""

    start_time: datetime
    end_time: datetime
    exit_code: int
    stdout: str = ""
    stderr: str = ""

    def document(self) -> TesExecutorLog:
        """Schema tesExecutorLog."""
        return {
            "start_time": exact_time(self.start_time),
            "end_time": exact_time(self.end_time),
            "stdout": self.stdout,
            "stderr": self.stderr,
            "exit_code": self.exit_code,
        }


@dataclass(frozen=True, kw_only=True)
class OutputLog:
    """A file that was delivered to `url`; `path` is the task's own."""

    url: str
    path: str
    size_bytes: int

    def document(self) -> TesOutputFileLog:
        """Schema tesOutputFileLog."""
        return {"url": self.url, "path": self.path, "size_bytes": str(self.size_bytes)}


@dataclass(frozen=True, kw_only=True)
class TaskLog:
    """`running_since`: when the executor started that follows those in `executors`; None where none runs."""

    executors: tuple[ExecutorLog, ...] = ()
    running_since: datetime | None = None
    outputs: tuple[OutputLog, ...] = ()
    system: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None

    def document(self) -> TesTaskLog:
        """Without what has not happened yet."""
        shown: TesTaskLog = {
            "logs": [one.document() for one in self.executors],
            "outputs": [one.document() for one in self.outputs],
            "system_logs": list(self.system),
        }
        started = {EXECUTOR_STARTED: exact_time(self.running_since)} if self.running_since else {}
        if metadata := {**self.metadata, **started}:
            shown["metadata"] = metadata
        if self.start_time is not None:
            shown["start_time"] = exact_time(self.start_time)
        if self.end_time is not None:
            shown["end_time"] = exact_time(self.end_time)
        return shown


class TaskLogWriter:
    """The log of one task, kept by the thread that runs it; `save` gives it to the store."""

    def __init__(self, log: TaskLog, save: Callable[[TesTaskLog], None]) -> None:
        self.log = log
        self._save = save

    def document(self) -> TesTaskLog:
        """As it is now."""
        return self.log.document()

    def save(self) -> None:
        """Gives what there is so far to the store."""
        self._save(self.document())

    def begin(self) -> None:
        """The attempt begins now."""
        self.log = replace(self.log, start_time=now())

    def end(self) -> None:
        """The attempt has ended."""
        self.log = replace(self.log, end_time=now())

    def note(self, line: str) -> None:
        """Adds a line to the system logs, once."""
        if line not in self.log.system:
            self.log = replace(self.log, system=(*self.log.system, line))

    def add_metadata(self, name: str, value: str) -> None:
        """An entry of the attempt's metadata."""
        self.log = replace(self.log, metadata={**self.log.metadata, name: value})

    def executor_started(self) -> None:
        """The next executor runs from now on; saved at once."""
        self.log = replace(self.log, running_since=now())
        self.save()

    def executor_ended(self, exit_code: int | None, stdout: str, stderr: str) -> None:
        """`exit_code` None: it never came to run, and has no log."""
        since = self.log.running_since or now()
        self.log = replace(self.log, running_since=None)
        if exit_code is not None:
            ended = ExecutorLog(start_time=since, end_time=now(), exit_code=exit_code, stdout=stdout, stderr=stderr)
            self.log = replace(self.log, executors=(*self.log.executors, ended))

    def outputs(self, files: tuple[OutputLog, ...]) -> None:
        """What was delivered."""
        self.log = replace(self.log, outputs=files)


def log_from(document: TesTaskLog) -> TaskLog:
    """What a log that was stored says, to go on with it after a restart."""
    metadata = {name: str(value) for name, value in (document.get("metadata") or {}).items()}
    running_since = parse_time(metadata.pop(EXECUTOR_STARTED, None))
    return TaskLog(
        executors=tuple(_executor_log(one) for one in document.get("logs") or [] if "exit_code" in one),
        running_since=running_since,
        system=tuple(document.get("system_logs") or []),
        metadata=metadata,
        start_time=parse_time(document.get("start_time")),
        end_time=parse_time(document.get("end_time")),
    )


def _executor_log(document: TesExecutorLog) -> ExecutorLog:
    started = parse_time(document.get("start_time")) or now()
    return ExecutorLog(
        start_time=started,
        end_time=parse_time(document.get("end_time")) or started,
        exit_code=document["exit_code"] or 0,
        stdout=document.get("stdout") or "",
        stderr=document.get("stderr") or "",
    )
