"""Files and folders among those that foreign code made: opened without leaving their folder, removed at any depth."""

import contextlib
import errno
import itertools
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from common.errors import LogNotFound
from sandbox.identity import Identity

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OWNER_RIGHTS = 0o700


def open_beneath(folder: Path, relative: str) -> BinaryIO:
    """Opens a regular file below `folder` (absolute, its parents free of symlinks); `LogNotFound` for all else.

    A symlink is followed while it stays inside. What was opened is what is checked, so a link that changes meanwhile
    gains nothing; O_PATH neither waits on a pipe nor touches a device.
    """
    if "\0" in relative or ".." in relative.split("/") or relative.startswith("/"):
        raise LogNotFound
    try:
        handle = os.open(folder / relative, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise LogNotFound from None
    try:
        return _reopened(handle, folder)
    except OSError:
        raise LogNotFound from None
    finally:
        os.close(handle)


def _reopened(handle: int, folder: Path) -> BinaryIO:
    link = Path(f"/proc/self/fd/{handle}")
    inside, status = link.readlink().is_relative_to(folder), os.fstat(handle)
    if not inside or not stat.S_ISREG(status.st_mode) or is_withheld(status):
        raise LogNotFound
    return link.open("rb")


def is_withheld(status: os.stat_result) -> bool:
    """Whether it is a file with a size that nobody may read: its bytes are elsewhere, and root would read zeros."""
    return stat.S_ISREG(status.st_mode) and status.st_size > 0 and stat.S_IMODE(status.st_mode) == 0


@contextlib.contextmanager
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
    try:
        inner = os.open(part, FOLDER_FLAGS, dir_fd=fd)
    except FileNotFoundError:
        if maker is None:
            raise
        # Inputs are placed at the same time, and another one may need the same folder.
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=fd)
        inner = os.open(part, FOLDER_FLAGS, dir_fd=fd)
        if maker.drop:
            os.fchown(inner, maker.uid, maker.gid)
    os.close(fd)
    return inner


def remove_tree(folder: Path) -> bool:
    """Removes a folder and all in it, symlinks themselves; whether nothing of it is left.

    However deep it is: each folder is moved to the top before it is emptied, so that two are open at any time and no
    path grows. What is moved can't lead out, as nothing is opened through a link.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        _make_room(folder)
        with _opened(str(folder)) as top:
            _empty(top)
        folder.rmdir()
    with contextlib.suppress(OSError):
        if not folder.is_dir() or folder.is_symlink():
            folder.unlink()
    return not os.path.lexists(folder)


def remove_all_but(folder: Path, kept: Collection[str]) -> bool:
    """Removes what is in a folder, symlinks themselves, but the files and whole folders that `kept` names by relative
    path; whether that could be done. No symlink is followed."""
    whole = {PurePosixPath(path).parts for path in kept}
    if () in whole or not os.path.lexists(folder):
        return True
    parents = {()} | {parts[:depth] for parts in whole for depth in range(1, len(parts))}
    # What lies in a folder that is kept whole is not looked at.
    parents = {parts for parts in parents if not any(parts[:depth] in whole for depth in range(1, len(parts) + 1))}
    return sum(_remove_others(folder, parts, whole | parents) for parts in sorted(parents)) == 0


def _remove_others(top: Path, parts: tuple[str, ...], kept: Collection[tuple[str, ...]]) -> int:
    """In the folder `top/parts…`, where there is one; how many could not be removed."""
    try:
        with folder_beneath(top, parts) as folder:
            others = [name for name in _names(folder) if (*parts, name) not in kept]
            return sum(not _remove_one(top, folder, name) for name in others)
    except OSError as error:
        # An output may be missing, or behind a link, which is what is kept then.
        return 0 if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP} else 1


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _remove_one(top: Path, folder: int, name: str) -> bool:
    try:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            os.unlink(name, dir_fd=folder)
            return True
        # Moved to the top first, so that no path is followed that changes meanwhile.
        _make_room(name, folder)
        new = top / f".removing-{secrets.token_hex(8)}"
        os.rename(name, new, src_dir_fd=folder)
        return remove_tree(new)
    except OSError:
        return False


def _empty(top: int) -> None:
    fresh = (f".removing-{secrets.token_hex(8)}-{number}" for number in itertools.count())
    waiting = _clear(top, top, fresh)
    while waiting:
        name = waiting.pop()
        with contextlib.suppress(OSError):
            with _opened(name, top) as folder:
                waiting += _clear(folder, top, fresh)
            os.rmdir(name, dir_fd=top)


def _clear(folder: int, top: int, fresh: Iterator[str]) -> list[str]:
    """Removes what a folder holds; its folders are moved to `top`, under names that are returned."""
    moved = []
    for name in os.listdir(folder):
        # One that can't be removed is no reason to keep the others.
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                os.unlink(name, dir_fd=folder)
                continue
            _make_room(name, folder)
            new = next(fresh)
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
            moved.append(new)
    return moved


def _make_room(folder: str | Path, within: int | None = None) -> None:
    """Tools leave folders that nobody may write to, which only stop one who is not root but owns them."""
    if os.geteuid() != 0:
        status = os.lstat(folder, dir_fd=within)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
            os.chmod(folder, OWNER_RIGHTS, dir_fd=within)


@contextlib.contextmanager
def _opened(folder: str, within: int | None = None) -> Iterator[int]:
    handle = os.open(folder, FOLDER_FLAGS, dir_fd=within)
    try:
        yield handle
    finally:
        os.close(handle)
