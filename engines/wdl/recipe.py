"""How the WDL engine is installed: miniwdl from a lock file, and this project's executor beside it."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import engines
from engines.python_environment import compile_all, make_environment, site_packages
from engines.recipe import Site

VERSION = "1.16.0"
LOCK = Path(__file__).with_name("lock.txt")
ROOT = Path(engines.__file__).parent
PACKAGE = "engines"
MODULE = "engines.wdl.executor"
SHARED = ("__init__", "failure", "outcome", "progress", "report", "staging", "step", "tasks", "tes_client")
"""The modules of the CWL executor that this one uses too; none of them needs cwltool."""
DIGEST = "DIGEST"
PLUGIN = "wes_wdl-1.dist-info"
PLUGIN_FILES: Mapping[str, str] = {
    "METADATA": "Metadata-Version: 2.1\nName: wes-wdl\nVersion: 1\n",
    "entry_points.txt": f"[miniwdl.plugin.container_backend]\ntes = {MODULE}.container:TesContainer\n",
}
"""By which miniwdl finds the container backend."""


class WdlRecipe:
    """See `Recipe`."""

    engine = "miniwdl"
    folder_name = "wdl"
    versions: tuple[str, ...] = (VERSION,)

    def lock(self, version: str) -> Path:
        del version  # There is one.
        return LOCK

    def build(self, version: str, site: Site) -> tuple[Path, ...]:
        return make_environment(site, self.lock(version))

    def refresh(self, environment: Path) -> None:
        packages = site_packages(environment)
        digest = executor_digest()
        with contextlib.suppress(OSError):
            if (packages / PLUGIN / DIGEST).read_text() == digest:
                return
        _write_package(environment, packages)
        _write_plugin(packages / PLUGIN, digest)


def sources() -> dict[str, Path]:
    """What is copied: the path in the package, and the file."""
    own = sorted(ROOT.glob("wdl/executor/*.py"))
    shared = [ROOT / "cwl" / "executor" / f"{name}.py" for name in SHARED]
    packages = [ROOT / "__init__.py", ROOT / "cwl" / "__init__.py", ROOT / "wdl" / "__init__.py"]
    return {str(path.relative_to(ROOT)): path for path in (*packages, *shared, *own)}


def executor_digest() -> str:
    """Of the executor's source as this server has it."""
    digest = hashlib.sha256()
    for name, path in sorted(sources().items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name, text in PLUGIN_FILES.items():
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


def _write_package(environment: Path, packages: Path) -> None:
    package = packages / PACKAGE
    new, old = (packages / f".{PACKAGE}.{kind}.{os.getpid()}" for kind in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, path in sources().items():
        _make_folders(new, Path(name).parent)
        shutil.copyfile(path, new / name)
        (new / name).chmod(0o644)
    if package.exists():
        package.rename(old)
    new.rename(package)
    shutil.rmtree(old, ignore_errors=True)
    compile_all(environment, package)


def _write_plugin(folder: Path, digest: str) -> None:
    """The digest last, so that it stands for all of it."""
    _make_folders(folder, Path())
    for name, text in {**PLUGIN_FILES, DIGEST: digest}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)


def _make_folders(base: Path, inside: Path) -> None:
    for folder in (base, *(base / part for part in reversed(inside.parents)), base / inside):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
