"""Where tasks may read and write on this machine, and how what lies there is opened.

Whoever can write to an allowed folder can put a symlink into it at any moment, also between a check and what follows
it. So nothing is opened by its whole path: each part is opened from the descriptor of the one before it, the text of a
symlink is read and followed from an allowed folder again, and what stands at the end is a descriptor. A path that
leaves the allowed folders is never opened, so that it does not even tell what is there.
"""

import errno
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from common.engine import RunFolder, is_safe_id
from common.errors import InvalidField
from sandbox.identity import Identity
from tes.task import TAG_RUN, TAG_TASK
from tes_service.errors import TaskFault

MOST_LINKS = 40
"""As many as the kernel follows."""
PATH_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class OutsideFault(TaskFault):
    """A path leads to where this task may not read, or not write."""


@dataclass(frozen=True, kw_only=True)
class AllowedFolder:
    """An allowed folder, or a single file. `path` is its real path, `also` another name of it.

    Foreign code can't change what leads to `trusted`; from there `path` is entered without following a symlink.
    `fixed`: it can't change what is in the folder either, so that a path in it goes on to mean the same. `fd`: it is
    open already.
    """

    path: Path
    trusted: Path
    also: Path | None = None
    read: bool = True
    write: bool = False
    fixed: bool = False
    fd: int | None = None

    def open(self) -> int:
        """A descriptor (O_PATH) of it."""
        if self.fd is not None:
            return os.dup(self.fd)
        fd = os.open(self.trusted, PATH_ONLY)
        for name in self.path.relative_to(self.trusted).parts:
            fd = _exchanged(fd, name, PATH_ONLY)
        return fd

    def below(self, path: Path) -> Path | None:
        """What is left of `path` below this folder; None where it does not begin with it."""
        for name in (self.path, self.also):
            if name is not None and path.is_relative_to(name):
                return path.relative_to(name)
        return None


@dataclass(frozen=True, kw_only=True)
class FolderAccess:
    """The folders that one task may use."""

    folders: tuple[AllowedFolder, ...]

    def check(self, path: Path, *, write: bool) -> None:
        """`OutsideFault` where the path, which need not be there, leads elsewhere."""
        walk = _Walk(self, write=write)
        try:
            walk.to(path)
        except OSError:
            return
        finally:
            walk.close()

    def holding(self, path: Path, *, write: bool) -> AllowedFolder:
        """The innermost one that may be used so and that holds the path as it is written."""
        usable = [one for one in self.folders if (one.write if write else one.read) and one.below(path) is not None]
        if not usable:
            verb = "write to" if write else "read"
            raise OutsideFault(f"{path} is not inside a folder that this task may {verb} (its real path counts)")
        return max(usable, key=lambda one: len(one.path.parts))


@dataclass(frozen=True, kw_only=True)
class AllowedFolders:
    """`always`: what every task may use. `runs`: the folder of all runs, as it is named, where there is one."""

    always: tuple[AllowedFolder, ...] = ()
    runs: Path | None = None

    def of(self, tags: Mapping[str, str]) -> FolderAccess:
        """What a task with these tags may use: of runs only the folders of its own (`InvalidField` for a wrong tag)."""
        run_id = tags.get(TAG_RUN)
        if self.runs is None or run_id is None:
            return FolderAccess(folders=self.always)
        run = RunFolder(root=self.runs / _safe(TAG_RUN, run_id))
        folders = [self._own(run.attachments), self._own(run.work, write=True)]
        if TAG_TASK in tags:
            folders.append(self._own(run.task_logs(_safe(TAG_TASK, tags[TAG_TASK])), read=False, write=True))
        return FolderAccess(folders=(*self.always, *folders))

    def _own(self, folder: Path, *, read: bool = True, write: bool = False) -> AllowedFolder:
        assert self.runs is not None  # noqa: S101 - as `of` has seen
        real = self.runs.resolve()
        path = real / folder.relative_to(self.runs)
        return AllowedFolder(path=path, trusted=real, also=folder, read=read, write=write)


def _safe(tag: str, value: str) -> str:
    if not is_safe_id(value):
        raise InvalidField(f"tags.{tag}", "is no id: letters, digits, '-' and '_' are")
    return value


def allowed_folders(allow: Iterable[Path], allow_data: Iterable[Path], runs: Path | None = None) -> AllowedFolders:
    """The operator's folders, however they are named. Only those of data are the operator's alone to change."""
    written = [_operators(one, write=True) for one in allow]
    read = [_operators(one, fixed=True) for one in allow_data]
    return AllowedFolders(always=(*written, *read), runs=None if runs is None else runs.absolute())


def _operators(folder: Path, *, write: bool = False, fixed: bool = False) -> AllowedFolder:
    real = folder.resolve()
    return AllowedFolder(path=real, trusted=real, also=folder.absolute(), write=write, fixed=fixed)


class _Walk:
    """The way down to one path: a descriptor for each folder on it, the last of them for what was found."""

    def __init__(self, access: FolderAccess, *, write: bool) -> None:
        self._access = access
        self._write = write
        self._top = Path("/")
        self._names: list[str] = []
        self._links = 0
        self.fds: list[int] = []
        self.rest: list[str] = []

    @property
    def path(self) -> Path:
        """Where this is, without symlinks."""
        return self._top.joinpath(*self._names)

    def to(self, path: Path) -> None:
        """`OutsideFault`, or OSError; `rest` is then what could not be entered."""
        todo = self._begin(path)
        while todo:
            self.rest = list(todo)
            name = todo.popleft()
            todo = self._up(todo) if name == ".." else self._down(name, todo)
        self.rest = []

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())

    def _begin(self, path: Path) -> deque[str]:
        self.close()
        folder = self._access.holding(path, write=self._write)
        below = folder.below(path)
        self.rest = list(below.parts) if below else []
        self._top, self._names = folder.path, []
        self.fds.append(folder.open())
        return deque(self.rest)

    def _down(self, name: str, todo: deque[str]) -> deque[str]:
        fd = os.open(name, PATH_ONLY, dir_fd=self.fds[-1])
        if S_ISLNK(os.fstat(fd).st_mode):
            return self._follow(fd, todo)
        self.fds.append(fd)
        self._names.append(name)
        return todo

    def _follow(self, fd: int, todo: deque[str]) -> deque[str]:
        try:
            link = os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if link.startswith("/"):
            return self._begin(Path(link).joinpath(*todo))
        return deque([*Path(link).parts, *todo])

    def _up(self, todo: deque[str]) -> deque[str]:
        if self._names:
            os.close(self.fds.pop())
            self._names.pop()
            return todo
        # An allowed folder's own path has no symlinks, so what lies above it is known without looking.
        above = self._top.parent
        while todo and todo[0] == "..":
            todo.popleft()
            above = above.parent
        return self._begin(above.joinpath(*todo))


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """A file or folder that was opened (`fd`, O_PATH) in an allowed folder. `path` is its real path, which goes on to
    mean the same where it is `fixed`."""

    fd: int
    path: Path
    is_folder: bool
    size: int
    fixed: bool = False


def open_source(access: FolderAccess, path: Path) -> OpenedSource:
    """Opens without reading; the caller closes `fd`. `TaskFault` where there is none, or it lies elsewhere."""
    walk = _Walk(access, write=False)
    try:
        walk.to(path)
        return _source(access, path, walk)
    except OSError as error:
        raise TaskFault(f"{path} can't be opened: {error.strerror}") from None
    finally:
        walk.close()


@contextmanager
def opened_source(access: FolderAccess, path: Path) -> Iterator[OpenedSource]:
    """As `open_source`, and closes it afterwards."""
    source = open_source(access, path)
    try:
        yield source
    finally:
        os.close(source.fd)


def _source(access: FolderAccess, path: Path, walk: _Walk) -> OpenedSource:
    status = os.fstat(walk.fds[-1])
    if not S_ISDIR(status.st_mode) and not S_ISREG(status.st_mode):
        raise TaskFault(f"{path} is neither a file nor a folder")
    return OpenedSource(
        fd=os.dup(walk.fds[-1]),
        path=walk.path,
        is_folder=S_ISDIR(status.st_mode),
        size=status.st_size,
        fixed=access.holding(walk.path, write=False).fixed,
    )


@contextmanager
def opened_for_writing(access: FolderAccess, path: Path) -> Iterator[tuple[int, list[str]]]:
    """A descriptor (O_PATH) of the folder `path`, or of the innermost that is there, and the names that are missing
    below it. `OutsideFault`, or OSError."""
    walk = _Walk(access, write=True)
    try:
        with suppress(FileNotFoundError):
            walk.to(path)
        if not walk.fds or ".." in walk.rest:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        yield walk.fds[-1], walk.rest
    finally:
        walk.close()


def opened_path(fd: int) -> Path:
    """Where the file behind a descriptor is now, to be told."""
    return Path(f"/proc/self/fd/{fd}").readlink()


def readable(identity: Identity, fd: int) -> bool:
    """Whether foreign code may read what was opened, by its mode; a server that is root must not lend it more."""
    if not identity.drop:
        return os.access(f"/proc/self/fd/{fd}", os.R_OK)
    status = os.fstat(fd)
    shift = 6 if status.st_uid == identity.uid else 3 if status.st_gid == identity.gid else 0
    required = 0o5 if S_ISDIR(status.st_mode) else 0o4
    return status.st_mode >> shift & required == required


def _exchanged(fd: int, name: str, flags: int) -> int:
    """`name` in the open folder, which is closed. What is no plain folder has nothing to enter: ENOTDIR."""
    try:
        return os.open(name, flags, dir_fd=fd)
    finally:
        os.close(fd)
