"""A step of a workflow as a TES task (TES 1.1.0, tesTask). Nothing here needs cwltool."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .staging import Entry, file_url, stage, wrap

TAG_STEP = "wes.step"
TAG_KEY = "wes.step_key"
TAG_ATTEMPT = "wes.attempt"
MIB = 1024 * 1024
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class PathElement:
    """One step of the way from the workflow to a tool; `index` is its place in a scatter, from 0, or None."""

    name: str
    index: int | None = None

    @property
    def label(self) -> str:
        return f"{self.name}_{self.index + 1}" if self.index else self.name

    @property
    def exact(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a tool asks for, where it does: cores, memory and disk in MiB."""

    cores: float | None = None
    ram: float | None = None
    disk: float | None = None

    def as_tes(self) -> dict[str, Any]:
        wanted: dict[str, Any] = {}
        if self.cores is not None:
            wanted["cpu_cores"] = max(1, -int(-self.cores // 1))
        if self.ram is not None:
            wanted["ram_gb"] = round(self.ram * MIB / GIGABYTE, 6)
        if self.disk is not None:
            wanted["disk_gb"] = round(self.disk * MIB / GIGABYTE, 6)
        return wanted


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command line tool with all that its task needs.

    `outdir` is the working directory in the container, `stdout` and `stderr` are names relative to it, `stdin` is a
    path in the container. `entries`: the files it sees. `ignore_error`: an exit code other than 0 may mean success.
    """

    path: tuple[PathElement, ...]
    command: Sequence[str]
    image: str
    outdir: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    entries: tuple[Entry, ...] = ()
    resources: Resources = Resources()
    ignore_error: bool = False

    @property
    def name(self) -> str:
        """The workflow's own name of the step: `align`, `align_2` in a scatter, `sub.align` in a subworkflow."""
        return ".".join(element.label for element in self.path)

    def key(self, attempt: int) -> str:
        """The same for the same work in a run, also when the engine is started again (design, decision 9).

        The names of stdout and stderr are left out: cwltool makes some of them up.
        """
        content = {
            "command": list(self.command),
            "image": self.image,
            "environment": dict(self.environment),
            "outdir": self.outdir,
            "stdin": self.stdin,
            "inputs": sorted([entry.target, entry.identity or entry.source, entry.writable] for entry in self.entries),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        path = "/".join(element.exact for element in self.path)
        return f"{path}#{attempt}:{digest[:32]}"

    def task(self, out: Path, empty: Path, attempt: int) -> dict[str, Any]:
        """The task document; `out` is the folder that the working directory is brought back to."""
        staging = stage(self.entries, self.outdir, empty)
        task: dict[str, Any] = {
            "name": self.name,
            "inputs": list(staging.inputs),
            "outputs": [{"type": "DIRECTORY", "url": file_url(str(out)), "path": self.outdir}],
            "executors": [self._executor(staging.commands)],
            "tags": {TAG_STEP: self.name, TAG_KEY: self.key(attempt), TAG_ATTEMPT: str(attempt)},
        }
        resources = self.resources.as_tes()
        if resources:
            task["resources"] = resources
        return task

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
