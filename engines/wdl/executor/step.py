"""A task of the workflow as a TES task (TES 1.1.0, tesTask). Nothing here needs miniwdl."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.cwl.executor.staging import file_url, is_remote, url_of
from engines.cwl.executor.step import TAG_ATTEMPT, TAG_KEY, TAG_STEP
from engines.wdl.executor.call import Call, label_of
from engines.wdl.executor.placement import identity

CONTAINER = "/mnt/wes/wdl"
WORKDIR = f"{CONTAINER}/work"
STREAMS = f"{CONTAINER}/streams"
SCRIPT = f"{CONTAINER}/script/command"
SHELL = "/bin/bash"
LONGEST_ARGUMENT = 64 * 1024
"""Bytes; Linux takes twice as many, but not every TES does."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Where stdout and stderr of an attempt lie."""

    stdout: Path
    stderr: Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """One attempt's task. `inputs` maps paths and URLs to places in the container, folders with a `/` at the end.

    `script` is a file with the command, for one that is too long to be an argument.
    """

    calls: tuple[Call, ...]
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
        return label_of(self.calls)

    @property
    def long(self) -> bool:
        return len(self.command.encode()) > LONGEST_ARGUMENT

    def key(self) -> str:
        """The same for the same work in a run, also when the engine is started again (design, decision 9)."""
        content = {
            "command": self.command,
            "image": self.image,
            "environment": dict(self.environment),
            "inputs": sorted([place, identity(path)] for path, place in self.inputs.items()),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{'/'.join(call.exact for call in self.calls)}#{self.attempt}:{digest[:32]}"

    def task(self, work: Path, streams: Streams) -> dict[str, Any]:
        """The task document; `work` is the folder that the working directory is brought back to."""
        outputs = [{"type": "DIRECTORY", "url": file_url(str(work)), "path": WORKDIR}]
        for name, path in (("stdout", streams.stdout), ("stderr", streams.stderr)):
            outputs.append({"type": "FILE", "url": file_url(str(path)), "path": f"{STREAMS}/{name}"})
        task: dict[str, Any] = {
            "name": self.name,
            "inputs": self._inputs(),
            "outputs": outputs,
            "executors": [self._executor()],
            "tags": {TAG_STEP: self.name, TAG_KEY: self.key(), TAG_ATTEMPT: str(self.attempt)},
        }
        if self.resources:
            task["resources"] = dict(self.resources)
        return task

    def _inputs(self) -> list[dict[str, str]]:
        found = [_input(path, place) for path, place in self.inputs.items()]
        if self.long:
            found.append({"type": "FILE", "url": file_url(str(self.script)), "path": SCRIPT})
        return found

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


def _input(path: str, place: str) -> dict[str, str]:
    kind = "DIRECTORY" if path.endswith("/") else "FILE"
    # miniwdl hands outputs on as links, which a TES on another machine could not follow.
    source = path if is_remote(path) else os.path.realpath(path)
    return {"type": kind, "url": url_of(source.rstrip("/")), "path": place.rstrip("/")}
