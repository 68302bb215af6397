"""A task of the workflow as a TES task (TES 1.1.0, tesTask). Nothing here needs miniwdl."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.kit.files import file_url, is_remote, url_of
from engines.kit.task_document import (
    BYTES_PER_GB,
    StepElement,
    StepPath,
    exact_name,
    step_key,
    step_name,
    task_document,
)
from engines.wdl.executor.localization import identity

CONTAINER = "/mnt/wes/wdl"
WORKDIR = f"{CONTAINER}/work"
STREAMS = f"{CONTAINER}/streams"
SCRIPT = f"{CONTAINER}/script/command"
SHELL = "/bin/bash"
LONGEST_ARGUMENT = 64 * 1024
"""Bytes; Linux takes twice as many, but not every TES does."""
CALL_FOLDER = re.compile(r"call-([A-Za-z]\w*)((?:-\d+)*)")
DISK_SIZE = re.compile(r"(?:\S+\s+)?(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)?(?:\s+(?:HDD|SSD|LOCAL))?", re.IGNORECASE)
DECIMAL_UNITS = {"": 2**30, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True, kw_only=True)
class StreamFiles:
    """Where the TES brings stdout and stderr of an attempt to."""

    stdout: Path
    stderr: Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """One attempt at a task of the workflow.

    `inputs` maps paths and URLs to paths in the container, folders with a `/` at the end. `script` is a file with the
    command, for one that is too long to be an argument.
    """

    path: StepPath
    command: str
    script: Path
    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    ignore_error: bool = False

    @property
    def name(self) -> str:
        """See `step_name`."""
        return step_name(self.path)

    @property
    def long(self) -> bool:
        """Whether the command has to be in a file."""
        return len(self.command.encode()) > LONGEST_ARGUMENT

    def key(self) -> str:
        """See `step_key`."""
        content = {
            "command": self.command,
            "image": self.image,
            "environment": dict(self.environment),
            "inputs": sorted([target, identity(path)] for path, target in self.inputs.items()),
        }
        return step_key(exact_name(self.path), self.attempt, content)

    def task(self, work: Path, streams: StreamFiles) -> dict[str, Any]:
        """The task document; `work` is the folder that the working directory is brought back to."""
        outputs = [{"type": "DIRECTORY", "url": file_url(work), "path": WORKDIR}]
        for name, path in (("stdout", streams.stdout), ("stderr", streams.stderr)):
            outputs.append({"type": "FILE", "url": file_url(path), "path": f"{STREAMS}/{name}"})
        return task_document(
            name=self.name,
            key=self.key(),
            attempt=self.attempt,
            inputs=self._inputs(),
            outputs=outputs,
            executors=[self._executor()],
            resources=self.resources,
            on_demand=True,
        )

    def _inputs(self) -> list[dict[str, str]]:
        inputs = [_input(path, target) for path, target in self.inputs.items()]
        if self.long:
            inputs.append({"type": "FILE", "url": file_url(self.script), "path": SCRIPT})
        return inputs

    def _executor(self) -> dict[str, Any]:
        executor: dict[str, Any] = {
            "image": self.image,
            "command": [SHELL, SCRIPT] if self.long else [SHELL, "-c", self.command],
            "workdir": WORKDIR,
            "env": dict(self.environment),
            "stdout": f"{STREAMS}/stdout",
            "stderr": f"{STREAMS}/stderr",
        }
        if self.ignore_error:
            executor["ignore_error"] = True
        return executor


def _input(path: str, target: str) -> dict[str, str]:
    kind = "DIRECTORY" if path.endswith("/") else "FILE"
    # miniwdl hands outputs on as links, which a TES on another machine could not follow.
    source = path if is_remote(path) else os.path.realpath(path)
    return {"type": kind, "url": url_of(source.rstrip("/")), "path": target.rstrip("/")}


def step_path(root: Path, folder: Path, target: str) -> StepPath:
    """The way from the workflow to the task that runs in `folder`; `target` is what the run itself is called.

    miniwdl names a call's folder after it, its scatter indices added, inside the folder of the workflow that calls it.
    """
    path = []
    for part in folder.relative_to(root).parts:
        match = CALL_FOLDER.fullmatch(part)
        if match:
            indices = tuple(int(index) for index in match[2].split("-")[1:])
            path.append(StepElement(name=match[1], indices=indices))
    return tuple(path) or (StepElement(name=target),)


def resources_of(runtime: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """Only what the task asks for.

    `runtime`: as miniwdl has checked it, `memory_reservation` in bytes. A task of which `preemptible` attempts may be
    on a machine that can be taken away asks for one that can't after these.
    """
    resources: dict[str, Any] = {}
    if "cpu" in runtime:
        resources["cpu_cores"] = int(runtime["cpu"])
    if "memory_reservation" in runtime:
        resources["ram_gb"] = round(runtime["memory_reservation"] / BYTES_PER_GB, 6)
    if "disks" in runtime:
        resources["disk_gb"] = round(disk_bytes(runtime["disks"]) / BYTES_PER_GB, 6)
    if runtime.get("zones"):
        resources["zones"] = list(runtime["zones"])
    if "preemptible" in runtime:
        resources["preemptible"] = attempt <= runtime["preemptible"]
    return resources


def disk_bytes(disks: object) -> int:
    """The sum of what is asked for: `100`, `"10 GiB"`, `"/mnt/data 10 GiB"`, `"local-disk 100 SSD"` or a list of them.

    A number without a unit is of GiB (WDL 1.1, disks). `ValueError` says which part is no size.
    """
    if isinstance(disks, int | float):
        return round(disks * 2**30)
    parts = disks.split(",") if isinstance(disks, str) else disks
    if not isinstance(parts, Sequence):
        raise ValueError(  # noqa: TRY004 - of the workflow, not of this program
            f"runtime.disks is not a size: {disks}"
        )
    return sum(_size(str(part)) for part in parts)


def _size(text: str) -> int:
    match = DISK_SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"runtime.disks is not a size: {text.strip()}")
    unit = (match[2] or "").upper().removesuffix("B") if (match[2] or "").upper() != "B" else "B"
    factor = BINARY_UNITS[unit[0]] if unit.endswith("I") else DECIMAL_UNITS[unit]
    return round(float(match[1]) * factor)
