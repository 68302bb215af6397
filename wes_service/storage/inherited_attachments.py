"""Attachments of an earlier run, as those of a new one: copied, so that who writes to one does not change the other."""

import os
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath

from sandbox.foreign_files import FOLDER_FLAGS, folder_beneath
from wes_service.storage.run_folders import RunFolders, StagingFolder

CHUNK_BYTES = 1024 * 1024
DEEPEST = 100
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class EndedRuns:
    """See `EarlierAttachments`."""

    folders: RunFolders

    def inherit(self, staging: StagingFolder, run_id: str, names: Collection[str] | None) -> None:
        """`InvalidField` where one clashes with a new one; one that is not there any more is left out."""
        folder, own = self.folders.folder(run_id), frozenset(staging.names)
        known = None if names is None else frozenset(names)
        links: list[tuple[str, str]] = []
        # There is nothing where the run had no attachments, or they were removed.
        with suppress(FileNotFoundError), folder_beneath(folder.root, (folder.attachments.name,)) as opened:
            _walk(opened, "", staging, lambda name: name not in own and (known is None or name in known), links)
        for name, target in links:
            staging.link(name, target)


def _walk(
    folder: int,
    below: str,
    staging: StagingFolder,
    is_wanted: Callable[[str], bool],
    links: list[tuple[str, str]],
) -> None:
    for entry in sorted(os.listdir(folder)):
        name = f"{below}{entry}"
        mode = os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and name.count("/") < DEEPEST:
            inner = os.open(entry, FOLDER_FLAGS, dir_fd=folder)
            try:
                _walk(inner, f"{name}/", staging, is_wanted, links)
            finally:
                os.close(inner)
        elif not is_wanted(name):
            continue
        elif stat.S_ISREG(mode):
            _copy(folder, entry, name, staging)
        elif stat.S_ISLNK(mode):
            links += _inner_link(name, os.readlink(entry, dir_fd=folder))


def _copy(folder: int, entry: str, name: str, staging: StagingFolder) -> None:
    attachment = staging.create(name)
    with os.fdopen(os.open(entry, _READ, dir_fd=folder), "rb") as source:
        while data := source.read(CHUNK_BYTES):
            attachment.write(data)
    staging.finish(attachment)


def _inner_link(name: str, target: str) -> list[tuple[str, str]]:
    """A fetched repository may have links; one that leads out of it is left out."""
    inside = normpath(PurePosixPath(name).parent / target)
    return [] if Path(target).is_absolute() or inside.split("/")[0] == ".." else [(name, target)]
