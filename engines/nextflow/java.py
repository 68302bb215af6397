"""Finds a Java runtime that the engine's user can run."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_JAVA = 17
NEWEST_JAVA = 24
"""What Nextflow 25.04 is made for."""
JVMS = Path("/usr/lib/jvm")
SYSTEM_FOLDERS = (Path("/usr"), Path("/etc"))
"""Every sandbox shows them."""
JAVA_PROPERTY = re.compile(r"^[ \t]*(java\.home|java\.specification\.version) = (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java runtime: its home folder and its major version."""

    home: Path
    version: int

    @property
    def program(self) -> Path:
        """The `java` to start."""
        return self.home / "bin" / "java"


def find_java(may_read: Callable[[Path], bool], homes: Iterable[Path] | None = None) -> Java | None:
    """The first that has a right version and that the engine's user can run."""
    for home in java_homes() if homes is None else homes:
        found = inspect_java(home / "bin" / "java")
        if found and OLDEST_JAVA <= found.version <= NEWEST_JAVA and may_read(found.program.resolve()):
            return found
    return None


def java_homes() -> tuple[Path, ...]:
    """JAVA_HOME, the one on the path, then those that the system has; each once."""
    return tuple(dict.fromkeys(home.resolve() for home in _named() if (home / "bin" / "java").exists()))


def _named() -> Iterator[Path]:
    # The same variable that every Java program goes by; it is none of this service's settings.
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parents[1]
    if JVMS.is_dir():
        yield from sorted(JVMS.iterdir())


def inspect_java(program: Path) -> Java | None:
    """What this Java says of itself; None where it does not run."""
    argv = [str(program), "-Xshare:auto", "-XshowSettings:properties", "-version"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    properties = dict(JAVA_PROPERTY.findall(done.stderr + done.stdout))
    version = re.match(r"(?:1\.)?(\d+)", properties.get("java.specification.version", ""))
    if version is None or "java.home" not in properties:
        return None
    return Java(home=Path(properties["java.home"]), version=int(version[1]))


def java_folders(java: Java) -> tuple[Path, ...]:
    """Folders that it needs besides the system's: its own, and where links in it lead."""
    home = () if _is_system(java.home) else (java.home,)
    linked = {path.resolve() for path in java.home.rglob("*") if path.is_symlink() and path.exists()}
    others = sorted(path for path in linked if not _is_system(path) and not path.is_relative_to(java.home))
    return (*home, *others)


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in SYSTEM_FOLDERS)
