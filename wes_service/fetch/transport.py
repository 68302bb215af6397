"""Connects to a host only at an address that was looked at: a name is resolved once, and what came out is connected to.

So a name that answers with a public address first and with a private one later gains nothing.
"""

import socket
from collections.abc import Callable, Sequence

import httpx

from wes_service.core.errors import EngineError, SystemFailure
from wes_service.fetch.addresses import Policy, parsed

Endpoint = tuple[str, int]
Resolve = Callable[[str, int], Sequence[Endpoint]]
"""Address and port for a host and port; `OSError` as `socket.getaddrinfo` has it."""
PORTS = {"http": 80, "https": 443}


class Passing(SystemFailure):
    """A failure that may be over a moment later."""


def system_resolve(host: str, port: int) -> Sequence[Endpoint]:
    """What this machine's resolver says, each address once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))


class GuardedTransport(httpx.BaseTransport):
    """In front of another transport, which it only ever gives numeric addresses."""

    def __init__(self, inner: httpx.BaseTransport, policy: Policy, resolve: Resolve = system_resolve) -> None:
        self._inner = inner
        self._policy = policy
        self._resolve = resolve

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        endpoints = self._checked(host, request.url.port or PORTS[request.url.scheme])
        for address, port in endpoints[:-1]:
            try:
                return self._inner.handle_request(_moved(request, address, port))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_moved(request, *endpoints[-1]))

    def close(self) -> None:
        self._inner.close()

    def _checked(self, host: str, port: int) -> Sequence[Endpoint]:
        try:
            endpoints = self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise Passing(f"the name of the host {host} could not be looked up") from None
            raise EngineError(f"there is no host {host}") from None
        except (OSError, UnicodeError):
            raise EngineError(f"there is no host {host}") from None
        for address, _ in endpoints:
            if not self._policy.allows(host, parsed(address)):
                raise EngineError(
                    f"the host {host} has the address {address}, which is not a public one, and such hosts are not "
                    f"asked; who runs this server can allow it ({self._policy.setting})"
                )
        if not endpoints:
            raise EngineError(f"there is no host {host}")
        return endpoints


def _moved(request: httpx.Request, address: str, port: int) -> httpx.Request:
    """The same request to a numeric address; its Host header and the name in its certificate stay the host's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address, port=port),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )
