"""Whom code that is not ours, or that serves it, may ask on the network: public addresses, and those that are allowed.

A name is resolved once, and what came out is looked at and connected to. So a name that answers with a public address
first and with a private one later gains nothing.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
from anyio import to_thread

from common.errors import EngineError, SettingsError, SystemFailure
from common.location import check_authority, split_url
from common.masking import bare_url

Address = IPv4Address | IPv6Address
# Where clouds answer their virtual machines: Azure at an address that is public, Oracle at one that Python calls so.
_HOST_SERVICES = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"))
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
PUBLIC = "public"
NO_NETWORK = "none"


@dataclass(frozen=True, kw_only=True)
class NetworkPolicy:
    """Host names (lower case; `*.` before one means all below it) and networks that may be asked; with `public` all
    public addresses may be, too. `setting` is what names them."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    public: bool = True
    setting: str = "WES_FETCH_ALLOW"

    def allows(self, host: str, address: Address) -> bool:
        """Whether `host`, which stands for `address`, may be asked."""
        return self.names(host, address) or (self.public and is_public(address))

    def names(self, host: str, address: Address) -> bool:
        """Whether it is one of those that the setting names."""
        inner, name = embedded_ipv4(address), host.lower().rstrip(".")
        parents = (f"*{name[dot:]}" for dot, letter in enumerate(name) if letter == ".")
        return not self.hosts.isdisjoint([name, *parents]) or any(inner in network for network in self.networks)


def network_policy(allow: Iterable[str], setting: str = "WES_FETCH_ALLOW", *, public: bool = True) -> NetworkPolicy:
    """From what `setting` holds; `SettingsError` for what is neither a name nor a network."""
    hosts: set[str] = set()
    networks: list[IPv4Network | IPv6Network] = []
    for text in allow:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            if "/" in text or ":" in text or "*" in text.removeprefix("*."):
                raise SettingsError(
                    f"{setting}: {text!r} is neither the name of a host nor a network such as 10.0.0.0/8"
                ) from None
            hosts.add(text.lower().rstrip("."))
    return NetworkPolicy(hosts=frozenset(hosts), networks=tuple(networks), public=public, setting=setting)


def chosen_policy(chosen: Sequence[str], setting: str) -> NetworkPolicy | None:
    """From a setting that holds `public`, `none` (the result is None), or what may be asked and nothing else, with
    `public` among it where public addresses are meant besides; `SettingsError`."""
    if list(chosen) == [NO_NETWORK]:
        return None
    if not chosen or NO_NETWORK in chosen:
        raise SettingsError(f"{setting}: give 'public', 'none', or a list of hosts and networks")
    named = [text for text in chosen if text != PUBLIC]
    return network_policy(named, setting, public=PUBLIC in chosen)


def is_public(address: Address) -> bool:
    """Not private, loopback, link-local, shared (100.64.0.0/10), multicast, reserved, nor a cloud's own service."""
    inner = embedded_ipv4(address)
    if inner.is_multicast or inner.is_reserved or any(inner in network for network in _HOST_SERVICES):
        return False
    if isinstance(inner, IPv6Address) and (inner.is_site_local or inner.teredo is not None):
        return False
    return inner.is_global


def embedded_ipv4(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def parsed_address(text: str) -> Address:
    """An address as the resolver gives it, its zone left out."""
    return ip_address(text.partition("%")[0])


Endpoint = tuple[str, int]
Resolve = Callable[[str, int], Sequence[Endpoint]]
"""Address and port for a host and port; `OSError` as `socket.getaddrinfo` has it."""
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_REDIRECTS = 10
UNCHANGED = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "wes-tes"}
"""Headers that ask for a file as it is: nothing compresses it on the way."""
RETRY_STATUSES = frozenset({408, 425, 429})


class AddressRefused(EngineError):
    """The policy does not let the host be asked."""


class TransientFailure(SystemFailure):
    """A failure that may be over a moment later."""


def system_resolve(host: str, port: int) -> Sequence[Endpoint]:
    """What this machine's resolver says, each address once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))


def checked_endpoints(policy: NetworkPolicy, resolve: Resolve, host: str, port: int) -> Sequence[Endpoint]:
    """Where a host may be connected to, at least one; `EngineError` where it may not, `TransientFailure`."""
    try:
        endpoints = resolve(host, port)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise TransientFailure(f"the name of the host {host} could not be looked up") from None
        raise EngineError(f"there is no host {host}") from None
    except (OSError, UnicodeError):
        raise EngineError(f"there is no host {host}") from None
    for address, _ in endpoints:
        if not policy.allows(host, parsed_address(address)):
            what = "a public one, and such hosts are not asked" if policy.public else "one that may be asked"
            raise AddressRefused(
                f"the host {host} has the address {address}, which is not {what}; who runs this server can allow it "
                f"({policy.setting})"
            )
    if not endpoints:
        raise EngineError(f"there is no host {host}")
    return endpoints


class GuardedTransport(httpx.BaseTransport):
    """In front of another transport, which it only ever gives numeric addresses."""

    def __init__(self, inner: httpx.BaseTransport, policy: NetworkPolicy, resolve: Resolve = system_resolve) -> None:
        self._inner = inner
        self._policy = policy
        self._resolve = resolve

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or DEFAULT_PORTS[request.url.scheme]
        endpoints = checked_endpoints(self._policy, self._resolve, host, port)
        for address, port in endpoints[:-1]:
            try:
                return self._inner.handle_request(_readdressed(request, address, port))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_readdressed(request, *endpoints[-1]))

    def close(self) -> None:
        self._inner.close()


class GuardedAsyncTransport(httpx.AsyncBaseTransport):
    """As `GuardedTransport`; a name is looked up in a thread, which a caller that gives up does not wait for."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, policy: NetworkPolicy, resolve: Resolve = system_resolve
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._resolve = resolve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or DEFAULT_PORTS[request.url.scheme]
        endpoints = await to_thread.run_sync(
            checked_endpoints, self._policy, self._resolve, host, port, abandon_on_cancel=True
        )
        for address, port in endpoints[:-1]:
            try:
                return await self._inner.handle_async_request(_readdressed(request, address, port))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_readdressed(request, *endpoints[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _readdressed(request: httpx.Request, address: str, port: int) -> httpx.Request:
    """The same request to a numeric address; its Host header and the name in its certificate stay the host's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address, port=port),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )


def guarded_client(allowed: NetworkPolicy, resolve: Resolve, tls: ssl.SSLContext, idle_seconds: float) -> httpx.Client:
    """It follows no redirect by itself, and asks no proxy that the environment names."""
    # No connection is kept: one that was made for a host must not serve another at the same address.
    pool = httpx.HTTPTransport(
        verify=tls, trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
    )
    timeout = httpx.Timeout(idle_seconds, connect=min(10.0, idle_seconds))
    transport = GuardedTransport(pool, allowed, resolve)
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)


def trusted_certificates(ca_file: Path | None) -> ssl.SSLContext:
    """certifi's, or those of the file; `SystemFailure` where it can't be used."""
    if ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SystemFailure(f"the certificates in {ca_file} (WES_FETCH_CA_FILE) can't be used: {error}") from None


def redirect_target(asked: str, here: str, location: str) -> str:
    """Where a redirect leads; `EngineError` where it must not be followed."""
    there = urljoin(here, location).partition("#")[0]
    try:
        parts = split_url(there)
        check_authority(parts)
        web = parts.scheme.lower() in {"http", "https"}
    except ValueError:
        web = False
    if not web:
        raise EngineError(f"{bare_url(asked)} redirects to what is no plain http(s) URL")
    if urlsplit(here).scheme.lower() == "https" and urlsplit(there).scheme.lower() == "http":
        raise EngineError(f"{bare_url(asked)} redirects from https to {bare_url(there)}, which is not encrypted")
    return there


@contextmanager
def followed(client: httpx.Client, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    """The answer to a GET that is no redirect, to be read in the block; `EngineError` where it redirects too often.
    Another host than that of the URL gets no Authorization header."""
    here = url
    for _ in range(MAX_REDIRECTS + 1):
        is_same = urlsplit(here).netloc == urlsplit(url).netloc
        sent = {name: value for name, value in headers.items() if is_same or name.lower() != "authorization"}
        with client.stream("GET", here, headers=sent) as response:
            location = response.headers.get("location")
            if not response.is_redirect or not location:
                yield response
                return
        here = redirect_target(url, here, location)
    raise EngineError(f"{bare_url(url)} redirects more than {MAX_REDIRECTS} times")


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """httpx's failures in words; those that may pass are `TransientFailure`."""
    try:
        yield
    except httpx.TimeoutException:
        raise TransientFailure(f"{bare_url(url)}: its server did not answer in time") from None
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise EngineError(f"{bare_url(url)}: the certificate of its server is not valid ({error})") from None
        raise TransientFailure(f"{bare_url(url)}: its server can't be reached ({error})") from None
    except httpx.DecodingError:
        raise EngineError(f"{bare_url(url)}: its content is not compressed as the server says") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        raise EngineError(f"{bare_url(url)} is not a URL that can be fetched") from None
    except httpx.HTTPError as error:
        raise TransientFailure(f"{bare_url(url)}: the connection to its server failed ({error})") from None
