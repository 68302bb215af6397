"""Which addresses may be asked for a workflow or an input: public ones, and those that the operator allows. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from wes_service.core.errors import SettingsError

Address = IPv4Address | IPv6Address
# Where clouds answer their virtual machines: Azure at an address that is public, Oracle at one that Python calls so.
_HOST_SERVICES = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"))
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Host names (lower case) and networks that may be asked although they are not public; `setting` names them."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    setting: str = "WES_FETCH_ALLOW"

    def allows(self, host: str, address: Address) -> bool:
        """Whether `host`, which stands for `address`, may be asked."""
        inner = embedded(address)
        if host.lower().rstrip(".") in self.hosts or any(inner in network for network in self.networks):
            return True
        return is_public(address)


def policy(allow: Iterable[str], setting: str = "WES_FETCH_ALLOW") -> Policy:
    """From what `setting` holds; `SettingsError` for what is neither a name nor a network."""
    hosts: set[str] = set()
    networks: list[IPv4Network | IPv6Network] = []
    for text in allow:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            if "/" in text or ":" in text or "*" in text:
                raise SettingsError(
                    f"{setting}: {text!r} is neither the name of a host nor a network such as 10.0.0.0/8"
                ) from None
            hosts.add(text.lower().rstrip("."))
    return Policy(hosts=frozenset(hosts), networks=tuple(networks), setting=setting)


def is_public(address: Address) -> bool:
    """Not private, loopback, link-local, shared (100.64.0.0/10), multicast, reserved, nor a cloud's own service."""
    inner = embedded(address)
    if inner.is_multicast or inner.is_reserved or any(inner in network for network in _HOST_SERVICES):
        return False
    if isinstance(inner, IPv6Address) and (inner.is_site_local or inner.teredo is not None):
        return False
    return inner.is_global


def embedded(address: Address) -> Address:
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


def parsed(text: str) -> Address:
    """An address as the resolver gives it, its zone left out."""
    return ip_address(text.partition("%")[0])
