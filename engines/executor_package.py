"""Puts this project's own modules for an engine into the engine's environment, as one package."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from engines.python_environment import compile_all, site_packages

DIGEST = "DIGEST"


def install_package(environment: Path, package: str, files: Mapping[str, Path]) -> bool:
    """Makes the package anew where it is not this one; whether it did.

    `files`: a module's place in the package, to where it is now.
    """
    target = site_packages(environment) / package
    digest = digest_of(files)
    with contextlib.suppress(OSError):
        if (target / DIGEST).read_text() == digest:
            return False
    new, old = (target.with_name(f".{package}.{kind}.{os.getpid()}") for kind in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    _write(new, {**{place: path.read_bytes() for place, path in files.items()}, DIGEST: digest.encode()})
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    compile_all(environment, target)
    return True


def digest_of(files: Mapping[str, Path]) -> str:
    """Of the modules as this server has them."""
    digest = hashlib.sha256()
    for place in sorted(files):
        digest.update(place.encode() + b"\0" + files[place].read_bytes() + b"\0")
    return digest.hexdigest()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    for place, content in files.items():
        path = folder / place
        for parent in [*reversed(path.relative_to(folder).parents)][1:]:
            if not (folder / parent).exists():
                (folder / parent).mkdir()
                (folder / parent).chmod(0o755)
        path.write_bytes(content)
        path.chmod(0o644)
