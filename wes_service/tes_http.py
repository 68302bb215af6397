"""HTTP clients for a TES by its URL, whether it listens on TCP or on a Unix socket.

The environment's proxies are not for a TES: it is where the operator said, and nowhere else.
"""

import os
import socket
from pathlib import Path

import httpx

from wes_service.core.tes_url import tes_address


def tes_client(url: str, timeout: float) -> httpx.Client:
    """Requests by it begin with the path below the TES's base URL; `SettingsError` for a URL of no TES."""
    address = tes_address(url)
    transport = _SocketTransport(address.socket) if address.socket else None
    return httpx.Client(base_url=address.base, transport=transport, timeout=timeout, trust_env=False)


def async_tes_client(url: str, timeout: float, limits: httpx.Limits) -> httpx.AsyncClient:
    """As `tes_client`."""
    address = tes_address(url)
    if address.socket is None:
        return httpx.AsyncClient(base_url=address.base, timeout=timeout, limits=limits, trust_env=False)
    transport = _AsyncSocketTransport(address.socket, limits)
    return httpx.AsyncClient(base_url=address.base, transport=transport, timeout=timeout, trust_env=False)


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
        self._inner = httpx.HTTPTransport(uds=self._socket.path)

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
        self._inner = httpx.AsyncHTTPTransport(uds=self._socket.path, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._socket.renew(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
        self._socket.close()
