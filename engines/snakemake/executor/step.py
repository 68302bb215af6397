"""A job of the workflow as a TES task (TES 1.1.0, tesTask). Nothing here needs Snakemake."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

TAG_STEP = "wes.step"
TAG_KEY = "wes.step_key"
TAG_ATTEMPT = "wes.attempt"
SCRIPTS = "/var/lib/wes-step"
"""Where the scripts of a step lie in its container."""
LONGEST_CONTENT = 128 * 1024
"""Bytes; TES 1.1.0, tesInput.content."""
LONGEST_WORD = 120 * 1024
"""Bytes; a Linux system takes 128 KiB for one argument."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One command of a step, in its own image, and the script that it runs in.

    `times`: how often it runs. `nested`: it is Snakemake itself. `benchmark`: the file for its times, if any.
    """

    image: str
    script: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    nested: bool = False
    benchmark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A job, or a group of jobs, with all that its task needs. Paths are absolute, the same inside and outside.

    `inputs` and `outputs` are files or folders, `directories` those of the outputs that are folders.
    """

    name: str
    attempt: int
    work: Path
    parts: tuple[Part, ...]
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    directories: frozenset[Path] = frozenset()
    resources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same work in a run, also when the engine is started again (design, decision 9)."""
        content = {
            "parts": [[part.image, part.script, list(part.command), part.times] for part in self.parts],
            "inputs": sorted(str(path) for path in self.inputs),
            "outputs": sorted(str(path) for path in self.outputs),
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.name}#{self.attempt}:{digest[:32]}"

    def task(self) -> dict[str, Any]:
        scripts = [(f"{SCRIPTS}/{number}.sh", part) for number, part in enumerate(self.parts, 1)]
        task: dict[str, Any] = {
            "name": self.name,
            "inputs": [*map(_input, outermost(self.inputs)), *(self._text(path, text) for path, text in self._texts)],
            "outputs": [self._output(path) for path in self.outputs],
            "executors": [self._executor(path, part) for path, part in scripts for _ in range(part.times)],
            "tags": {TAG_STEP: self.name, TAG_KEY: self.key, TAG_ATTEMPT: str(self.attempt)},
        }
        if self.resources:
            task["resources"] = dict(self.resources)
        return task

    def long_texts(self) -> dict[Path, str]:
        """Files that have to be there before the task is sent: texts that are too long to be in its document."""
        return {self._text_file(text): text for _, text in self._texts if len(text.encode()) > LONGEST_CONTENT}

    @property
    def _texts(self) -> list[tuple[str, str]]:
        """Container paths of the task's made files, and what is in them."""
        found = []
        for number, part in enumerate(self.parts, 1):
            found.append((f"{SCRIPTS}/{number}.sh", part.script))
            if _is_long(part.command):
                found.append((f"{SCRIPTS}/{number}.sh.command", part.command[-1]))
        return found

    def _text(self, path: str, text: str) -> dict[str, str]:
        if len(text.encode()) > LONGEST_CONTENT:
            return {"type": "FILE", "url": file_url(self._text_file(text)), "path": path}
        return {"type": "FILE", "content": text, "path": path}

    def _text_file(self, text: str) -> Path:
        return self.work / ".wes" / "texts" / hashlib.sha256(text.encode()).hexdigest()[:32]

    def _output(self, path: Path) -> dict[str, str]:
        kind = "DIRECTORY" if path in self.directories else "FILE"
        return {"type": kind, "url": file_url(path), "path": str(path)}

    def _executor(self, path: str, part: Part) -> dict[str, Any]:
        command = list(part.command)
        if _is_long(command):
            # The command is in a file then, which the shell reads instead.
            command[-1] = f". {path}.command"
        return {
            "image": part.image,
            "command": ["/bin/sh", path, *command],
            "workdir": str(self.work),
            "env": dict(part.environment),
        }


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Each once, without what lies in a folder that is there too."""
    found = set(paths)
    return sorted(path for path in found if found.isdisjoint(path.parents))


def file_url(path: Path) -> str:
    return "file://" + quote(str(path))


def _input(path: Path) -> dict[str, str]:
    # A link is given as what it leads to: a TES that has its own storage can't follow it.
    real = Path(os.path.realpath(path))
    return {"type": "DIRECTORY" if real.is_dir() else "FILE", "url": file_url(real), "path": str(path)}


def _is_long(command: Sequence[str]) -> bool:
    return len(command[-1].encode()) > LONGEST_WORD
