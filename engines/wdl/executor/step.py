"""A task of the workflow as a TES task (TES 1.1.0, tesTask). Nothing here needs miniwdl."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.kit.files import file_url, is_remote, url_of
from engines.kit.task_document import (
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


@dataclass(frozen=True, kw_only=True)
class StreamFiles:
    """Where the TES brings stdout and stderr of an attempt to."""

    stdout: Path
    stderr: Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """One attempt at a task of the workflow.

    `inputs` maps paths and URLs to paths in the container, folders with a `/` at the end. `script` is a file with the
    command, for one that is too long to be an argument. `volumes`: where it has empty folders.
    """

    path: StepPath
    command: str
    script: Path
    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
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
        content: dict[str, Any] = {
            "command": self.command,
            "image": self.image,
            "environment": dict(self.environment),
            "inputs": sorted([target, identity(path)] for path, target in self.inputs.items()),
        }
        if self.volumes:
            content["volumes"] = list(self.volumes)
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
            volumes=self.volumes,
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
