"""A job of the workflow as a TES task (TES 1.1.0, tesTask). Nothing here needs Snakemake."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.kit.files import file_url
from engines.kit.settings import EXECUTOR_FOLDER
from engines.kit.task_document import LONGEST_CONTENT, step_key, task_document
from engines.snakemake.executor.rule_script import MODULES

SCRIPTS = "/var/lib/wes-step"
"""Where the scripts of a step lie in its container."""
LONGEST_ARGUMENT = 120 * 1024
"""Bytes; a Linux system takes 128 KiB for one argument."""


@dataclass(frozen=True, kw_only=True)
class StepCommand:
    """One command of a step, in its own image, and the shell script that is given its words as arguments.

    `times`: how often it runs. `nested`: it is Snakemake itself. `benchmark`: the file for its times, if any. `source`:
    the text of a script that it runs, in a file beside its own.
    """

    image: str
    script: str
    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    nested: bool = False
    benchmark: str | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A job, or a group of jobs, with all that its task needs. Paths are absolute, the same inside and outside.

    `inputs` and `outputs` are files or folders, `directories` those of the outputs that are folders. `declared`: the
    inputs as the rule names them, whatever else is given to the task. `modules`: the archive of Snakemake's modules,
    for a script in Python.
    """

    name: str
    attempt: int
    work: Path
    commands: tuple[StepCommand, ...]
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    directories: frozenset[Path] = frozenset()
    declared: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    modules: Path | None = None

    @property
    def key(self) -> str:
        """See `step_key`.

        Which attachments it gets, and of what there is already, grows while checkpoints add jobs: both are left out.
        So is the order of the arguments for Snakemake, which has some of them from sets.
        """
        words = [sorted(each.words) if each.nested else list(each.words) for each in self.commands]
        content = {
            "parts": [[each.image, given, each.times] for each, given in zip(self.commands, words, strict=True)],
            "inputs": sorted(self.declared),
            "outputs": sorted(str(path) for path in self.outputs),
        }
        return step_key(self.name, self.attempt, content)

    def task(self) -> dict[str, Any]:
        """The task document, with one TES executor for each time that each command runs."""
        scripts = [(f"{SCRIPTS}/{number}.sh", command) for number, command in enumerate(self.commands, 1)]
        return task_document(
            name=self.name,
            key=self.key,
            attempt=self.attempt,
            inputs=[*map(_input, outermost(self.inputs)), *self._modules, *(self._text(*each) for each in self._texts)],
            outputs=[self._output(path) for path in self.outputs],
            executors=[self._executor(path, command) for path, command in scripts for _ in range(command.times)],
            resources=self.resources,
        )

    def long_texts(self) -> dict[Path, str]:
        """Files that have to be there before the task is sent: texts that are too long to be in its document."""
        return {self._text_file(text): text for _, text in self._texts if len(text.encode()) > LONGEST_CONTENT}

    @property
    def _modules(self) -> list[dict[str, str]]:
        return [{"type": "FILE", "url": file_url(self.modules), "path": MODULES}] if self.modules else []

    @property
    def _texts(self) -> list[tuple[str, str]]:
        """Container paths of the task's made files, and what is in them."""
        texts = []
        for number, command in enumerate(self.commands, 1):
            texts.append((f"{SCRIPTS}/{number}.sh", command.script))
            if command.source is not None:
                texts.append((f"{SCRIPTS}/{number}.sh.source", command.source))
            if _is_long(command.words):
                texts.append((f"{SCRIPTS}/{number}.sh.command", command.words[-1]))
        return texts

    def _text(self, path: str, text: str) -> dict[str, str]:
        if len(text.encode()) > LONGEST_CONTENT:
            return {"type": "FILE", "url": file_url(self._text_file(text)), "path": path}
        return {"type": "FILE", "content": text, "path": path}

    def _text_file(self, text: str) -> Path:
        return self.work / EXECUTOR_FOLDER / "texts" / hashlib.sha256(text.encode()).hexdigest()[:32]

    def _output(self, path: Path) -> dict[str, str]:
        kind = "DIRECTORY" if path in self.directories else "FILE"
        return {"type": kind, "url": file_url(path), "path": str(path)}

    def _executor(self, path: str, command: StepCommand) -> dict[str, Any]:
        words = list(command.words)
        if _is_long(words):
            # The command is in a file then, which the shell reads instead.
            words[-1] = f". {path}.command"
        return {
            "image": command.image,
            "command": ["/bin/sh", path, *words],
            "workdir": str(self.work),
            "env": dict(command.environment),
        }


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Each once, without what lies in a folder that is there too."""
    unique = set(paths)
    return sorted(path for path in unique if unique.isdisjoint(path.parents))


def _input(path: Path) -> dict[str, str]:
    # A link is given as what it leads to: a TES that has its own storage can't follow it.
    real = Path(os.path.realpath(path))
    return {"type": "DIRECTORY" if real.is_dir() else "FILE", "url": file_url(real), "path": str(path)}


def _is_long(words: Sequence[str]) -> bool:
    return len(words[-1].encode()) > LONGEST_ARGUMENT
