"""Attachments on their way to a run: written as they arrive, on the file system where they stay."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from common.attachment import FIELD, check_clash, safe_name
from common.errors import InvalidField
from sandbox.identity import Identity

LONGEST_NAME = 1000
"""Bytes of a whole relative name; with the folder of the run before it, a path must stay below 4096."""


class Attachment:
    """One file that is being written; its digest is known once it is closed."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def close(self) -> str:
        """Durable on return; the SHA-256 in hexadecimal digits."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()

    def abandon(self) -> None:
        self._file.close()


class Staging:
    """A folder that becomes the folder of a run; made when the first attachment comes."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.root = root
        self.digests: dict[str, str] = {}
        self.received = 0
        self._identity = identity
        self._made = False
        self._names: set[str] = set()
        self._folders: set[str] = set()
        self._open: Attachment | None = None

    @property
    def _again(self) -> Path:
        """Where a file goes whose name is there already."""
        return self.root / "again"

    @property
    def names(self) -> tuple[str, ...]:
        """The attachments, in the order in which they came."""
        return tuple(self.digests)

    def create(self, name: str) -> Attachment:
        """Begins an attachment; `InvalidField` names one whose name is not safe, or clashes with another."""
        name = self._checked(safe_name(name))
        path = self._again if name in self._names else self._folder_for(name) / PurePosixPath(name).name
        self._open = Attachment(name, path.open("xb"))
        self._names.add(name)
        return self._open

    def finish(self, attachment: Attachment) -> None:
        """The same file may come twice, as two references to it make some clients do; `InvalidField` for another."""
        digest = attachment.close()
        self._open = None
        self.received += attachment.size
        name = attachment.name
        if name not in self.digests:
            self.digests[name] = digest
            self._identity.own(self.root / "attachments" / name)
            return
        self._again.unlink()
        if digest != self.digests[name]:
            raise InvalidField(FIELD, f"the attachment {name!r} is there twice, with different contents")

    def settle(self) -> None:
        """Makes the folders durable and gives them to the foreign identity."""
        self._make_root()
        for folder in sorted(self._folders, reverse=True):
            _sync(self.root / "attachments" / folder)
        if self._names:
            _sync(self.root / "attachments")
            _sync(self.root)
        self._identity.own(self.root)

    def abandon(self) -> None:
        if self._open is not None:
            self._open.abandon()

    def _checked(self, name: str) -> str:
        if len(name.encode()) > LONGEST_NAME:
            raise InvalidField(FIELD, f"the attachment name {name[:40]!r}… is longer than {LONGEST_NAME} bytes")
        # Comparing with each name before costs too much at 10,000: only a clash goes to the one that words it.
        if name in self._folders or not self._names.isdisjoint(_parents(name)):
            check_clash(self._names, name)
        return name

    def _folder_for(self, name: str) -> Path:
        attachments = self._make_root()
        for folder in reversed(_parents(name)):
            if folder not in self._folders:
                self._identity.make_folder(attachments / folder)
                self._folders.add(folder)
        return attachments / PurePosixPath(name).parent

    def _make_root(self) -> Path:
        attachments = self.root / "attachments"
        if not self._made:
            self.root.mkdir(mode=0o700)
            self._identity.make_folder(attachments)
            self._made = True
        return attachments


def _parents(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(name).parents][:-1]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
