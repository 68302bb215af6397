"""Files of tasks that lie on other servers: fetched as inputs, stored as outputs (acceptance: tes, 6)."""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from common.errors import EngineError
from common.location import STORES, RemoteLocation, parse_location
from common.masking import bare_url
from tes_service.errors import TaskFault
from tes_service.processes import StopSignal
from tes_service.transfers import Transfer, TransferPolicy

Write = Callable[[bytes | memoryview], None]
PIECE = 1024**2
MOST_OBJECTS = 1_000_000
"""Files in one folder of an object store."""


class MissingFault(TaskFault):
    """There is nothing at the URL of an input."""


class NoSuchRemoteFile(EngineError):
    """A server has no such file."""


class FileUnchanged(Exception):
    """A file still is the version that is known."""


class Content:
    """A file that is sent: the bytes of the descriptor `fd`, from the beginning."""

    def __init__(self, fd: int, transfer: Transfer) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self._transfer = transfer

    def pieces(self) -> Iterator[bytes]:
        """All of it, one after the other; once only."""
        with self.file() as file:
            while piece := file.read(PIECE):
                yield piece

    def file(self) -> io.FileIO:
        """All of it, to be read; that raises once nobody waits for it any more."""
        return _SentFile(self.fd, self._transfer)


class _SentFile(io.FileIO):
    def __init__(self, fd: int, transfer: Transfer) -> None:
        super().__init__(fd, "rb", closefd=False)
        self._transfer = transfer

    def read(self, size: int | None = -1) -> bytes:
        with self._transfer.piece(max(size or 0, 0)):
            return super().read(-1 if size is None else size)


class InputSource(Protocol):
    """Servers of one kind, that inputs come from."""

    def receive(self, url: str, write: Write, unless: str) -> str:
        """Gives what is at the URL to `write`, in pieces; its version, a strong ETag, or "" where there is none.
        `FileUnchanged` where that is `unless`. `TransientFailure` where it makes sense to begin anew, else
        `EngineError`, which is a `NoSuchRemoteFile` where there is none."""


class OutputTarget(Protocol):
    """Servers of one kind, that outputs go to."""

    def send(self, url: str, content: Content) -> None:
        """Stores it whole or not at all; errors as of `InputSource.receive`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """One of those beneath a URL; `path` is relative to it. An empty one may stand for a folder, even for the one at
    the URL, whose path is empty."""

    path: str
    url: str
    size: int


class FolderSource(Protocol):
    """Servers of one kind, that can tell what lies beneath a URL."""

    def files(self, url: str) -> Iterator[RemoteFile]:
        """In any order; errors as of `InputSource.receive`."""


@dataclass(frozen=True, kw_only=True)
class RemoteFiles:
    """What each kind of server can do, by the scheme of its URLs; one for the whole server. `limit`: bytes of one
    input, be it a file or a folder. `spare_disk`: bytes of the disk that inputs must leave free."""

    limit: int
    spare_disk: int = 0
    policy: TransferPolicy
    sources: Mapping[str, InputSource] = field(default_factory=dict)
    targets: Mapping[str, OutputTarget] = field(default_factory=dict)
    folders: Mapping[str, FolderSource] = field(default_factory=dict)

    def fetch(self, url: str, target: int, stop: StopSignal, unless: str = "") -> str:
        """Writes what is at the URL to the open file `target`; its version there, "" where that is not told.
        `FileUnchanged` where that is `unless`. `TaskFault`, which is a `MissingFault` where there is nothing."""
        source = self.sources[_scheme(url)]
        version = ""

        def move(transfer: Transfer) -> None:
            nonlocal version

            def write(piece: bytes | memoryview) -> None:
                with transfer.piece(len(piece)) as received:
                    if received > self.limit:
                        raise EngineError(f"it is larger than the {self.limit} bytes that this server fetches")
                    self._check_disk(target)
                    _write_all(target, piece)

            os.ftruncate(target, 0)
            os.lseek(target, 0, os.SEEK_SET)
            version = source.receive(url, write, unless)

        try:
            self.policy.carry_out(f"the input {bare_url(url)} can't be fetched", move, stop)
        except TaskFault as fault:
            if isinstance(fault.__cause__, NoSuchRemoteFile):
                raise MissingFault(str(fault)) from None
            raise
        return version

    def _check_disk(self, target: int) -> None:
        found = os.fstatvfs(target)
        if found.f_bavail * found.f_frsize < self.spare_disk:
            raise TaskFault("the disk of this server is nearly full (TES_MIN_FREE_GB), so no more is fetched")

    def files(self, url: str, stop: StopSignal) -> tuple[RemoteFile, ...]:
        """All beneath the URL, folders left out; `TaskFault` where there are none, too many or too large ones."""
        source = self.folders[_scheme(url)]
        found: list[RemoteFile] = []

        def move(transfer: Transfer) -> None:
            found.clear()
            for one in source.files(url):
                with transfer.piece(0):
                    found.append(one)
                if len(found) > MOST_OBJECTS:
                    raise EngineError(f"it holds more than {MOST_OBJECTS} files")

        what = f"the input {bare_url(url)} can't be listed"
        self.policy.carry_out(what, move, stop, lowest_rate=0)
        if not found:
            raise TaskFault(f"{what}: there is nothing beneath it")
        if sum(one.size for one in found) > self.limit:
            raise TaskFault(f"{what}: it holds more than the {self.limit} bytes that this server fetches")
        return without_markers(found)

    def store(self, url: str, source: int, stop: StopSignal) -> None:
        """Stores the bytes of the open file `source`, which may be an O_PATH descriptor. `TaskFault`."""
        target = self.targets[_scheme(url)]

        def move(transfer: Transfer) -> None:
            # The thread has a descriptor of its own, as the caller's one is closed when nobody waits any more.
            with transfer.piece(0):
                fd = os.open(f"/proc/self/fd/{source}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                target.send(url, Content(fd, transfer))
            finally:
                os.close(fd)

        self.policy.carry_out(f"it can't be stored at {bare_url(url)}", move, stop, lowest_rate=0)


def _scheme(url: str) -> str:
    location = parse_location(url)
    assert isinstance(location, RemoteLocation)  # noqa: S101 - as its task was checked
    return location.scheme


def _write_all(target: int, piece: bytes | memoryview) -> None:
    rest = memoryview(piece)
    try:
        while rest:
            rest = rest[os.write(target, rest) :]
    except OSError as error:
        raise TaskFault(f"it can't be written to the disk of this server: {error.strerror}") from None


def without_markers(files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Without the empty objects that some clients store for a folder, where other files tell of it.
    `TaskFault` where a file that is none of these is in the place of a folder, too."""
    folders = {path[:at] for path in (one.path for one in files) for at, letter in enumerate(path) if letter == "/"}
    clash = next((one for one in files if one.path in folders and one.size), None)
    if clash is not None:
        raise TaskFault(f"{bare_url(clash.url)} is a file, and there are files beneath it as well")
    return tuple(one for one in files if one.path and one.path not in folders)


def child_url(url: str, path: str) -> str:
    """The URL of a file at a relative path beneath a URL. Keys of object stores, and plain paths, are literal."""
    literal = url.startswith("/") or url.split(":", 1)[0].lower() in STORES
    return f"{url.rstrip('/')}/{path if literal else quote(path, errors='surrogateescape')}"
