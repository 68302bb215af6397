"""How the CWL engine is installed: cwltool and Node.js from a lock file, and this project's executor beside them."""

import os
import subprocess
from pathlib import Path

from engines.executor_package import install_package
from engines.python_environment import make_environment, site_packages
from engines.recipe import Site

VERSION = "3.3.20260925135507"
LOCK = Path(__file__).with_name("lock.txt")
EXECUTOR = Path(__file__).with_name("executor")
PACKAGE = "wes_cwl"
SCHEMAS = "schemas.pickle"
NOBODY = 65534


class CwlRecipe:
    """See `Recipe`."""

    engine = "cwltool"
    folder_name = "cwl"
    versions: tuple[str, ...] = (VERSION,)

    def lock(self, version: str) -> Path:
        del version  # There is one.
        return LOCK

    def build(self, version: str, site: Site) -> tuple[Path, ...]:
        return make_environment(site, self.lock(version))

    def refresh(self, environment: Path) -> None:
        if install_package(environment, PACKAGE, executor_files()):
            _cache_schemas(environment, site_packages(environment) / PACKAGE)


def executor_files() -> dict[str, Path]:
    """The executor's modules as this server has them."""
    return {path.name: path for path in EXECUTOR.glob("*.py")}


def _cache_schemas(environment: Path, package: Path) -> None:
    """Runs start in half the time with it, and work without it."""
    argv = [str(environment / "bin" / "python"), "-I", "-m", f"{PACKAGE}.write_schemas"]
    # An engine's code never runs as root.
    unprivileged = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        made = subprocess.run(argv, capture_output=True, check=True, cwd="/", **unprivileged)  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return
    if made.stdout:
        unfinished = package / f".{SCHEMAS}"
        unfinished.write_bytes(made.stdout)
        unfinished.chmod(0o644)
        unfinished.rename(package / SCHEMAS)
