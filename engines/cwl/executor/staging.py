"""How the files of a step get into its task: TES inputs, and what a shell has to do before the command."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import quote

BESIDE = "/var/lib/cwl-copy"
"""Where files lie that the shell copies into the working directory, to be changed there."""
LONGEST_CONTENT = 128 * 1024
"""Bytes; TES 1.1.0, tesInput.content."""
REMOTE = ("http://", "https://", "ftp://", "s3://", "gs://", "drs://", "az://")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or directory of a step, as cwltool's path mapper has it.

    `source`: a path of the run's machine, a URL, or for a made directory `_:…`. `text`: the whole content of a made
    file, whose `source` is a copy of it. `writable`: the tool may change it, and gets a copy of its own.
    `identity`: what stands for the content in the step's key.
    """

    target: str
    source: str
    directory: bool = False
    writable: bool = False
    text: str | None = None
    identity: str = ""

    @property
    def made(self) -> bool:
        return self.source.startswith("_:")


@dataclass(frozen=True, kw_only=True)
class Staging:
    """TES inputs, and shell commands to run before the tool."""

    inputs: tuple[dict[str, str], ...] = ()
    commands: tuple[str, ...] = ()


def stage(entries: Iterable[Entry], outdir: str, empty: Path) -> Staging:
    """`outdir` is the tool's working directory in the container; `empty` a folder that has nothing in it."""
    entries = tuple(entries)
    inputs: list[dict[str, str]] = []
    commands: list[str] = []
    for number, entry in enumerate(entries, 1):
        if entry.made:
            _make_directory(entry, entries, outdir, empty, inputs, commands)
        elif entry.writable:
            beside = f"{BESIDE}/{number}/{PurePosixPath(entry.target).name}"
            inputs.append(_input(entry, beside))
            commands.append(_copy(beside, entry.target))
        else:
            inputs.append(_input(entry, entry.target))
    return Staging(inputs=tuple(inputs), commands=tuple(commands))


def _make_directory(
    entry: Entry,
    entries: Sequence[Entry],
    outdir: str,
    empty: Path,
    inputs: list[dict[str, str]],
    commands: list[str],
) -> None:
    inside = [other for other in entries if other.target.startswith(entry.target + "/")]
    if _is_inside(entry.target, outdir):
        commands.append(f"mkdir -p {shlex.quote(entry.target)}")
    elif not inside:
        # Only the working directory is sure to be writable, so a directory elsewhere has to come as an input.
        inputs.append({"type": "DIRECTORY", "url": file_url(str(empty)), "path": entry.target})


def wrap(command: Sequence[str], commands: Sequence[str], stdin: str | None) -> list[str]:
    """The command, in a shell where files have to be prepared or its standard input comes from one.

    `executor.stdin` is never used: a known TES server truncates the user's file (acceptance/engines).
    """
    if not commands and stdin is None:
        return list(command)
    source = f" < {shlex.quote(stdin)}" if stdin is not None else ""
    script = " && ".join([*commands, f'exec "$@"{source}'])
    return ["/bin/sh", "-c", script, "sh", *command]


def url_of(source: str) -> str:
    """The URL of a path; a URL stays as it is."""
    return source if is_remote(source) or source.startswith("file://") else file_url(source)


def file_url(path: str) -> str:
    """Without `..`, which a TES may refuse: references of a workflow to its neighbours hold it."""
    return "file://" + quote(normpath(path))


def is_remote(location: str) -> bool:
    """Whether it is a URL that the engine leaves to the TES."""
    return location.startswith(REMOTE)


def _input(entry: Entry, path: str) -> dict[str, str]:
    kind = "DIRECTORY" if entry.directory else "FILE"
    if entry.text is not None and len(entry.text.encode()) <= LONGEST_CONTENT:
        return {"type": kind, "content": entry.text, "path": path}
    return {"type": kind, "url": url_of(entry.source), "path": path}


def _copy(source: str, target: str) -> str:
    folder = shlex.quote(str(PurePosixPath(target).parent))
    quoted = shlex.quote(target)
    # The copy of a folder into one that exists would land inside it.
    return f"mkdir -p {folder} && cp -R {shlex.quote(source)} {quoted} && chmod -R u+w {quoted}"


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
