"""What a run's engine and tasks may name, and where it lies: one type, one parser (design, decision 14).

A run is seen at one root, whatever machine it is on, whatever holds its files. Only who hands a task to a TES, or reads
what an engine left, turns a location into a path of this machine; with it go the symlinks that an engine or a task has
made, whose texts are paths that they see.
"""

import errno
import os
import re
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from common.engine import RunFolder
from common.errors import InvalidLocation
from common.location import RemoteLocation, file_url, parse_location

MOST_LINKS = 40
"""As many as the kernel follows."""


@dataclass(frozen=True, kw_only=True)
class RunLocation:
    """A file or folder of the run. `path` is relative to its root and normal, e.g. `work/out/a.txt`."""

    path: PurePosixPath

    def is_in(self, *folders: Path) -> bool:
        """Whether it is one of these folders of the run, named as in `RunFolder`, or lies in one."""
        return bool(self.path.parts) and self.path.parts[0] in {folder.name for folder in folders}


@dataclass(frozen=True, kw_only=True)
class DataLocation:
    """In a folder whose files workflows may read in place. `path` is absolute, the same inside and outside."""

    path: Path


FileInRun = RunLocation | DataLocation
TaskLocation = FileInRun | RemoteLocation
"""All that there is for a task to name."""


@dataclass(frozen=True, kw_only=True)
class RunRoot:
    """`data`: folders whose files may be read in place, by all names that they have."""

    folder: RunFolder
    data: tuple[Path, ...] = ()

    def parse(self, text: str) -> TaskLocation:
        """Without a look at any file; `InvalidLocation` says, behind the name of a field, what is wrong."""
        location = parse_location(text)
        if isinstance(location, RemoteLocation):
            return location
        found = self.located(location.path)
        if found is None:
            problem = f"{location.path} is neither in this run's folder nor in a folder that --allow-data names"
            raise InvalidLocation(problem)
        return found

    def located(self, path: Path) -> FileInRun | None:
        """What a path that the engine or a task sees stands for; None for a path that they don't."""
        for root in self._names:
            if path.is_relative_to(root):
                return RunLocation(path=PurePosixPath(path.relative_to(root)))
        return DataLocation(path=path) if any(path.is_relative_to(folder) for folder in self.data) else None

    def seen_path(self, location: FileInRun) -> Path:
        """Where the engine and its tasks see it."""
        return location.path if isinstance(location, DataLocation) else self.folder.seen.root / location.path

    def seen_url(self, location: TaskLocation) -> str:
        """As the engine and its tasks name it, percent-encoded."""
        return location.url if isinstance(location, RemoteLocation) else file_url(self.seen_path(location))

    def host_path(self, location: FileInRun) -> Path:
        """Where it lies on this machine."""
        return location.path if isinstance(location, DataLocation) else self.folder.root / location.path

    def followed(self, location: FileInRun) -> FileInRun | None:
        """What it really is, its symlinks followed as the engine sees them; None where one leads out of the run and the
        data, or can't be looked at. What is not there is as it is named.

        Whoever writes to the run may change a link a moment later: what is opened must be looked at again.
        """
        return _PathResolution(self, location).to_the_end()

    def real_path(self, seen: Path) -> Path | None:
        """Where what the engine sees at this path really lies on this machine, as `followed` has it."""
        location = self.located(Path(os.path.normpath(seen)))
        real = None if location is None else self.followed(location)
        return None if real is None else self.host_path(real)

    def with_seen_paths(self, text: str) -> str:
        """A sentence in which the run's folder on this machine goes by the path that the engine knows."""
        return self._of_host.sub(str(self.folder.seen.root), text) if self._of_host else text

    @cached_property
    def _names(self) -> tuple[Path, ...]:
        """Without a sandbox an engine may follow a link in the path of the folder itself."""
        root = self.folder.seen.root
        return (root,) if self.folder.seen_root else tuple(dict.fromkeys([root, Path(os.path.realpath(root))]))

    @cached_property
    def _of_host(self) -> re.Pattern[str] | None:
        if self.folder.seen.root == self.folder.root:
            return None
        plain = str(self.folder.root)
        spellings = dict.fromkeys([plain, file_url(self.folder.root).removeprefix("file://"), os.path.realpath(plain)])
        return re.compile(rf"(?:{'|'.join(map(re.escape, spellings))})(?![\w.-])")


class _PathResolution:
    """The way down to one location: `_names` are passed, without a symlink, below the folder where it began."""

    def __init__(self, root: RunRoot, location: FileInRun) -> None:
        self._root = root
        self._links = 0
        self._seen, self._host, self._names, self._todo = "", "", list[str](), deque[str]()
        self._begin(location)

    def to_the_end(self) -> FileInRun | None:
        """None where it leaves what the run may name."""
        while self._todo:
            name = self._todo.popleft()
            if not (self._up() if name == ".." else self._down(name)):
                return None
        return self._root.located(Path(self._seen, *self._names))

    def _begin(self, location: FileInRun) -> None:
        """What leads to a run, or to data, is the operator's: no link on it is anybody else's."""
        if isinstance(location, RunLocation):
            folder = self._root.folder
            self._seen, self._host, rest = str(folder.seen.root), str(folder.root), location.path.parts
        else:
            data = next(one for one in self._root.data if location.path.is_relative_to(one))
            self._seen = self._host = str(data)
            rest = location.path.relative_to(data).parts
        self._names, self._todo = [], deque(rest)

    def _elsewhere(self, path: Path) -> bool:
        location = self._root.located(path)
        if location is not None:
            self._begin(location)
        return location is not None

    def _down(self, name: str) -> bool:
        self._names.append(name)
        try:
            text = os.readlink("/".join([self._host, *self._names]))  # noqa: PTH115 - once for each part of each file
        except OSError as error:
            # What is there and no link (EINVAL), and what is not there, is as it is named.
            return error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}
        self._names.pop()
        self._links += 1
        if self._links > MOST_LINKS:
            return False
        if text.startswith("/"):
            return self._elsewhere(Path(text).joinpath(*self._todo))
        self._todo.extendleft(reversed(Path(text).parts))
        return True

    def _up(self) -> bool:
        if self._names:
            self._names.pop()
            return True
        above = Path(self._seen).parent
        while self._todo and self._todo[0] == "..":
            self._todo.popleft()
            above = above.parent
        return self._elsewhere(above.joinpath(*self._todo))
