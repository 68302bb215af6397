"""How a Java virtual machine is started for Nextflow."""

from collections.abc import Sequence
from pathlib import Path

OPENED = (
    "java.lang",
    "java.io",
    "java.nio",
    "java.nio.file.spi",
    "java.net",
    "java.util",
    "java.util.concurrent.locks",
    "java.util.concurrent.atomic",
    "java.util.regex",
    "sun.nio.ch",
    "sun.nio.fs",
    "sun.net.www.protocol.http",
    "sun.net.www.protocol.https",
    "sun.net.www.protocol.ftp",
    "sun.net.www.protocol.file",
    "jdk.internal.misc",
    "jdk.internal.vm",
)
"""Packages that Nextflow looks into; without them a task's hash is another one each time and nothing is ever cached."""
OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xms64m",
    # Well below what the launcher lets an engine have: an engine that needs more says so, and is not killed.
    "-Xmx4g",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
)


def options(classpath: Sequence[Path], archive: Path, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The options of every run; `archive` holds the classes, loaded and ready, where it fits this Java."""
    return (*common(classpath, more), f"-XX:SharedArchiveFile={archive}")


def archiving(classpath: Sequence[Path], archive: Path, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The options of the run that makes the archive."""
    return (*common(classpath, more), f"-XX:ArchiveClassesAtExit={archive}")


def common(classpath: Sequence[Path], more: Sequence[str]) -> tuple[str, ...]:
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    return (*OPTIONS, *dict.fromkeys([*opened, *more]), "-cp", ":".join(str(path) for path in classpath))


def argument_file(arguments: Sequence[str]) -> str:
    """The text of a file that `java @FILE` reads: one quoted argument on each line."""
    return "".join('"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for argument in arguments)
