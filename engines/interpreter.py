"""Finds a Python for an engine that the engine's user can read: root's own often lies in a closed home."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import SystemFailure
from engines.recipe import Report

OLDEST = (3, 11)
NEWEST_MINOR = 14
QUESTION = (
    "import json, os, sys; print(json.dumps([list(sys.version_info[:2]), os.path.realpath(sys.executable), "
    "sys.base_prefix, os.path.dirname(os.__file__)]))"
)
NOT_COPIED = shutil.ignore_patterns("test", "tests", "idlelib", "__pycache__", "site-packages", "*.a")


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python: its real file, its version, its prefix, and the folder of its standard library."""

    path: Path
    version: tuple[int, int]
    prefix: Path
    library: Path


def find_interpreter(may_read: Callable[[Path], bool], shared: Path, report: Report) -> Interpreter:
    """The first Python of this machine that the engine's user can run; else a copy of this process's own in `shared`.

    `SystemFailure` where neither works.
    """
    for candidate in candidates():
        found = ask(candidate)
        if found is not None and found.version >= OLDEST and may_read(found.path) and may_read(found.library):
            return found
    return copy_own(shared, report)


def candidates() -> Iterable[Path]:
    """This process's own Python first, then the system's, then others on the path; each once."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    names = [shutil.which(f"python3.{minor}") for minor in range(NEWEST_MINOR, OLDEST[1] - 1, -1)]
    paths = [own, Path("/usr/bin/python3"), Path("/usr/local/bin/python3"), *(Path(name) for name in names if name)]
    return dict.fromkeys(path for path in paths if path.exists())


def ask(path: Path) -> Interpreter | None:
    """What this Python says of itself; None where it does not run."""
    try:
        asked = subprocess.run([path, "-I", "-c", QUESTION], capture_output=True, text=True, timeout=30, check=True)
        version, real, prefix, library = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(path=Path(real), version=(version[0], version[1]), prefix=Path(prefix), library=Path(library))


def copy_own(shared: Path, report: Report) -> Interpreter:
    """This process's own Python, copied to where the engine's user can read it, once."""
    name = f"python-{sys.version_info[0]}.{sys.version_info[1]}"
    target = shared / name
    binary = target / "bin" / name.replace("-", "")
    if not binary.exists():
        report(f"copying Python to {target}, as engines run as a user who can't read {sys.base_prefix}")
        building = shared / f".{name}.{os.getpid()}"
        shutil.rmtree(building, ignore_errors=True)
        shutil.copytree(sys.base_prefix, building, symlinks=True, ignore=NOT_COPIED)
        open_to_all(building)
        building.rename(target)
    found = ask(binary)
    if found is None or not found.path.is_relative_to(target):
        raise SystemFailure(f"the engine's user can read no Python {_dotted(OLDEST)} or later; apt-get install python3")
    return found


def open_to_all(folder: Path) -> None:
    """Lets every user read what its owner can read."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)
