"""A Python engine's virtual environment: a Python that the engine's user can read, and packages from a lock file."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import SystemFailure
from engines.recipe import InstallTarget, Report

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON_MINOR = 14
SELF_DESCRIPTION = (
    "import json, os, sys; print(json.dumps([list(sys.version_info[:2]), os.path.realpath(sys.executable), "
    "sys.base_prefix, os.path.dirname(os.__file__)]))"
)
NOT_COPIED = shutil.ignore_patterns("test", "tests", "idlelib", "__pycache__", "site-packages", "*.a")
PIP_OPTIONS = (
    "--require-hashes",
    # The lock file is complete; some name another version of a package than a package asks for.
    "--no-deps",
    # Nothing that is installed runs code of its own on the way: no source distributions.
    "--only-binary=:all:",
    "--no-compile",
    "--no-input",
    "--disable-pip-version-check",
    "--no-warn-script-location",
    "--root-user-action=ignore",
    "--progress-bar=off",
    "--retries=2",
    "--timeout=30",
)
UMASK_READABLE_BY_ALL = 0o022
PIP_DOWNLOADING = re.compile(r"^\s*(?:Downloading|Using cached) ([A-Za-z0-9_.]+?)-\d\S*(?: \(([^)]*)\))?")
PIP_SYMPTOMS = (
    ("no space left", "the disk is full"),
    ("do not match the hashes", "a downloaded file is not the one that the lock file names; try again later"),
    ("name resolution", "the package index can't be reached: no network"),
    ("name or service not known", "the package index can't be reached: no network"),
    ("newconnectionerror", "the package index can't be reached: no network"),
    ("connection refused", "the package index can't be reached: no network"),
    ("timed out", "the package index does not answer"),
    ("no matching distribution", "the package index has no build for this Python and machine"),
)


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python: its real file, its version, its prefix, and the folder of its standard library."""

    path: Path
    version: tuple[int, int]
    prefix: Path
    library: Path


def make_environment(target: InstallTarget, lock: Path) -> tuple[Path, ...]:
    """Fills `target.environment`; the folders outside it that its Python needs."""
    interpreter = find_interpreter(target.may_read, target.shared, target.report)
    target.report(f"making the environment {target.environment} with {interpreter.path}")
    # Without pip: Debian's Python may lack ensurepip, and the engine needs none.
    _run([str(interpreter.path), "-I", "-m", "venv", "--without-pip", str(target.environment)], "the environment")
    _install(target.environment / "bin" / "python", lock, target.report)
    target.report("compiling, so that runs start fast")
    compile_all(target.environment, target.environment / "lib")
    return interpreter_folders(interpreter)


def compile_all(environment: Path, folder: Path) -> None:
    """Compiles what can be compiled; some packages ship templates that can't."""
    argv = [str(environment / "bin" / "python"), "-I", "-m", "compileall", "-q", "-j", "0", str(folder)]
    subprocess.run(argv, capture_output=True, check=False, umask=UMASK_READABLE_BY_ALL)


def interpreter_folders(interpreter: Interpreter) -> tuple[Path, ...]:
    """The interpreter's own folders, where they are not the system's."""
    system = Path("/usr")
    folders = (interpreter.prefix, interpreter.path.parent)
    return tuple(dict.fromkeys(folder for folder in folders if not folder.is_relative_to(system)))


def site_packages(environment: Path) -> Path:
    """The folder of an environment's packages; `SystemFailure` where it has none."""
    found = sorted((environment / "lib").glob("python3.*/site-packages"))
    if not found:
        raise SystemFailure(f"the environment {environment} is broken: remove it and install the engine again")
    return found[0]


def find_interpreter(may_read: Callable[[Path], bool], shared: Path, report: Report) -> Interpreter:
    """The first Python of this machine that the engine's user can run; else a copy of this process's own in `shared`.

    `SystemFailure` where neither works.
    """
    for candidate in python_candidates():
        found = inspect_python(candidate)
        if found is not None and found.version >= OLDEST_PYTHON and may_read(found.path) and may_read(found.library):
            return found
    return copy_own_python(shared, report)


def python_candidates() -> Iterable[Path]:
    """This process's own Python first, then the system's, then others on the path; each once."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    names = [shutil.which(f"python3.{minor}") for minor in range(NEWEST_PYTHON_MINOR, OLDEST_PYTHON[1] - 1, -1)]
    paths = [own, Path("/usr/bin/python3"), Path("/usr/local/bin/python3"), *(Path(name) for name in names if name)]
    return dict.fromkeys(path for path in paths if path.exists())


def inspect_python(path: Path) -> Interpreter | None:
    """What this Python says of itself; None where it does not run."""
    try:
        argv = [str(path), "-I", "-c", SELF_DESCRIPTION]
        asked = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        version, real, prefix, library = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(path=Path(real), version=(version[0], version[1]), prefix=Path(prefix), library=Path(library))


def copy_own_python(shared: Path, report: Report) -> Interpreter:
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
    found = inspect_python(binary)
    if found is None or not found.path.is_relative_to(target):
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise SystemFailure(f"the engine's user can read no Python {oldest} or later; apt-get install python3")
    return found


def open_to_all(folder: Path) -> None:
    """Lets every user read what its owner can read."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def pip_progress(line: str) -> str | None:
    """A line of pip's output in short, for a person; None for the many that say little."""
    download = PIP_DOWNLOADING.match(line)
    if download and not download[1].endswith(".metadata") and ".metadata" not in line:
        size = f" ({download[2]})" if download[2] else ""
        return f"downloading {download[1].replace('_', '-')}{size}"
    if line.startswith("Installing collected packages:"):
        return f"installing {line.count(',') + 1} packages"
    return None


def pip_failure(output: Iterable[str]) -> str:
    """Why pip failed, in one line."""
    lines = [line.strip() for line in output if line.strip()]
    text = " ".join(lines).lower()
    for symptom, meaning in PIP_SYMPTOMS:
        if symptom in text:
            return meaning
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip gave no reason"])[-1].removeprefix("ERROR: ")


def _install(python: Path, lock: Path, report: Report) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *PIP_OPTIONS, "-r", str(lock)]
    seen: list[str] = []
    with subprocess.Popen(
        pip, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, umask=UMASK_READABLE_BY_ALL
    ) as process:
        for line in process.stdout or ():
            seen.append(line)
            short = pip_progress(line)
            if short:
                report(short)
    if process.returncode != 0:
        raise SystemFailure(f"the engine's packages could not be installed: {pip_failure(seen[-80:])}")


def _run(argv: Sequence[str], what: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, umask=UMASK_READABLE_BY_ALL)
    if done.returncode != 0:
        raise SystemFailure(f"{what} could not be made: {pip_failure((done.stdout + done.stderr).splitlines())}")
