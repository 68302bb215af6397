"""An engine's own command line as a peer: in the same sandbox, without WES, TES or database."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.engine import Installation
from sandbox.bubblewrap import Mount, Sandbox, probe, write_sandbox_files
from sandbox.identity import foreign_identity
from tests.engine_fixtures import SANDBOX_UID


@dataclass(frozen=True, kw_only=True)
class PlainRun:
    """How long it took, the peak of its processes' resident memory in MB, and the folder that it ran in."""

    seconds: float
    memory: float
    work: Path


def run_plain(
    installation: Installation,
    command: Sequence[str],
    files: Mapping[str, str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
) -> PlainRun:
    """Runs `command` in a fresh folder that holds `files`; `folder` is where such folders are made, and can be read."""
    identity = foreign_identity(SANDBOX_UID)
    work = identity.make_folder(Path(tempfile.mkdtemp(dir=folder)))
    for name, text in files.items():
        (work / name).write_text(text)
        identity.own(work / name)
    readable = (installation.environment, *installation.readable, folder)
    mounts = [Mount(source=path, target=str(path)) for path in readable if not path.is_relative_to("/usr")]
    sandbox = Sandbox(
        mounts=(*mounts, Mount(source=work, target=str(work), writable=True)),
        chdir=str(work),
        environment={"PATH": f"{installation.environment}/bin:/usr/bin:/bin", "HOME": "/home", **(variables or {})},
        files=write_sandbox_files(folder / "sandbox"),
        features=probe(identity).features,
    )
    argv = [*identity.argv(), *sandbox.argv(command)]
    began, peak = time.perf_counter(), 0.0
    with (work / "said").open("wb") as said:
        process = subprocess.Popen(argv, stdout=said, stderr=said, env={"PATH": os.defpath})
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.02)
    assert process.returncode == 0, (work / "said").read_text()
    return PlainRun(seconds=time.perf_counter() - began, memory=peak, work=work)


def tree_memory(pid: int) -> float:
    """The resident memory of a process and all that came from it, in MB."""
    try:
        root = psutil.Process(pid)
        return sum(resident(process) for process in [root, *root.children(recursive=True)])
    except psutil.Error:
        return 0.0


def resident(process: psutil.Process) -> float:
    """In MB; 0 for one that has ended."""
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0
