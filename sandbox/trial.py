"""Runs a program that is not ours once, to see what it says."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import SystemFailure
from sandbox.bubblewrap import BWRAP_ENVIRONMENT, Mount, Sandbox, is_system, probe, write_sandbox_files
from sandbox.identity import Identity

SECONDS = 60


def trial_run(
    identity: Identity, argv: Sequence[str], *, environment: Mapping[str, str], readable: Sequence[Path]
) -> "subprocess.CompletedProcess[str]":
    """As `engines.recipe.Trial`; where there is no sandbox, as `identity` only, as engines run there too."""
    found = probe(identity)
    with tempfile.TemporaryDirectory() as place:
        files = Path(place)
        files.chmod(0o755)
        if found.works:
            sandbox = Sandbox(
                mounts=tuple(
                    Mount(source=path, target=str(path)) for path in readable if path.exists() and not is_system(path)
                ),
                environment={"HOME": "/home", **environment},
                files=write_sandbox_files(files / "sandbox"),
                features=found.features,
            )
            return _run([*identity.argv(), *sandbox.argv(argv)], {**BWRAP_ENVIRONMENT, "PATH": os.defpath})
        return _run([*identity.argv(), *argv], {"HOME": "/nonexistent", **environment})


def _run(argv: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            argv,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemFailure(f"{argv[-2] if len(argv) > 1 else argv[0]} could not be tried: {error}") from error
