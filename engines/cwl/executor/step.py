"""A command line tool as a TES task (TES 1.1.0, tesTask). Nothing here needs cwltool."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from engines.kit.files import file_url, url_of
from engines.kit.task_document import (
    BYTES_PER_GB,
    LONGEST_CONTENT,
    StepPath,
    exact_name,
    step_key,
    step_name,
    task_document,
)

SUCCESS, TEMPORARY, PERMANENT = "success", "temporaryFail", "permanentFail"
"""As cwltool calls the ways in which a step ends."""
COPY_FROM = "/var/lib/cwl-copy"
"""Where files lie that the shell copies into the working directory, to be changed there."""
BYTES_PER_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ExitCodes:
    """Which exit codes mean what (CWL v1.2, CommandLineTool); 0 is success where the tool does not list it."""

    success: frozenset[int] = frozenset()
    temporary: frozenset[int] = frozenset()
    permanent: frozenset[int] = frozenset()

    def status(self, code: int) -> str:
        """One of `SUCCESS`, `TEMPORARY` and `PERMANENT`."""
        if code in self.success:
            return SUCCESS
        if code in self.temporary:
            return TEMPORARY
        if code in self.permanent or code != 0:
            return PERMANENT
        return SUCCESS


@dataclass(frozen=True, kw_only=True)
class InputEntry:
    """A file or directory of a step, as cwltool's path mapper has it.

    `target`: its path in the container. `source`: a path of the run's machine, a URL, or for a made directory `_:…`.
    `text`: the whole content of a made file, whose `source` is a copy of it. `writable`: the tool may change it, and
    gets a copy of its own. `streamable`: it is read once, from its beginning to its end. `identity`: what stands for
    the content in the step's key.
    """

    target: str
    source: str
    directory: bool = False
    writable: bool = False
    text: str | None = None
    streamable: bool = False
    identity: str = ""

    @property
    def made(self) -> bool:
        """Whether it is a directory that nothing on this machine stands for yet."""
        return self.source.startswith("_:")


@dataclass(frozen=True, kw_only=True)
class StepStaging:
    """What a task needs so that the tool sees its files: TES inputs, and shell commands to run before it."""

    inputs: tuple[dict[str, Any], ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ToolResources:
    """What a tool asks for, where it does: cores, memory and disk in MiB, graphics cards, a network or none."""

    cores: float | None = None
    ram: float | None = None
    disk: float | None = None
    gpus: int = 0
    network: bool | None = None

    def as_tes(self) -> dict[str, Any]:
        """Without what the tool does not ask for (TES 1.1.0, tesResources)."""
        resources: dict[str, Any] = {}
        if self.cores is not None:
            resources["cpu_cores"] = max(1, -int(-self.cores // 1))
        if self.ram is not None:
            resources["ram_gb"] = round(self.ram * BYTES_PER_MIB / BYTES_PER_GB, 6)
        if self.disk is not None:
            resources["disk_gb"] = round(self.disk * BYTES_PER_MIB / BYTES_PER_GB, 6)
        if parameters := self._backend_parameters():
            resources["backend_parameters"] = parameters
        return resources

    def _backend_parameters(self) -> dict[str, str]:
        """What the TES standard has no fields for."""
        parameters = {"gpu": str(self.gpus)} if self.gpus else {}
        return parameters if self.network is None else {**parameters, "network": str(self.network).lower()}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command line tool with all that its task needs.

    `outdir` is the working directory in the container, `stdout` and `stderr` are names relative to it, `stdin` is a
    path in the container. `entries`: the files it sees. `ignore_error`: an exit code other than 0 may mean success.
    """

    path: StepPath
    command: Sequence[str]
    image: str
    outdir: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    entries: tuple[InputEntry, ...] = ()
    resources: ToolResources = ToolResources()
    ignore_error: bool = False

    @property
    def name(self) -> str:
        """See `step_name`."""
        return step_name(self.path)

    def key(self, attempt: int) -> str:
        """See `step_key`. The names of stdout and stderr are left out, as cwltool makes some of them up."""
        content = {
            "command": list(self.command),
            "image": self.image,
            "environment": dict(self.environment),
            "outdir": self.outdir,
            "stdin": self.stdin,
            "inputs": sorted([entry.target, entry.identity or entry.source, entry.writable] for entry in self.entries),
        }
        return step_key(exact_name(self.path), attempt, content)

    def task(self, out: Path, empty: Path, attempt: int) -> dict[str, Any]:
        """The task document; `out` is the folder that the working directory is brought back to."""
        staging = stage(self.entries, self.outdir, empty)
        return task_document(
            name=self.name,
            key=self.key(attempt),
            attempt=attempt,
            inputs=staging.inputs,
            outputs=[{"type": "DIRECTORY", "url": file_url(out), "path": self.outdir}],
            executors=[self._executor(staging.commands)],
            resources=self.resources.as_tes(),
            on_demand=True,
        )

    def _executor(self, commands: Sequence[str]) -> dict[str, Any]:
        executor: dict[str, Any] = {
            "image": self.image,
            "command": wrap(self.command, commands, self.stdin),
            "workdir": self.outdir,
            "env": dict(self.environment),
        }
        for stream in ("stdout", "stderr"):
            name = getattr(self, stream)
            if name:
                executor[stream] = f"{self.outdir}/{name}"
        if self.ignore_error:
            executor["ignore_error"] = True
        return executor


def stage(entries: Iterable[InputEntry], outdir: str, empty: Path) -> StepStaging:
    """`outdir` is the tool's working directory in the container; `empty` a folder that has nothing in it."""
    entries = tuple(entries)
    inputs: list[dict[str, Any]] = []
    commands: list[str] = []
    for number, entry in enumerate(entries, 1):
        if entry.made:
            _make_directory(entry, entries, outdir, empty, inputs, commands)
        elif entry.writable:
            beside = f"{COPY_FROM}/{number}/{PurePosixPath(entry.target).name}"
            inputs.append(_input(entry, beside))
            commands.append(_copy(beside, entry.target))
        else:
            inputs.append(_input(entry, entry.target))
    return StepStaging(inputs=tuple(inputs), commands=tuple(commands))


def _make_directory(
    entry: InputEntry,
    entries: Sequence[InputEntry],
    outdir: str,
    empty: Path,
    inputs: list[dict[str, Any]],
    commands: list[str],
) -> None:
    inside = [other for other in entries if other.target.startswith(entry.target + "/")]
    if _is_inside(entry.target, outdir):
        commands.append(f"mkdir -p {shlex.quote(entry.target)}")
    elif not inside:
        # Only the working directory is sure to be writable, so a directory elsewhere has to come as an input.
        inputs.append({"type": "DIRECTORY", "url": file_url(empty), "path": entry.target})


def wrap(command: Sequence[str], commands: Sequence[str], stdin: str | None) -> list[str]:
    """The command, in a shell where files have to be prepared or its standard input comes from one.

    `executor.stdin` is never used: a known TES server truncates the user's file (acceptance/engines).
    """
    if not commands and stdin is None:
        return list(command)
    source = f" < {shlex.quote(stdin)}" if stdin is not None else ""
    script = " && ".join([*commands, f'exec "$@"{source}'])
    return ["/bin/sh", "-c", script, "sh", *command]


def _input(entry: InputEntry, path: str) -> dict[str, Any]:
    kind = "DIRECTORY" if entry.directory else "FILE"
    if entry.text is not None and len(entry.text.encode()) <= LONGEST_CONTENT:
        return {"type": kind, "content": entry.text, "path": path}
    item: dict[str, Any] = {"type": kind, "url": url_of(entry.source), "path": path}
    return {**item, "streamable": True} if entry.streamable else item


def _copy(source: str, target: str) -> str:
    folder = shlex.quote(str(PurePosixPath(target).parent))
    quoted = shlex.quote(target)
    # The copy of a folder into one that exists would land inside it.
    return f"mkdir -p {folder} && cp -R {shlex.quote(source)} {quoted} && chmod -R u+w {quoted}"


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
