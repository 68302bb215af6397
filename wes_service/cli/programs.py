"""What each program of `wes up` is started with. Secrets are named by file, never handed over in the environment."""

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wes_service.core.errors import SettingsError
from wes_service.launch.children import ChildSpec
from wes_service.settings import Settings

TES_PORT = 8090


@dataclass(frozen=True, kw_only=True)
class EmbeddedTes:
    """Where the embedded TES is reached, and the file with the token that only the worker holds."""

    port: int
    token_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ga4gh/tes/v1"


def embedded_tes(data: Path) -> EmbeddedTes:
    """Chosen anew where its port of last time is taken."""
    return EmbeddedTes(port=_tes_port(data / "tes" / "port"), token_file=_secret(data / "secrets" / "tes-token"))


def shared_environment(settings: Settings, *, sandboxed: bool) -> dict[str, str]:
    """What API and worker both get: this process's own variables, and the settings as options changed them."""
    environment = {
        **os.environ,
        "WES_DATA": str(settings.data),
        "WES_HOST": settings.host,
        "WES_PORT": str(settings.port),
        "WES_SLOTS": str(settings.slots),
        "WES_ALLOW_DATA": ",".join(str(path) for path in settings.allow_data),
        "WES_TES_URLS": ",".join(settings.tes_urls),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.database_url:
        environment["WES_DATABASE_URL"] = settings.database_url
    if settings.token_file is not None:
        environment["WES_TOKEN_FILE"] = str(settings.token_file)
    environment["WES_UNSANDBOXED"] = str(not sandboxed).lower()
    return environment


def tes_program(settings: Settings, tes: EmbeddedTes, *, sandboxed: bool) -> ChildSpec:
    environment = {
        **os.environ,
        "TES_DATA": str(settings.data / "tes"),
        "TES_HOST": "127.0.0.1",
        "TES_PORT": str(tes.port),
        "TES_TOKEN_FILE": str(tes.token_file),
        "TES_RUNS": str(settings.runs_folder),
        "TES_ALLOW_DATA": ",".join(str(path) for path in settings.allow_data),
        # A task that needs its engine inside (a script of Snakemake's) finds it there where no container has it.
        "TES_PROGRAMS": str(settings.engines_folder),
        "TES_SANDBOX_UID": str(settings.sandbox_uid),
        "TES_UNSANDBOXED": str(not sandboxed).lower(),
    }
    environment.setdefault("TES_FETCH_ALLOW", ",".join(settings.fetch_allow))
    if settings.image_fallback:
        environment["TES_IMAGE_FALLBACK"] = "true"
    return _program("tes", environment, stop_seconds=15)


def worker_program(environment: Mapping[str, str]) -> ChildSpec:
    return _program("worker", environment, stop_seconds=60)


def api_program(environment: Mapping[str, str]) -> ChildSpec:
    return _program("api", environment)


def _program(name: str, environment: Mapping[str, str], stop_seconds: float = 10.0) -> ChildSpec:
    argv = (sys.executable, "-m", "wes_service.cli.main", name)
    return ChildSpec(name=name, argv=argv, environment=environment, stop_seconds=stop_seconds)


def _tes_port(file: Path) -> int:
    """The port of last time where it is free, as stored tasks name it; else 8090, else any free one."""
    wanted = [int(file.read_text())] if file.exists() else []
    for port in (*wanted, TES_PORT, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen = int(trial.getsockname()[1])
            file.write_text(str(chosen))
            return chosen
    raise SettingsError("no port is free on 127.0.0.1 for the embedded TES")


def _secret(file: Path) -> Path:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file
