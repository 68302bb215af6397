"""HTTP clients for a TES by its URL, whether it listens on TCP or on a Unix socket.

The environment's proxies are not for a TES: it is where the operator said, and nowhere else.
"""

import os
import socket
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from common.errors import SettingsError
from common.json_types import BadJson, read_json


def tes_client(url: str, timeout: float, ca_file: Path | None = None) -> httpx.Client:
    """Requests by it begin with the path below the TES's base URL; `SettingsError` for a URL of no TES, and for a file
    of certificate authorities that can't be used."""
    address = tes_address(url)
    transport = (
        _SocketTransport(address.socket)
        if address.socket
        else httpx.HTTPTransport(verify=tls(url, ca_file), trust_env=False)
    )
    return httpx.Client(base_url=address.base, transport=transport, timeout=timeout, trust_env=False)


def async_tes_client(url: str, timeout: float, limits: httpx.Limits, ca_file: Path | None = None) -> httpx.AsyncClient:
    """As `tes_client`."""
    address = tes_address(url)
    transport = (
        _AsyncSocketTransport(address.socket, limits)
        if address.socket
        else httpx.AsyncHTTPTransport(verify=tls(url, ca_file), limits=limits, trust_env=False)
    )
    return httpx.AsyncClient(base_url=address.base, transport=transport, timeout=timeout, trust_env=False)


def tls(url: str, ca_file: Path | None = None) -> ssl.SSLContext | bool:
    """For httpx's `verify`: the certificate authorities of `ca_file`, else certifi's.

    They are loaded once, and only for https: that takes 40 ms, and probes make a client each.
    """
    return _trusted_certificates(ca_file) if urlsplit(url).scheme == "https" else False


@cache
def _trusted_certificates(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise SettingsError(f"ca_file {ca_file} holds no certificates in PEM format") from None
    except OSError as error:
        raise SettingsError(f"ca_file {ca_file} can't be read: {error.strerror}") from None


class _ShortPath:
    """A socket by way of its folder's descriptor, as its path may be 107 bytes long and a folder's is often longer."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._handle = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.path = f"/proc/self/fd/{self._handle}/{path.name}"

    def renew(self, request: httpx.Request) -> None:
        """The folder as it is now, since its server may have made it anew; `ConnectError` where there is none."""
        try:
            now = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise httpx.ConnectError(f"{self._folder}: {error.strerror}", request=request) from error
        os.dup2(now, self._handle, inheritable=False)
        os.close(now)

    def close(self) -> None:
        os.close(self._handle)


class _SocketTransport(httpx.BaseTransport):
    def __init__(self, path: Path) -> None:
        self._socket = _ShortPath(path)
        self._inner = httpx.HTTPTransport(uds=self._socket.path, verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._socket.renew(request)
        self._try(request)
        return self._inner.handle_request(request)

    def _try(self, request: httpx.Request) -> None:
        """httpcore 1.0.9 leaves the socket of a refused connection to the garbage collector, which warns of it."""
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(request.extensions["timeout"]["connect"])
            try:
                trial.connect(self._socket.path)
            except OSError as error:
                raise httpx.ConnectError(str(error), request=request) from error

    def close(self) -> None:
        self._inner.close()
        self._socket.close()


class _AsyncSocketTransport(httpx.AsyncBaseTransport):
    def __init__(self, path: Path, limits: httpx.Limits) -> None:
        self._socket = _ShortPath(path)
        self._inner = httpx.AsyncHTTPTransport(uds=self._socket.path, limits=limits, verify=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._socket.renew(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
        self._socket.close()


def json_object(response: httpx.Response, most: int) -> dict[str, Any]:
    """The JSON object of a streamed answer, of which not much more than `most` bytes are read; empty where it is none,
    or a larger one."""
    raw = bytearray()
    for chunk in response.iter_raw():
        raw += chunk
        if len(raw) > most:
            return {}
    try:
        found = read_json(bytes(raw))
    except BadJson:
        return {}
    return found if isinstance(found, dict) else {}


def error_message(document: Any) -> str:
    """The message of an error as TES servers write it; empty for what none of them writes."""
    if not isinstance(document, dict):
        return ""
    message = next((document[name] for name in ("msg", "message", "detail", "error") if document.get(name)), "")
    return str(message)[:2000]


BY_SOCKET = "http+unix"
WANTED = "http://HOST:PORT/ga4gh/tes/v1, or http+unix://%2FPATH%2FOF%2FTHE.sock/ga4gh/tes/v1"


@dataclass(frozen=True, kw_only=True)
class TesAddress:
    """Where a TES is: `base` is what HTTP is told, without a slash at its end; `socket` the way there, if not TCP."""

    base: str
    socket: Path | None = None


def tes_address(url: str) -> TesAddress:
    """`SettingsError` for what is no URL of a TES; the path of a socket is absolute and percent-encoded as a host."""
    try:
        parts = urlsplit(url)
        is_tcp = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _wrong(url) from None
    if is_tcp:
        return TesAddress(base=url.rstrip("/"))
    socket = Path(unquote(parts.netloc))
    if parts.scheme != BY_SOCKET or not socket.is_absolute() or "\0" in str(socket):
        raise _wrong(url)
    return TesAddress(base=f"http://localhost{parts.path.rstrip('/')}", socket=socket)


def socket_url(socket: Path, path: str) -> str:
    """The URL of a TES whose API is below `path` on a Unix socket."""
    return f"{BY_SOCKET}://{quote(str(socket), safe='')}{path}"


def _wrong(url: str) -> SettingsError:
    return SettingsError(f"{url!r} is not the URL of a TES: write {WANTED}")
