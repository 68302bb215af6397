"""Where tasks may read and write on this machine: the allowed folders, checked on what was really opened."""

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from urllib.parse import unquote

from tes_service.errors import TaskFault
from wes_service.core.errors import InvalidRequest
from wes_service.launch.identity import Identity


@dataclass(frozen=True, kw_only=True)
class Places:
    """`read` and `write` are real paths (no symlinks); what may be written may be read."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()

    def may_read(self, real: Path) -> bool:
        return any(real.is_relative_to(folder) for folder in (*self.write, *self.read))

    def may_write(self, real: Path) -> bool:
        return any(real.is_relative_to(folder) for folder in self.write)

    def allows(self, path: str, *, write: bool) -> bool:
        """Whether the real path of `path`, which need not be there, is inside."""
        real = Path(os.path.realpath(path))
        return self.may_write(real) if write else self.may_read(real)


def real_places(allow: tuple[Path, ...], allow_data: tuple[Path, ...]) -> Places:
    """The folders as they are really called, however the operator named them."""
    return Places(read=tuple(one.resolve() for one in allow_data), write=tuple(one.resolve() for one in allow))


def file_path(url: str) -> str | None:
    """The path that a `file://` URL or a plain absolute path means; None for any other URL.

    A `#` or `?` that is not percent-encoded is taken as part of the name, as no file URL has a query here.
    """
    if url.startswith("/"):
        return _without_parents(url)
    scheme, colon, rest = url.partition(":")
    if not colon or scheme.lower() != "file":
        return None
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host not in {"", "localhost"}:
            raise InvalidRequest(f"names the other machine {host}")
        rest = slash + rest
    return _without_parents(unquote(rest, errors="surrogateescape"))


def _without_parents(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise InvalidRequest("must hold an absolute path")
    if ".." in path.split("/"):
        raise InvalidRequest("must not contain '..'")
    return posixpath.normpath(path)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file or folder that was opened (`fd`, O_PATH) and found to be in an allowed folder: `path` is its real path."""

    fd: int
    path: Path
    is_folder: bool
    size: int


def open_source(places: Places, path: str) -> Source:
    """Opens without reading; the caller closes `fd`. `TaskFault` where there is none, or it lies elsewhere."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise TaskFault(f"{path} can't be opened: {error.strerror}") from None
    try:
        return _checked(places, path, fd)
    except BaseException:
        os.close(fd)
        raise


def _checked(places: Places, path: str, fd: int) -> Source:
    real, status = opened_path(fd), os.fstat(fd)
    if not places.may_read(real):
        raise TaskFault(f"{path} is not inside a folder that this server may read (its real path counts)")
    if not S_ISDIR(status.st_mode) and not S_ISREG(status.st_mode):
        raise TaskFault(f"{path} is neither a file nor a folder")
    return Source(fd=fd, path=real, is_folder=S_ISDIR(status.st_mode), size=status.st_size)


def opened_path(fd: int) -> Path:
    """Where the file behind a descriptor really is, whatever its path leads to by now."""
    return Path(f"/proc/self/fd/{fd}").readlink()


def readable(identity: Identity, source: Source) -> bool:
    """Whether foreign code may read it by its mode; a server that is root must not lend it more."""
    if not identity.drop:
        return os.access(f"/proc/self/fd/{source.fd}", os.R_OK)
    status = os.fstat(source.fd)
    shift = 6 if status.st_uid == identity.uid else 3 if status.st_gid == identity.gid else 0
    wanted = 0o5 if source.is_folder else 0o4
    return status.st_mode >> shift & wanted == wanted


@contextmanager
def folder_beneath(root: Path, parts: tuple[str, ...], maker: Identity | None = None) -> Iterator[int]:
    """A descriptor of the folder `root/parts…`, never through a symlink; with a `maker`, folders that are missing are
    made and are its own. OSError where it is not so."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            fd = _enter(fd, part, maker)
        yield fd
    finally:
        os.close(fd)


def _enter(fd: int, part: str, maker: Identity | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        inner = os.open(part, flags, dir_fd=fd)
    except FileNotFoundError:
        if maker is None:
            raise
        # Inputs are placed at the same time, and another one may need the same folder.
        with suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=fd)
        inner = os.open(part, flags, dir_fd=fd)
        if maker.drop:
            os.fchown(inner, maker.uid, maker.gid)
    os.close(fd)
    return inner
