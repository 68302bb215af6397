"""Other people's WES clients, each in an environment of its own, made once per machine from the lock files here.

They are foreign code: they are installed from wheels only, and run in a sandbox. It shares the machine's network, and
is of this process's account, as a server without a token serves nobody else.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.python_environment import make_environment
from engines.recipe import InstallTarget
from sandbox.bubblewrap import Mount, Sandbox, is_system, probe, write_sandbox_files
from sandbox.identity import Identity, can_reach, foreign_identity
from tests.engine_fixtures import SANDBOX_UID, engines_folder

HERE = Path(__file__).parent
SECONDS = 90


@dataclass(frozen=True, kw_only=True)
class Client:
    """An installed client; `folder` is where its programs run, and their home."""

    environment: Path
    folder: Path

    def run(self, program: str, arguments: Sequence[str], *, expected: int = 0) -> str:
        """What a program of the environment's `bin` printed."""
        command = [str(self.environment / "bin" / program), *arguments]
        with tempfile.TemporaryDirectory(prefix="wes-client-") as files:
            argv = self._argv(command, write_sandbox_files(Path(files)))
            ended = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ended.returncode == expected, ended.stderr + ended.stdout
        return ended.stdout

    def _argv(self, command: Sequence[str], files: Path) -> tuple[str, ...]:
        interpreter = (self.environment / "bin" / "python").resolve().parents[1]
        shown = [self.environment, *([] if is_system(interpreter) else [interpreter])]
        own = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)
        sandbox = Sandbox(
            mounts=(
                *(Mount(source=path, target=str(path)) for path in shown),
                Mount(source=self.folder, target=str(self.folder), writable=True),
            ),
            chdir=str(self.folder),
            environment={"HOME": str(self.folder), "PATH": os.defpath, "LANG": "C.UTF-8"},
            files=files,
            features=probe(own).features,
        )
        bwrap, isolation, *rest = sandbox.argv(command)
        return (*own.argv(), bwrap, isolation, "--share-net", *rest)

    def script(self, name: str, arguments: Sequence[str]) -> str:
        """What one of our own programs for this client printed."""
        text = (HERE / "programs" / name).read_text()
        return self.run("python", ["-I", "-c", text, *arguments])


def installed(lock_name: str, locks: Path = HERE / "locks") -> Path:
    """The environment of a lock file, built where it is not there yet."""
    lock = locks / f"{lock_name}.txt"
    folder = engines_folder().with_name("clients-test") / lock_name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    marker, environment = folder / "made-from", folder / "environment"
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != wanted:
            shutil.rmtree(environment, ignore_errors=True)
            environment.mkdir()
            make_environment(_site(environment), lock)
            marker.write_text(wanted)
    return environment


def _site(environment: Path) -> InstallTarget:
    identity = foreign_identity(SANDBOX_UID)
    return InstallTarget(
        environment=environment,
        shared=engines_folder(),
        may_read=lambda path: can_reach(identity, path),
        report=lambda line: print(line, file=sys.stderr),
    )


if __name__ == "__main__":
    # Before the tests, so that the progress of a long download is seen.
    for each in sorted((HERE / "locks").glob("*.txt")):
        installed(each.stem)
