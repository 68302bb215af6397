"""Spares the import of Docker's client, which miniwdl only wants for the name of one of its errors."""

import sys
from types import ModuleType


class BuildError(Exception):
    """Never raised here: images are not built."""


def install() -> None:
    errors = ModuleType("docker.errors")
    errors.BuildError = BuildError  # type: ignore[attr-defined]
    docker = ModuleType("docker")
    docker.errors = errors  # type: ignore[attr-defined]
    sys.modules["docker"], sys.modules["docker.errors"] = docker, errors
