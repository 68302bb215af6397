"""Puts what was fetched among the attachments. What was attached stays, and nothing is written outside."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from common.attachment import safe_name
from common.errors import EngineError, InvalidField

LISTED_NAMES = 10


@dataclass(frozen=True, kw_only=True)
class WrittenFiles:
    """How many files were written, and what a person should know of it."""

    count: int
    lines: tuple[str, ...] = ()


@dataclass(kw_only=True)
class AttachmentTree:
    """The folder of attachments, to which nobody else writes meanwhile."""

    root: Path
    attached: frozenset[str] = field(init=False)
    count: int = 0
    kept: list[str] = field(default_factory=list)
    _links: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        found = (Path(folder) / name for folder, _, names in os.walk(self.root) for name in names)
        self.attached = frozenset(path.relative_to(self.root).as_posix() for path in found)

    def place(self, files: Mapping[str, bytes]) -> WrittenFiles:
        """Writes all of them."""
        for name, content in files.items():
            try:
                self.write(safe_name(name), content)
            except InvalidField:
                raise EngineError(f"the workflow refers to a file with the name {name!r}, which is not safe") from None
        return WrittenFiles(count=self.count, lines=tuple(self.kept_lines()))

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:
        """Writes a file whose name is safe, unless one was attached under it."""
        path = self._free(name)
        if path is None:
            return
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o755 if executable else 0o644)
        self.count += 1

    def link(self, name: str, target: str) -> None:
        """Makes a symlink; only once all files are written, and `checked_links` comes after the last."""
        path = self._free(name)
        if path is not None:
            path.symlink_to(target)
            self._links.append(path)

    def checked_links(self) -> list[str]:
        """Removes the links that lead outside of the folder; their names."""
        root = os.path.realpath(self.root)
        outside = [link for link in self._links if not Path(os.path.realpath(link)).is_relative_to(root)]
        for link in outside:
            link.unlink()
        return [link.relative_to(self.root).as_posix() for link in outside]

    def kept_lines(self) -> list[str]:
        """For the run's log: what was not written, as an attachment has that name."""
        return [f"Attached, so not fetched: {listed(self.kept)}."] if self.kept else []

    def _free(self, name: str) -> Path | None:
        """Where to write; None where an attachment is there already."""
        if name in self.attached:
            self.kept.append(name)
            return None
        path = self.root / name
        clash = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in self.attached), None)
        if clash or path.is_dir():
            raise EngineError(f"the attachment {clash or name!r} is in the way of the workflow's own file {name!r}")
        self._make_folders(name)
        return path

    def _make_folders(self, name: str) -> None:
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            folder = self.root / parent
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink():
                raise EngineError(f"{str(parent)!r} is a link and a folder at once")


def counted(number: int) -> str:
    """`1 file`, `2 files`."""
    return f"{number} file{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - LISTED_NAMES} more" if len(every) > LISTED_NAMES else ""
    return ", ".join(every[:LISTED_NAMES]) + more
