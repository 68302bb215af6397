"""Where the output of an executor goes: to a file of the server's, which is also the file that the task asked for."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.identity import Identity
from tes_service.access import folder_beneath, opened_source
from tes_service.errors import TaskFault
from tes_service.excerpt import excerpt
from tes_service.layout import Layout
from tes_service.locate import locate, results_of
from tes_service.spawn import Streams
from tes_service.task import Executor

LIVE = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Capture:
    """The log files of one executor, in a folder that only the server sees."""

    folder: Path
    index: int

    def file(self, stream: str) -> Path:
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
        for stream in LIVE:
            self.file(stream).unlink(missing_ok=True)


@contextmanager
def open_streams(capture: Capture, layout: Layout, executor: Executor, identity: Identity) -> Iterator[Streams]:
    """The three descriptors that an executor is started with; `TaskFault` where its stdin is not there."""
    with ExitStack() as stack:
        stdin = _stdin(layout, executor.stdin)
        stack.callback(os.close, stdin)
        stdout = _create(capture.file("stdout"), layout, executor.stdout, identity)
        stack.callback(os.close, stdout)
        if executor.stderr is not None and executor.stderr == executor.stdout:
            capture.file("stderr").unlink(missing_ok=True)
            os.link(capture.file("stdout"), capture.file("stderr"))
            yield Streams(stdin=stdin, stdout=stdout, stderr=stdout)
            return
        stderr = _create(capture.file("stderr"), layout, executor.stderr, identity)
        stack.callback(os.close, stderr)
        yield Streams(stdin=stdin, stdout=stdout, stderr=stderr)


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
