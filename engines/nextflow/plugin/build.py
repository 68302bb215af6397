"""Compiles this project's part of Nextflow into `plugin.jar`: `python -m engines.nextflow.plugin.build JARS_FOLDER`.

The jar is kept with the sources, so that a user needs no compiler; a test tells when the two differ. The folder is the
one of an installed engine's jars.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

SOURCES = Path(__file__).with_name("src")
EXTENSIONS = ("wes.nextflow.RunObserverFactory", "wes.nextflow.TesExecutor")
JAR = Path(__file__).parents[1] / "plugin.jar"
RELEASE = "17"
DIGEST_NAME = "Sources-SHA-256"
# The oldest date that a zip file can hold: the same sources make the same bytes.
DATE = (1980, 1, 1, 0, 0, 0)


def sources() -> list[Path]:
    """The Java files, in order."""
    return sorted(SOURCES.rglob("*.java"))


def sources_digest() -> str:
    """The sha256 over names and contents of all sources."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def manifest_of(jar: Path) -> dict[str, str]:
    """The manifest's entries; none of ours is longer than a line."""
    with zipfile.ZipFile(jar) as archive:
        lines = archive.read("META-INF/MANIFEST.MF").decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def compile_classes(jars: Path) -> dict[str, bytes]:
    """The class files, by their names in the jar; `RuntimeError` with what the compiler says."""
    with tempfile.TemporaryDirectory() as place:
        argv = ["javac", "--release", RELEASE, "-Xlint:all,-classfile,-processing", "-Werror", "-proc:none", "-g:none"]
        files = [str(path) for path in sources()]
        done = subprocess.run(
            [*argv, "-d", place, "-cp", f"{jars}/*", *files], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        return {path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(Path(place).rglob("*.class"))}


def compiler() -> str:
    """E.g. `javac 17.0.15`."""
    return subprocess.run(["javac", "-version"], capture_output=True, text=True, check=True).stdout.strip()


def packed(classes: Mapping[str, bytes]) -> bytes:
    """The jar."""
    manifest = f"Manifest-Version: 1.0\r\nCreated-By: {compiler()}\r\n{DIGEST_NAME}: {sources_digest()}\r\n\r\n"
    extensions = "".join(f"{name}\n" for name in EXTENSIONS)
    files = {"META-INF/MANIFEST.MF": manifest.encode(), "META-INF/extensions.idx": extensions.encode(), **classes}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, data in files.items():
            jar.writestr(zipfile.ZipInfo(name, DATE), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


if __name__ == "__main__":
    JAR.write_bytes(packed(compile_classes(Path(sys.argv[1]))))
    sys.stdout.write(f"{JAR}\n")
