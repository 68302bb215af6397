"""What each program of `wes up` is started with. Secrets are named by file, never handed over in the environment."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tes.http import socket_url
from wes_cli.children import ChildSpec
from wes_service.settings import Settings

TES_BASE = "/ga4gh/tes/v1"


@dataclass(frozen=True, kw_only=True)
class EmbeddedTes:
    """The Unix socket of the embedded TES, and the file with the token that only the worker holds.

    The token is for where engines run without a sandbox, as this server's own account, which may connect.
    """

    socket: Path
    token_file: Path

    @property
    def url(self) -> str:
        return socket_url(self.socket, TES_BASE)


def embedded_tes(data: Path) -> EmbeddedTes:
    """The folder of the socket is its own, as what tasks run as may pass through that of the tasks."""
    return EmbeddedTes(
        socket=data.absolute() / "tes" / "socket" / "tes.sock", token_file=_secret(data / "secrets" / "tes-token")
    )


def embedded_tes_before(data: Path) -> str | None:
    """The URL that its tasks of the last start are stored with; it once was a TCP port, in a file of its own."""
    url, port = data / "tes" / "url", data / "tes" / "port"
    if url.exists():
        return url.read_text().strip()
    return f"http://127.0.0.1:{port.read_text().strip()}{TES_BASE}" if port.exists() else None


def note_embedded_tes(data: Path, tes: EmbeddedTes) -> None:
    """For the next start, once no stored task has the URL of the last one."""
    (data / "tes" / "url").write_text(tes.url)
    (data / "tes" / "port").unlink(missing_ok=True)


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
        "TES_UDS": str(tes.socket),
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
    argv = (sys.executable, "-m", "wes_cli.main", name)
    return ChildSpec(name=name, argv=argv, environment=environment, stop_seconds=stop_seconds)


def _secret(file: Path) -> Path:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file
