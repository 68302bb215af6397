"""Inputs over FTP (RFC 959), by the standard library's client: passive, in binary mode (acceptance: tes, 6)."""

import ftplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from common.errors import EngineError
from sandbox.network import Endpoint, NetworkPolicy, Resolve, TransientFailure, checked_endpoints, system_resolve
from tes_service.remote_files import NoSuchRemoteFile, Write

PORT = 21
IDLE_SECONDS = 60.0
CHUNK = 256 * 1024
NO_FILE = "550"
ANONYMOUS = "anonymous"
LONGEST_ANSWER = 200


@dataclass(frozen=True, kw_only=True)
class FtpSource:
    """As `InputSource`. Only the address that was looked at is ever connected to: the one that a server names for the
    data of a file is not asked."""

    policy: NetworkPolicy
    resolve: Resolve = system_resolve

    def receive(self, url: str, write: Write, unless: str) -> str:  # noqa: ARG002 - FTP tells no versions
        parts = urlsplit(url)
        path = _text("path", parts.path).removeprefix("/")
        with _translated(parts.hostname or ""):
            endpoints = checked_endpoints(self.policy, self.resolve, parts.hostname or "", parts.port or PORT)
            with self._connection(endpoints) as server:
                server.login(*_account(parts))
                server.retrbinary(f"RETR {path}", write, CHUNK)
        return ""

    @contextmanager
    def _connection(self, endpoints: Sequence[Endpoint]) -> Iterator[ftplib.FTP]:
        server = ftplib.FTP(timeout=IDLE_SECONDS)  # noqa: S321 - the task asks for it
        try:
            for address, port in endpoints:
                try:
                    server.connect(address, port)
                    break
                except OSError:
                    if (address, port) == endpoints[-1]:
                        raise
            yield server
        finally:
            server.close()


def _account(parts: SplitResult) -> tuple[str, str]:
    if parts.username is None:
        return ANONYMOUS, f"{ANONYMOUS}@"
    return _text("user name", parts.username), _text("password", parts.password or "")


def _text(what: str, encoded: str) -> str:
    """A command is a line: what is in it must not begin another one."""
    text = unquote(encoded, errors="surrogateescape")
    if any(letter in text for letter in "\r\n\0") or not text.isprintable():
        raise EngineError(f"the {what} in its URL can't be sent to an FTP server")
    return text


@contextmanager
def _translated(host: str) -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        kind = NoSuchRemoteFile if str(error).startswith(NO_FILE) else EngineError
        raise kind(f"the server {host} answered {_line(error)}") from None
    except (ftplib.Error, EOFError) as error:
        raise TransientFailure(f"the server {host} answered {_line(error) or 'nothing'}") from None
    except OSError as error:
        raise TransientFailure(f"the connection to the server {host} failed: {error.strerror or error}") from None


def _line(error: Exception) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(error))[:LONGEST_ANSWER]
