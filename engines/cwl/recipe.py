"""How the CWL engine is installed: cwltool and Node.js from a lock file, and this project's executor beside them."""

import os
import subprocess
from pathlib import Path

from engines.python_engine import PythonRecipe, executor_module, install_executor
from engines.python_environment import site_packages

VERSION = "3.3.20260925135507"
SCHEMA_CACHE = "engines/cwl/executor/schemas.pickle"
NOBODY = 65534


class CwlRecipe(PythonRecipe):
    """See `Recipe`."""

    engine = "cwltool"
    folder_name = "cwl"
    versions: tuple[str, ...] = (VERSION,)

    def refresh(self, environment: Path) -> None:
        if install_executor(environment, self.folder_name):
            _cache_schemas(environment, site_packages(environment) / SCHEMA_CACHE)


def _cache_schemas(environment: Path, cache: Path) -> None:
    """Runs start in half the time with it, and work without it."""
    argv = [str(environment / "bin" / "python"), "-I", "-m", f"{executor_module('cwl')}.schemas"]
    # An engine's code never runs as root.
    unprivileged = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        made = subprocess.run(argv, capture_output=True, check=True, cwd="/", **unprivileged)  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return
    if made.stdout:
        unfinished = cache.with_name(f".{cache.name}")
        unfinished.write_bytes(made.stdout)
        unfinished.chmod(0o644)
        unfinished.rename(cache)
