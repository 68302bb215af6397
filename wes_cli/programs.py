"""The programs of `wes up`: how each is started, kept running and ended."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.hooks import new_hook_secret
from tes.http import socket_url
from wes_cli.forked import ForkedProgram
from wes_service.settings import Settings, embedded_tes_socket, embedded_tes_token_file

MAX_QUICK_DEATHS = 5
QUICK_DEATH_SECONDS = 10.0
MAX_RESTART_DELAY = 10.0


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """A program of the stack; `stop_seconds` is how long it may take to stop by itself.

    `command`: the arguments of `wes` with which it may be forked in place of `argv`; empty for another program.
    """

    name: str
    argv: Sequence[str]
    command: Sequence[str] = ()
    environment: Mapping[str, str]
    stop_seconds: float = 10.0


@dataclass(kw_only=True)
class Child:
    """One running program. Its output goes to `log`; it dies with this process, whatever kills that."""

    spec: ChildSpec
    log: Path
    fork: bool = False
    """Whether a command of `wes` is forked, for which this process must have a single thread."""
    process: "subprocess.Popen[bytes] | ForkedProgram | None" = None
    started: float = 0.0
    quick_deaths: int = 0
    wait_until: float = field(default=0.0)
    log_start: int | None = None

    def start(self) -> None:
        """Starts the program; the end of its log is from here on."""
        with self.log.open("ab") as out:
            self.log_start = out.tell() if self.log_start is None else self.log_start
            # A session of its own: Ctrl-C in the terminal is for `wes up`, which ends its children in order.
            if self.fork and self.spec.command:
                self.process = ForkedProgram(self.spec.command, self.spec.environment, self.log)
            else:
                self.process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *self.spec.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=dict(self.spec.environment),
                    start_new_session=True,
                )
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it is running or before the first start."""
        return None if self.process is None else self.process.poll()

    def note_death(self) -> str | None:
        """A line about a death that was not noted yet, with the time of the restart; None where there is none."""
        if self.alive or self.process is None or self.wait_until:
            return None
        lived = time.monotonic() - self.started
        self.quick_deaths = self.quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        wait = min(MAX_RESTART_DELAY, 0.2 * 2**self.quick_deaths)
        self.wait_until = time.monotonic() + wait
        return (
            f"{self.spec.name} ended with code {self.exit_code}; it is started again in {wait:.1f} s (see {self.log})"
        )

    @property
    def crash_looping(self) -> bool:
        """Whether it ended soon after each of the last starts."""
        return self.quick_deaths >= MAX_QUICK_DEATHS

    def restart_if_due(self) -> bool:
        """Whether it was started again just now."""
        if not self.wait_until or time.monotonic() < self.wait_until:
            return False
        self.wait_until = 0.0
        self.start()
        return True

    def stop(self) -> None:
        """Asks it to stop, ends it after `stop_seconds`, and returns when it is gone."""
        if self.process is None:
            return
        self.send(signal.SIGTERM)
        try:
            self.process.wait(self.spec.stop_seconds)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.process.wait()

    def last_lines(self, count: int = 15) -> str:
        """The end of its output, of this `wes up` only."""
        try:
            with self.log.open("rb") as log:
                log.seek(self.log_start or 0)
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-count:])

    def send(self, number: int) -> None:
        """Sends it a signal; does nothing where it has ended."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)


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
        """Its base URL, `http+unix://…`."""
        return socket_url(self.socket, TES_BASE)


def embedded_tes(data: Path) -> EmbeddedTes:
    """With a token, made where there is none yet."""
    return EmbeddedTes(socket=embedded_tes_socket(data), token_file=_secret(embedded_tes_token_file(data)))


def previous_tes_url(data: Path) -> str | None:
    """The URL that its tasks of the last start are stored with; it once was a TCP port, in a file of its own."""
    url, port = data / "tes" / "url", data / "tes" / "port"
    if url.exists():
        return url.read_text().strip()
    return f"http://127.0.0.1:{port.read_text().strip()}{TES_BASE}" if port.exists() else None


def record_tes_url(data: Path, tes: EmbeddedTes) -> None:
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
    if settings.config is not None:
        environment["WES_CONFIG"] = str(settings.config.absolute())
    if settings.database_url:
        environment["WES_DATABASE_URL"] = settings.database_url
    environment["WES_WEBHOOK_SECRET_FILE"] = str(
        settings.webhook_secret_file or _secret(settings.data / "secrets" / "webhook-secret", new_hook_secret)
    )
    if settings.token_file is not None:
        environment["WES_TOKEN_FILE"] = str(settings.token_file)
    environment["WES_UNSANDBOXED"] = str(not sandboxed).lower()
    return environment


def tes_program(settings: Settings, tes: EmbeddedTes, *, sandboxed: bool) -> ChildSpec:
    """The embedded TES, on its socket, for the runs of this service."""
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
    if settings.config is not None:
        environment["WES_CONFIG"] = str(settings.config.absolute())
    return _program("tes", environment, stop_seconds=15)


def worker_program(environment: Mapping[str, str]) -> ChildSpec:
    """A worker; it may take a minute to stop, as it ends its engines in order."""
    return _program("worker", environment, stop_seconds=60)


def api_program(environment: Mapping[str, str]) -> ChildSpec:
    """The API."""
    return _program("api", environment)


def _program(name: str, environment: Mapping[str, str], stop_seconds: float = 10.0) -> ChildSpec:
    argv = (sys.executable, "-m", "wes_cli.main", name)
    return ChildSpec(name=name, argv=argv, command=(name,), environment=environment, stop_seconds=stop_seconds)


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _secret(file: Path, new: Callable[[], str] = _new_token) -> Path:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(new())
    return file
