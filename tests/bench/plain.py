"""An engine's own command line as a peer: in the same sandbox, without WES, TES or database."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.engine_fixtures import SANDBOX_UID
from wes_service.core.engine import Installation
from wes_service.launch.identity import foreign_identity
from wes_service.launch.sandbox import Mount, Sandbox, probe, write_sandbox_files


def run_plain(
    installation: Installation,
    command: Sequence[str],
    files: Mapping[str, str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Runs `command` in a fresh folder that holds `files`; `folder` is where such folders are made."""
    identity = foreign_identity(SANDBOX_UID)
    work = identity.make_folder(Path(tempfile.mkdtemp(dir=folder)))
    for name, text in files.items():
        (work / name).write_text(text)
        identity.own(work / name)
    readable = (installation.environment, *installation.readable)
    mounts = [Mount(source=path, target=str(path)) for path in readable if not path.is_relative_to("/usr")]
    sandbox = Sandbox(
        mounts=(*mounts, Mount(source=work, target=str(work), writable=True)),
        chdir=str(work),
        environment={"PATH": f"{installation.environment}/bin:/usr/bin:/bin", "HOME": "/home", **(variables or {})},
        files=write_sandbox_files(folder / "sandbox"),
        features=probe(identity).features,
    )
    argv = [*identity.argv(), *sandbox.argv(command)]
    ran = subprocess.run(argv, check=False, capture_output=True, text=True, env={"PATH": os.defpath})
    assert ran.returncode == 0, ran.stdout + ran.stderr
