"""How the CWL engine is installed: cwltool and Node.js from a lock file, and this project's executor beside them."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from engines.python_environment import compile_all, make_environment, site_packages
from engines.recipe import Site

VERSION = "3.3.20260925135507"
LOCK = Path(__file__).with_name("lock.txt")
EXECUTOR = Path(__file__).with_name("executor")
PACKAGE = "wes_cwl"
DIGEST = "DIGEST"
SCHEMAS = "schemas.pickle"
NOBODY = 65534


class CwlRecipe:
    """See `Recipe`."""

    engine = "cwltool"
    folder_name = "cwl"
    versions: tuple[str, ...] = (VERSION,)

    def build(self, version: str, site: Site) -> tuple[Path, ...]:
        del version  # The lock file holds the one that there is.
        return make_environment(site, LOCK)

    def refresh(self, environment: Path) -> None:
        package = site_packages(environment) / PACKAGE
        digest = executor_digest()
        with contextlib.suppress(OSError):
            if (package / DIGEST).read_text() == digest:
                return
        _replace(environment, package, digest)


def executor_digest() -> str:
    """Of the executor's source as this server has it."""
    digest = hashlib.sha256()
    for path in sorted(EXECUTOR.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _replace(environment: Path, package: Path, digest: str) -> None:
    new = package.with_name(f".{PACKAGE}.new.{os.getpid()}")
    old = package.with_name(f".{PACKAGE}.old.{os.getpid()}")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir()
    new.chmod(0o755)
    for path in EXECUTOR.glob("*.py"):
        copied = Path(shutil.copyfile(path, new / path.name))
        copied.chmod(0o644)
    (new / DIGEST).write_text(digest)
    (new / DIGEST).chmod(0o644)
    if package.exists():
        package.rename(old)
    new.rename(package)
    shutil.rmtree(old, ignore_errors=True)
    compile_all(environment, package)
    _cache_schemas(environment, package)


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
