"""The command line as a process, against a real `wes up`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.stack import Wes
from tests.engine_fixtures import cwl_installation, engines_folder
from tests.program_server import run_wes

__all__ = ["cwl_installation"]

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A running service that may read `allowed` in place, and a folder of the user's."""

    service: Wes
    allowed: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        rest = {name: value for name, value in os.environ.items() if not name.startswith("WES_")}
        return {
            **rest,
            "WES_SERVER": f"http://127.0.0.1:{self.service.port}",
            "WES_DATA": str(self.service.data),
            "WES_ENGINES": str(self.service.engines),
        }

    def argv(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "wes_cli.main", *(str(argument) for argument in arguments)]

    def wes(self, *arguments: object) -> Done:
        return run_wes(*arguments, environment=self.environment, cwd=self.home)


@pytest.fixture(scope="module")
def machine(cwl_installation: object) -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="wes-cli-", dir="/var/tmp"))
    folder.chmod(0o755)
    allowed, home = folder / "allowed", folder / "home"
    allowed.mkdir()
    home.mkdir()
    options = ("--allow-data", str(allowed))
    environment = {"WES_WEBHOOK_ALLOW": "127.0.0.1"}
    service = Wes(data=folder / "data", engines=engines_folder(), options=options, environment=environment).start()
    yield Machine(service=service, allowed=allowed, home=home)
    service.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def write(machine: Machine) -> Callable[[str, str], Path]:
    """Writes a file of the user's, or by an absolute path any other."""

    def write_file(name: str, content: str) -> Path:
        path = machine.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return write_file
