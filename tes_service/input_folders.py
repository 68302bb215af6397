"""Brings an input that is a folder into a task's tree, as foreign code may change the folder at the same time.

It is entered by descriptors only, so what a name leads to by then is never read in the place of what was allowed.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from tes_service.access import PLACE, Access, OutsideFault, Source, open_source, readable
from tes_service.copying import Copier, beneath
from tes_service.errors import TaskFault


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A folder of what is brought: `below` the opened `source`, and `target` in the new folder.

    `above`: the folders (device, inode) that lead to it, as a symlink among them may lead back.
    """

    source: Source
    below: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    above: frozenset[tuple[int, int]] = frozenset()

    def path(self, name: str) -> Path:
        return self.source.path.joinpath(*self.below, name)


@dataclass(frozen=True, kw_only=True)
class FolderInput:
    """`linked`: files are other names of the same ones, and symlinks stay as they are, as in a folder that is mounted.
    Otherwise files are copies, and what a symlink out of the folder leads to is in its place."""

    access: Access
    copier: Copier
    source: Source
    linked: bool
    _stack: ExitStack = field(default_factory=ExitStack)

    def bring(self, folder: int, name: str) -> None:
        """As `name` in the open `folder`. `TaskFault`, or OSError."""
        top = self.copier.enter(folder, name)
        with self._stack:
            self._stack.callback(os.close, top)
            todo = [_Part(source=self.source)]
            while todo:
                todo += self._one(todo.pop(), top)

    def _one(self, part: _Part, top: int) -> list[_Part]:
        """Everything in one folder but for what is in its folders, which are returned."""
        with beneath(part.source.fd, part.below) as reader, beneath(top, part.target) as writer:
            status = os.fstat(reader)
            above = part.above | {(status.st_dev, status.st_ino)}
            with os.scandir(reader) as entries:
                names = sorted(entry.name for entry in entries)
            return [inner for name in names for inner in self._entry(part, above, name, reader, writer)]

    def _entry(
        self, part: _Part, above: frozenset[tuple[int, int]], name: str, reader: int, writer: int
    ) -> Iterator[_Part]:
        self.copier.stop()
        fd = os.open(name, PLACE, dir_fd=reader)
        try:
            mode = os.fstat(fd).st_mode
            if S_ISDIR(mode):
                os.close(self.copier.enter(writer, name))
                yield _Part(source=part.source, below=(*part.below, name), target=(*part.target, name), above=above)
            elif S_ISREG(mode):
                self._file(fd, writer, name)
            elif S_ISLNK(mode):
                yield from self._symlink(part, above, name, os.readlink("", dir_fd=fd), writer)
        finally:
            os.close(fd)

    def _file(self, fd: int, writer: int, name: str) -> None:
        if self.linked and self.copier.link(fd, writer, name):
            return
        if not readable(self.copier.identity, fd):
            problem = f"holds {name}, which uid {self.copier.identity.uid}, which tasks run as, can't read"
            raise TaskFault(f"the input {self.source.path} {problem}")
        self.copier.copy(fd, writer, name)

    def _symlink(
        self, part: _Part, above: frozenset[tuple[int, int]], name: str, text: str, writer: int
    ) -> Iterator[_Part]:
        if self.linked or self._stays(part, text):
            self.copier.symlink(text, writer, name)
            return
        with ExitStack() as until_here:
            found = self._followed(part, name)
            until_here.callback(os.close, found.fd)
            status = os.fstat(found.fd)
            if not found.is_folder:
                self._file(found.fd, writer, name)
                return
            if (status.st_dev, status.st_ino) in above:
                problem = f"holds {_told(part, name)}, a symlink to a folder that holds it"
                raise TaskFault(f"the input {self.source.path} {problem}")
            os.close(self.copier.enter(writer, name))
            self._stack.push(until_here.pop_all())
        yield _Part(source=found, target=(*part.target, name), above=above)

    def _stays(self, part: _Part, text: str) -> bool:
        """Whether a symlink of the input itself means the same in its new place; what is copied from elsewhere has
        none that do."""
        folder = str(self.source.path)
        lexical = os.path.normpath(part.path("").joinpath(text))
        return part.source is self.source and not text.startswith("/") and lexical.startswith(f"{folder}/")

    def _followed(self, part: _Part, name: str) -> Source:
        problem = f"the input {self.source.path} holds {_told(part, name)}, a symlink that leaves the allowed folders"
        try:
            return open_source(self.access, part.path(name))
        except OutsideFault:
            raise TaskFault(problem) from None
        except TaskFault as fault:
            raise TaskFault(f"{problem} or leads nowhere ({fault})") from None


def _told(part: _Part, name: str) -> str:
    return "/".join((*part.target, name))
