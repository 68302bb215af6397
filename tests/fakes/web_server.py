"""A web site on loopback for tests: pages, redirects, errors, slow answers."""

import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Reply:
    """`wait_seconds`: between the headers and the body; `times`: how often, before the page is as usual (0: always)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    times: int = 0


@dataclass(kw_only=True)
class Site:
    """`pages` by path with query; `asked` are the requests that came, with their Host header."""

    port: int = 0
    pages: dict[str, Reply | str] = field(default_factory=dict)
    afterwards: dict[str, Reply | str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.path, self.headers.get("Host", "")))
        found = self.site.pages.get(self.path, Reply(status=404))
        reply = Reply(body=found.encode()) if isinstance(found, str) else found
        if reply.times and self.site.paths().count(self.path) >= reply.times:
            self.site.pages[self.path] = self.site.afterwards[self.path]
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.wait_seconds:
            self.wfile.flush()
            self.site.closing.wait(reply.wait_seconds)
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_site(tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> Iterator[Site]:
    """Runs one until the end of the block."""
    site = Site()
    handler = type("BoundHandler", (Handler,), {"site": site})
    with serving(handler, tls, address) as server:
        site.port = server.server_address[1]
        yield site
        site.closing.set()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests are about."""


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> Iterator[ThreadingHTTPServer]:
    server = Server((address, 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path, *names: str) -> Path:
    """A file with a new key and a certificate of its own for these hosts."""
    path = folder / "server.pem"
    hosts = ",".join(f"DNS:{name}" for name in names)
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={hosts}"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(key.read_bytes() + cert.read_bytes())
    return path
