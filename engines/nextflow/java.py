"""Finds a Java runtime that the engine's user can run."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = 17
NEWEST = 24
"""What Nextflow 25.04 is made for."""
JVMS = Path("/usr/lib/jvm")
SYSTEM = (Path("/usr"), Path("/etc"))
"""Every sandbox shows them."""
PROPERTY = re.compile(r"^[ \t]*(java\.home|java\.specification\.version) = (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java runtime: its home folder and its major version."""

    home: Path
    version: int

    @property
    def program(self) -> Path:
        return self.home / "bin" / "java"


def find_java(may_read: Callable[[Path], bool], homes: Iterable[Path] | None = None) -> Java | None:
    """The first that has a right version and that the engine's user can run."""
    for home in candidates() if homes is None else homes:
        found = ask(home / "bin" / "java")
        if found and OLDEST <= found.version <= NEWEST and may_read(found.program.resolve()):
            return found
    return None


def candidates() -> tuple[Path, ...]:
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


def ask(program: Path) -> Java | None:
    """What this Java says of itself; None where it does not run."""
    argv = [str(program), "-Xshare:auto", "-XshowSettings:properties", "-version"]
    try:
        asked = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    told = dict(PROPERTY.findall(asked.stderr + asked.stdout))
    version = re.match(r"(?:1\.)?(\d+)", told.get("java.specification.version", ""))
    if version is None or "java.home" not in told:
        return None
    return Java(home=Path(told["java.home"]), version=int(version[1]))


def readable(java: Java) -> tuple[Path, ...]:
    """Folders that it needs besides the system's: its own, and where links in it lead."""
    home = () if _is_system(java.home) else (java.home,)
    led_to = {path.resolve() for path in java.home.rglob("*") if path.is_symlink() and path.exists()}
    others = sorted(path for path in led_to if not _is_system(path) and not path.is_relative_to(java.home))
    return (*home, *others)


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in SYSTEM)
