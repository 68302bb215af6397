"""Engines that are Python programs: how such an engine is installed, started and read.

An environment of such an engine gets a package `engines`, which holds `engines.kit` and the engine's own executor under
the names that they have here.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from common.engine import SYSTEM_PATH, EngineCommand, EngineEnd, EngineJob, EngineParameter, RunFolder
from common.json_types import Json
from engines.kit.settings import EXECUTOR_FOLDER, OUTPUT_OBJECT, RunSettings
from engines.python_environment import compile_all, make_environment, site_packages
from engines.recipe import InstallTarget
from engines.results import diagnosis, read_outputs

SOURCES = Path(__file__).parent
PACKAGE = "engines"
NOBODY = 65534
DIGEST = "DIGEST"
"""In the package, written last: the digest of all that was installed."""


class PythonEngine(ABC):
    """See `Engine`; a subclass says what is the engine's own."""

    name: str
    folder_name: str
    title: str
    """As in "the CWL engine"."""
    stop_signal: Literal["SIGTERM", "SIGINT"] = "SIGTERM"

    @abstractmethod
    def settings(self, job: EngineJob) -> RunSettings:
        """What the executor reads."""

    def command(self, job: EngineJob) -> EngineCommand:
        python, file = job.installation.environment / "bin" / "python", f"{self.folder_name}.json"
        return EngineCommand(
            # Isolated: nothing that a user attached is imported by its name.
            argv=(str(python), "-I", "-m", executor_module(self.folder_name), str(job.folder.seen.control / file)),
            environment=self.environment(job),
            files={file: self.settings(job).as_json()},
            stop_signal=self.stop_signal,
        )

    def environment(self, job: EngineJob) -> dict[str, str]:
        """All environment variables of the engine's process."""
        folder = job.folder.seen.work / EXECUTOR_FOLDER
        return {
            "PATH": f"{job.installation.environment / 'bin'}:{SYSTEM_PATH}",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
        }

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return read_outputs(folder, folder.work / OUTPUT_OBJECT)

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        return diagnosis(self.title, folder, end)


def common_settings(job: EngineJob, parallel: EngineParameter) -> dict[str, Any]:
    """The fields of `RunSettings`."""
    return {
        "workflow": job.workflow,
        "fragment": job.fragment,
        "params": job.params,
        "attachments": job.folder.seen.attachments,
        "work": job.folder.seen.work,
        "tes_url": job.tes_url,
        "token_file": job.token_file,
        "default_image": job.default_image,
        "parallel": int(job.value_of(parallel)),
    }


class PythonRecipe:
    """See `Recipe`: an environment from a lock file, and the engine's executor in it."""

    engine: str
    folder_name: str
    versions: tuple[str, ...]
    entry_points = ""
    """By which the engine finds the executor, as in `entry_points.txt`."""
    start_cache: str | None = None
    """The module of the executor that makes, of what the engine would make at each start, the file of its name."""

    def lock(self, version: str) -> Path:
        del version  # There is one.
        return SOURCES / self.folder_name / "lock.txt"

    def build(self, version: str, target: InstallTarget) -> tuple[Path, ...]:
        return make_environment(target, self.lock(version))

    def refresh(self, environment: Path) -> None:
        if install_executor(environment, self.folder_name, self.entry_points) and self.start_cache:
            make_start_cache(environment, f"{executor_module(self.folder_name)}.{self.start_cache}")


def make_start_cache(environment: Path, module: str) -> None:
    """Writes what the module prints to a `.pickle` beside it: runs start sooner with it, and work without."""
    argv = [str(environment / "bin" / "python"), "-I", "-m", module]
    # An engine's code never runs as root.
    unprivileged: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        made = subprocess.run(argv, capture_output=True, check=True, cwd="/", **unprivileged)
    except (OSError, subprocess.SubprocessError):
        return
    if made.stdout:
        cache = site_packages(environment) / f"{module.replace('.', '/')}.pickle"
        unfinished = cache.with_name(f".{cache.name}")
        unfinished.write_bytes(made.stdout)
        unfinished.chmod(0o644)
        unfinished.rename(cache)


def executor_module(folder_name: str) -> str:
    """What `python -m` runs in the environment of the engine of this folder."""
    return f"{PACKAGE}.{folder_name}.executor"


def executor_sources(folder_name: str) -> dict[str, Path]:
    """All modules of the package: the path in it, and the file."""
    packages = [SOURCES / "__init__.py", SOURCES / folder_name / "__init__.py"]
    modules = [*sorted((SOURCES / "kit").rglob("*.py")), *sorted((SOURCES / folder_name / "executor").rglob("*.py"))]
    return {str(path.relative_to(SOURCES)): path for path in (*packages, *modules)}


def install_executor(environment: Path, folder_name: str, entry_points: str = "") -> bool:
    """Installs the kit and the engine's executor where the environment does not have these very ones; whether it did.

    The package is there as a whole or not at all, and can be read by all users.
    """
    files = {path: source.read_bytes() for path, source in executor_sources(folder_name).items()}
    metadata = {
        "METADATA": f"Metadata-Version: 2.1\nName: wes-{folder_name}\nVersion: 1\n".encode(),
        "entry_points.txt": entry_points.encode(),
    }
    digest = _digest({**files, **metadata})
    packages = site_packages(environment)
    package = packages / PACKAGE
    with contextlib.suppress(OSError):
        if (package / DIGEST).read_text() == digest:
            return False
    _replace(packages / f"wes_{folder_name}-1.dist-info", metadata)
    _replace(package, {**files, DIGEST: digest.encode()})
    compile_all(environment, package)
    return True


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + files[path] + b"\0")
    return digest.hexdigest()


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """By a folder with these files, in one step: programs that start meanwhile find the old one or the new one."""
    new, old = (folder.with_name(f".{folder.name}.{kind}.{os.getpid()}") for kind in ("new", "old"))
    for folder_left in (new, old):
        shutil.rmtree(folder_left, ignore_errors=True)
    for path, content in files.items():
        _make_readable_folder((new / path).parent, new)
        (new / path).write_bytes(content)
        (new / path).chmod(0o644)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _make_readable_folder(folder: Path, top: Path) -> None:
    if folder.exists():
        return
    if folder != top:
        _make_readable_folder(folder.parent, top)
    folder.mkdir()
    folder.chmod(0o755)
