"""Several APIs and workers as an operator runs them on many machines: programs of their own, started by `wes`."""

import json
import os
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from tes.http import tes_client
from tes.task import TAG_RUN
from tests.acceptance.stack import Wes
from tests.engine_fixtures import engines_folder
from tests.http_client import http
from tests.program_server import NEEDS_EXEC, StartedProgram
from tests.waiting import until
from wes_cli import programs
from wes_cli.programs import Child, ChildSpec
from wes_cli.redis_server import find_redis, redis_argv
from wes_service.settings import Settings


@dataclass(kw_only=True)
class PreloadedChild(Child):
    """One that is forked from a process which has imported it."""

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.log_start = out.tell() if self.log_start is None else self.log_start
        self.process = StartedProgram(self.spec.command, self.spec.environment, self.log)
        self.started = time.monotonic()


@dataclass(kw_only=True)
class Replica:
    """One program, and its log."""

    child: Child

    def start(self) -> None:
        self.child.start()

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> list[psutil.Process]:
        """`kill -9` of the program itself; what it had started, for a test to see end."""
        assert self.child.process is not None
        processes = psutil.Process(self.child.process.pid).children(recursive=True)
        os.kill(self.child.process.pid, signal.SIGKILL)
        self.child.process.wait(10)
        return processes

    def logged(self, action: str) -> list[dict[str, Any]]:
        """The lines of its log about one action."""
        lines = self.child.log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry.get("action") == action]

    def command_line(self) -> str:
        assert self.child.process is not None
        return " ".join(psutil.Process(self.child.process.pid).cmdline())


@dataclass(kw_only=True)
class Api(Replica):
    """`wes api`, and a client of it."""

    wes: Wes

    def wait_until_ready(self) -> None:
        until(lambda: answers(f"{self.wes.url}/service-info"), self.child.last_lines)


@dataclass(kw_only=True)
class Cluster:
    """APIs and workers on one database, one Redis, one folder of runs and one TES. The password is in a file.

    With `alone` each program is started by itself, as on a machine of its own.
    """

    data: Path
    database_url: str
    password: str
    redis_url: str
    slots: int = 1
    alone: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    apis: list[Api] = field(default_factory=list)
    workers: list[Replica] = field(default_factory=list)
    tes: Replica | None = None

    def start_tes(self, **environment: str) -> None:
        """The embedded one, with a token that only the workers hold; `environment` is for it alone."""
        settings = Settings(data=self.data, engines=engines_folder())
        for name in ("tes", "secrets", "runs", "logs"):
            (self.data / name).mkdir(mode=0o711)
        tes = programs.embedded_tes(self.data)
        self.environment = {"WES_TES_URLS": tes.url, "WES_TES_TOKEN_FILE": str(tes.token_file), **self.environment}
        program = programs.tes_program(settings, tes, sandboxed=True)
        # As in `Wes`: tests name images that a machine need not have.
        variables = {**program.environment, "TES_RUNNER": "bubblewrap", **environment}
        self.tes = Replica(child=self._child(replace(program, environment=variables)))
        self.tes.start()

    def add_api(self) -> Api:
        wes = Wes(data=self.data, engines=engines_folder())
        spec = programs.api_program({**self._environment(), "WES_PORT": str(wes.port)})
        api = Api(child=self._child(spec), wes=wes)
        self.apis.append(api)
        api.start()
        return api

    def add_worker(self, **environment: str) -> Replica:
        spec = programs.worker_program({**self._environment(), **environment})
        worker = Replica(child=self._child(spec))
        self.workers.append(worker)
        worker.start()
        until(lambda: bool(worker.logged("worker_ready")), worker.child.last_lines)
        return worker

    def tasks(self, *runs: str) -> list[dict[str, Any]]:
        """All that the TES ever had of these runs."""
        token = Path(self.environment["WES_TES_TOKEN_FILE"]).read_text()
        with tes_client(self.environment["WES_TES_URLS"], 30.0) as client:
            headers = {"Authorization": f"Bearer {token}"}
            response = client.get("/tasks", params={"view": "BASIC", "page_size": 2000}, headers=headers)
        assert response.status_code == httpx.codes.OK, response.text
        return [task for task in response.json()["tasks"] if task.get("tags", {}).get(TAG_RUN) in runs]

    def said(self) -> str:
        """All logs of all programs."""
        return "".join(path.read_text() for path in (self.data / "logs").iterdir())

    def programs(self) -> list[Replica]:
        return [*self.apis, *self.workers, *([self.tes] if self.tes else [])]

    def stop(self) -> None:
        for program in self.programs():
            program.stop()

    def _child(self, spec: ChildSpec) -> Child:
        preloaded = not self.alone and NEEDS_EXEC.isdisjoint(spec.environment)
        kind = PreloadedChild if preloaded else Child
        return kind(spec=spec, log=self.data / "logs" / f"{spec.name}-{secrets.token_hex(4)}.log")

    def _password_file(self) -> Path:
        """Written once, in one step: programs that run read it at any moment."""
        secret = self.data / "secrets" / "database-password"
        if not secret.exists():
            partial = secret.with_suffix(".part")
            partial.write_text(self.password)
            partial.chmod(0o600)
            partial.rename(secret)
        return secret

    def _environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("WES_", "TES_"))},
            "WES_DATA": str(self.data),
            "WES_ENGINES": str(engines_folder()),
            "WES_DATABASE_URL": self.database_url,
            "WES_DATABASE_PASSWORD_FILE": str(self._password_file()),
            "WES_REDIS_URL": self.redis_url,
            "WES_SLOTS": str(self.slots),
            "WES_LEASE_SECONDS": "4",
            **self.environment,
        }


def redis_program(folder: Path) -> tuple[Replica, str]:
    """A Redis with its socket in `folder`, and its URL; not started."""
    socket = folder / "r.sock"
    argv = redis_argv(find_redis(folder, print), socket)
    spec = ChildSpec(name="redis", argv=argv, environment={"PATH": os.defpath})
    return Replica(child=Child(spec=spec, log=folder / "redis.log")), f"redis+socket://{socket}"


def answers(url: str) -> bool:
    try:
        return http.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
