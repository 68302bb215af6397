"""What a task has to deliver of its outputs, and what is in a folder of them (TES 1.1.0, tesOutput)."""

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from tes.task import FileType
from tes_service.errors import TaskFault
from tes_service.layout import SCRATCH, Layout
from tes_service.output_paths import FolderListing, ResolvedPath, TreeEntry, inside_path, listing, locate, matches
from tes_service.remote_files import child_url
from tes_service.task_log import OutputLog
from tes_service.task_request import OutputRequest, TaskRequest, is_beneath


@dataclass(frozen=True, kw_only=True)
class Deliverable:
    """One file or folder to deliver: `path` in the task, `url` where to, and what it is on the host."""

    path: str
    url: str
    found: ResolvedPath


def select(request: TaskRequest, layout: Layout) -> tuple[list[Deliverable], list[str]]:
    """What there is to deliver, and the paths of plain outputs that are missing."""
    items: list[Deliverable] = []
    missing: list[str] = []
    for output in request.outputs:
        if output.pattern:
            items += [_matched(output, path, found) for path, found in matches(layout, output.path)]
            continue
        found = locate(layout, output.path)
        if found is None or _untouched(layout, output, found):
            missing.append(output.path)
        else:
            _check_type(output, found)
            items.append(Deliverable(path=output.path, url=output.url, found=found))
    return items, missing


def _matched(output: OutputRequest, path: str, found: ResolvedPath) -> Deliverable:
    rest = path[len(output.prefix or "") :].lstrip("/")
    return Deliverable(path=path, url=child_url(output.url, rest), found=found)


def _untouched(layout: Layout, output: OutputRequest, found: ResolvedPath) -> bool:
    """A file directly in `/` is made before the task, to be mounted; it counts once the task has written to it."""
    if output.path not in layout.stubs:
        return False
    status = found.path.stat()
    return status.st_size == 0 and status.st_mtime_ns == 0


def _check_type(output: OutputRequest, found: ResolvedPath) -> None:
    is_folder = found.path.is_dir()
    if is_folder != (output.type is FileType.DIRECTORY):
        raise TaskFault(f"the output {output.path} is {'a folder' if is_folder else 'no folder'}, not a {output.type}")


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What became of one item. `notes`: lines for the system log."""

    files: tuple[OutputLog, ...] = ()
    notes: tuple[str, ...] = ()


def regular_file(item: Deliverable) -> os.stat_result:
    """Its status; `TaskFault` where it is a socket, say."""
    status = item.found.path.lstat()
    if not S_ISREG(status.st_mode):
        raise TaskFault(f"the output {item.path} is no regular file")
    return status


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """A folder to deliver. `named`: what the task itself calls an input, output or volume."""

    item: Deliverable
    layout: Layout
    named: frozenset[str]

    def listing(self, *, links: bool) -> FolderListing:
        """What is in it; where it is to have no `links`, what they lead to is listed in the place of each."""
        return listing(self.item.found.path, self._follow, links=links)

    def delivered(self, found: FolderListing) -> Delivered:
        """What is told of it once all that was listed is where it belongs."""
        return Delivered(
            files=tuple(self.log(entry) for entry in found.entries if entry.kind != "folder"),
            notes=tuple(
                f"the output {self.item.path} holds {name}, which leads nowhere and was left out"
                for name in found.skipped
            ),
        )

    def log(self, entry: TreeEntry) -> OutputLog:
        """Where a file of it goes."""
        url = child_url(self.item.url, entry.path)
        return OutputLog(url=url, path=f"{self.item.path}/{entry.path}", size_bytes=entry.size)

    def _follow(self, link: Path) -> Path | None:
        path = inside_path(self.layout, link)
        found = None if path is None else locate(self.layout, path)
        return None if found is None or self._ends_with_task(found.path) else found.path

    def _ends_with_task(self, path: Path) -> bool:
        """Whether it lies in the /tmp that each task has, and nothing of that was asked for: on other TES servers a
        link to it leads nowhere, and in CWL it must not be a tool's output."""
        inside = inside_path(self.layout, path)
        if inside is None or not is_beneath(inside, SCRATCH):
            return False
        return not any(is_beneath(inside, folder) for folder in self.named)
