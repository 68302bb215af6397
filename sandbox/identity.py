"""Who foreign code runs as: never root (design, decision 4)."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`uid` and `gid` of foreign code; `drop` tells whether the launcher has to change to them."""

    uid: int
    gid: int
    drop: bool

    def argv(self, *, dies_with_parent: bool = True) -> tuple[str, ...]:
        """The prefix of a command that runs as this identity, without privileges, and dies with its parent thread."""
        change = ("--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups") if self.drop else ()
        bounding = ("--bounding-set=-all",) if self.drop else ()
        caps = ("--no-new-privs", "--inh-caps=-all", *bounding)
        death = ("--pdeathsig", "KILL") if dies_with_parent else ()
        return ("setpriv", *change, *caps, *death, "--")

    def own(self, path: Path) -> None:
        """Gives a file or folder (not what is in it) to this identity; a symlink itself, never its target."""
        if self.drop:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def make_folder(self, path: Path, mode: int = 0o700) -> Path:
        """Makes a folder that belongs to this identity; its parents must be there."""
        path.mkdir(mode=mode, exist_ok=True)
        self.own(path)
        return path


def foreign_identity(uid: int) -> Identity:
    """The configured unprivileged `uid` (needs no account) where this process is root, else this process's own."""
    if os.geteuid() == 0:
        return Identity(uid=uid, gid=uid, drop=True)
    return Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)


def can_reach(identity: Identity, path: Path) -> bool:
    """Whether every folder down to `path` lets this identity through (mode bits only)."""
    return all(_passes(identity, folder) for folder in [path, *path.resolve().parents])


def _passes(identity: Identity, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == identity.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == identity.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def own_beneath(path: Path, roots: Iterable[Path], identity: Identity) -> None:
    """Changes the owner of a file, or of a folder and all in it, where its folder lies beneath one of `roots`.

    Foreign code may change the folders meanwhile: what counts is the folder that was opened, and no link is followed
    from there. Does nothing unless this process is root.
    """
    if not identity.drop:
        return
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            real = Path(f"/proc/self/fd/{folder}").readlink()
            if any(real == root or root in real.parents for root in roots):
                _own(path.name, folder, identity)
        finally:
            os.close(folder)


def _own(name: str, folder: int, identity: Identity) -> None:
    os.chown(name, identity.uid, identity.gid, dir_fd=folder, follow_symlinks=False)
    # A folder that is deeper than Python can walk is no output: collecting says so.
    with contextlib.suppress(NotADirectoryError, RecursionError):
        for _, names, files, inner in os.fwalk(name, dir_fd=folder, follow_symlinks=False):
            for each in (*names, *files):
                os.chown(each, identity.uid, identity.gid, dir_fd=inner, follow_symlinks=False)
