"""A real git server over HTTP on loopback: git's own http-backend behind a small web server."""

import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from tests.fakes.web_server import serving

IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "PATH": os.defpath,
}


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """What git prints."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=IDENTITY, input=stdin, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


@dataclass(kw_only=True)
class GitSite:
    """`protocols`: False makes it a server that only speaks the oldest protocol."""

    root: Path
    port: int = 0
    newest_protocol: bool = True
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def repository(self, name: str, files: Mapping[str, str | bytes]) -> Path:
        """A repository with one commit on branch `main`."""
        folder = self.root / name
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main")
        self.commit(folder, files)
        return folder

    def commit(self, folder: Path, files: Mapping[str, str | bytes]) -> str:
        """One more commit of what is in the folder; its id."""
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "a change", "--allow-empty")
        return git(folder, "rev-parse", "HEAD")


class Handler(BaseHTTPRequestHandler):
    site: GitSite

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        url = urlsplit(self.path)
        self.site.asked.append(f"{self.command} {self.path}")
        protocol = self.headers.get("Git-Protocol", "") if self.site.newest_protocol else ""
        environment = {
            **IDENTITY,
            "GIT_PROJECT_ROOT": str(self.site.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": protocol,
        }
        # The repositories belong to whoever runs the tests, which git would doubt.
        safe = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        done = subprocess.run(
            ["git", "http-backend"], env={**environment, **safe}, input=body, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def git_site(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[GitSite]:
    """Serves the repositories below `root` until the end of the block."""
    site = GitSite(root=root)
    handler = type("BoundHandler", (Handler,), {"site": site})
    with serving(handler, tls) as server:
        site.port = server.server_address[1]
        yield site
