"""Archives of Nextflow's plugins, as their developers publish them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path


def plugin_archive(
    path: Path, name: str, version: str, *, requires: str = ">=24.04.0", files: Mapping[str, bytes] | None = None
) -> Path:
    """A zip file with a manifest, and further files by their names in it."""
    manifest = (
        f"Manifest-Version: 1.0\r\nPlugin-Id: {name}\r\nPlugin-Version: {version}\r\nPlugin-Requires: {requires}\r\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("classes/META-INF/MANIFEST.MF", manifest)
        for file, data in (files or {}).items():
            archive.writestr(file, data)
    return path
