"""Gives what a TES delivered to the user that engines run as: some write as root, and an engine could not touch it."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from wes_service.launch.identity import Identity


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
