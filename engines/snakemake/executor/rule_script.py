"""The script of a rule (`script:`, `notebook:` or `wrapper:`) in the rule's own container, which needs no Snakemake.

It goes into the task with the preamble that Snakemake puts before it. A script in Python unpickles Snakemake's objects:
the modules that they are made of go with it as one archive, which Python imports from. Nothing here needs Snakemake.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SCRIPT_FOLDER = ".snakemake/scripts"
"""Below the working folder, as in Snakemake itself."""
MODULES = "/mnt/snakemake_searchpaths/item_0"
"""Where a script in a container looks for Snakemake's modules, by Snakemake's own preamble."""
OLDEST_PYTHON = "3.9"
NOT_FOUND = 127
"""A shell's exit code for a command that there is not."""
NOTEBOOK_FOLDER = "/tmp/wes-notebook"  # noqa: S108 - of the task
PYTHON_FOLDER = "/tmp/wes-python"  # noqa: S108 - of the task


@dataclass(frozen=True, kw_only=True)
class RuleScript:
    """What runs in place of a shell command.

    `text`: the script, with its preamble. `command`: for the shell, in the working folder. `programs`: one of these has
    to be in the image. `names`: all strings in the configuration and the params, which may name files.
    """

    file: str
    text: str
    command: str
    programs: tuple[str, ...]
    in_python: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScriptInTask:
    """A script, and where it runs: `python` is where the engine's own Python may be on the machine, for a task that
    runs over the machine's own programs."""

    rule: str
    kind: str
    image: str
    python: Path
    script: RuleScript

    def prepared(self) -> list[str]:
        """Lines of shell that put the script into its place, from the file beside the one that these lines are in."""
        return [
            'if [ ! -w "${HOME:-/}" ]; then export HOME=/tmp; fi',
            f"mkdir -p {SCRIPT_FOLDER}",
            f'cp "$0.source" {shlex.quote(place_of(self.script.file))}',
            *(self._python() if self.script.in_python else []),
        ]

    def checked(self) -> list[str]:
        """Lines of shell that look, after a failure, whether it was for want of the right program."""
        missing = [
            f'if [ "$code" = {NOT_FOUND} ] && ! {self._any_program()}; then',
            f"    echo {shlex.quote(self._no_program())} >&2",
        ]
        loads = f"import sys; sys.path.append({MODULES!r}); import snakemake.logging"
        old = [
            f'elif [ "$code" != 0 ] && ! python -c {shlex.quote(loads)} >/dev/null 2>&1; then',
            f'    echo {shlex.quote(self._old_python())} "$(python --version 2>&1)" >&2',
        ]
        return [*missing, *(old if self.script.in_python else []), "fi"]

    def _python(self) -> list[str]:
        """The engine's own Python where the task can see it; else `python`, which some images call `python3` only."""
        return [
            f"if [ -x {shlex.quote(str(self.python))} ]; then",
            f'    PATH={shlex.quote(str(self.python.parent))}:"$PATH"',
            "elif ! command -v python >/dev/null 2>&1 && command -v python3 >/dev/null 2>&1; then",
            # Not a link, by which a Python would look for its packages.
            f"    mkdir -p {PYTHON_FOLDER}",
            f"    printf '#!/bin/sh\\nexec python3 \"$@\"\\n' > {PYTHON_FOLDER}/python",
            f"    chmod +x {PYTHON_FOLDER}/python",
            f'    PATH={PYTHON_FOLDER}:"$PATH"',
            "fi",
        ]

    def _any_program(self) -> str:
        found = " || ".join(f"command -v {shlex.quote(one)} >/dev/null 2>&1" for one in self.script.programs)
        return f"{{ {found}; }}"

    def _no_program(self) -> str:
        programs = " or ".join(self.script.programs)
        return (
            f"the rule {self.rule} has {self.kind} ({self.script.file}), which needs {programs}, and there is none in "
            f"the image {self.image}: give the rule a container: that has it"
        )

    def _old_python(self) -> str:
        return (
            f"the Python of the image {self.image} can't load Snakemake's modules, which the script of the rule "
            f"{self.rule} needs: give the rule a container: with Python {OLDEST_PYTHON} or later; this one is"
        )


def place_of(file: str) -> str:
    """Where a script lies when it runs; by that name no Python module is imported."""
    return f"{SCRIPT_FOLDER}/wes.{file}"


def strings_in(values: Iterable[object]) -> tuple[str, ...]:
    """All strings in values as configurations have them, at any depth."""
    found: list[str] = []
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
    return tuple(sorted(set(found)))
