"""Which host folder stands for which path of a task: planned once, the same for every runner.

A task has a tree of its own on the host (`root`); the container path `/a/b` is `root/a/b` there. Folders that the task
may write to are mounted from it. Inputs that are files of this machine are mounted in place, read-only, and never
copied (data may be huge), but where they lie in a writable folder or in another input: those are placed in the tree.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.bubblewrap import Mount
from tes.task import FileType
from tes_service.task_request import TaskRequest, ancestors, is_beneath, parent, writable_folder

SCRATCH = "/tmp"  # noqa: S108 - the task's own, on disk instead of memory


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`writable`: the outermost container folders that the task may write to. `stubs`: files directly in `/`, each
    mounted by itself. `placed`: outermost input paths that are in the tree. `bound`: input path to its source."""

    root: Path
    writable: tuple[str, ...]
    stubs: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()
    bound: tuple[Mount, ...] = ()

    def host(self, path: str) -> Path:
        """The path in the task's tree; an input that is bound is not there."""
        return self.root / path.lstrip("/")

    def mounts(self) -> tuple[Mount, ...]:
        """Parents before what lies in them."""
        own = [Mount(source=self.host(path), target=path, writable=True) for path in (*self.writable, *self.stubs)]
        own += [Mount(source=self.host(path), target=path) for path in self.placed]
        return tuple(sorted([*own, *self.bound], key=lambda mount: mount.target.count("/")))


def declared_folders(request: TaskRequest) -> frozenset[str]:
    """Every folder that the task's own words make writable; `/` itself never. `SCRATCH` is there besides."""
    folders = {*request.volumes, *(writable_folder(output) for output in request.outputs)}
    for executor in request.executors:
        folders |= {workdir} if (workdir := executor.get("workdir")) else set()
        folders |= {parent(path) for path in (executor.get("stdout"), executor.get("stderr")) if path}
    return frozenset(folders - {"/"})


def root_files(request: TaskRequest) -> tuple[str, ...]:
    """Files directly in `/` that the task writes."""
    paths = {output.path for output in request.outputs if output.type is FileType.FILE and not output.pattern}
    for executor in request.executors:
        paths |= {path for path in (executor.get("stdout"), executor.get("stderr")) if path}
    return tuple(sorted(path for path in paths if parent(path) == "/"))


def placed_inputs(request: TaskRequest) -> frozenset[str]:
    """Paths of inputs that have to be in the tree, as they can't be mounted in place."""
    paths = {one["path"] for one in request.inputs}
    folders = declared_folders(request)
    above = {ancestor for path in (*paths, *folders) for ancestor in ancestors(path)}
    return frozenset(
        path
        for path in paths
        if path in above or path in folders or any(one in folders or one in paths for one in ancestors(path))
    )


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Without those that lie in another one."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda one: (one.count("/"), one)):
        if not any(is_beneath(path, folder) for folder in kept):
            kept.append(path)
    return tuple(kept)
