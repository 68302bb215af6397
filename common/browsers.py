"""What web pages may do through the browser of someone who can reach this server. Pure.

With a token, a page can do nothing that it has not got the token for, and `*` in the allowed origins is safe: browsers
are never told to send credentials along. Without a token (only on loopback) the browser itself is the way in, so:

- the Host must be this machine or a configured name, or a page of `evil.example` could point its own name here
  (DNS rebinding) and be same-origin;
- `*` does not count: only the server's own pages and origins that are named one by one can read answers, and no other
  page of this machine's loopback, which may be another account's;
- a POST from another origin is refused unless that one is named, as a browser sends forms without asking first.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

ANY = "*"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class BrowserPolicy:
    """`token`: whether callers need one. `origins`: as configured. `names`: hosts that this server goes by."""

    token: bool
    origins: frozenset[str] = frozenset({ANY})
    names: frozenset[str] = field(default_factory=frozenset)

    def knows_host(self, host: str) -> bool:
        """Whether a request with this Host header (`name[:port]`, `[v6]:port`) may be meant for this server."""
        name = _host_name(f"//{host}")
        return self.token or is_loopback(name) or name in self.names

    def lets_read(self, origin: str) -> bool:
        """Whether a page of this origin may see answers."""
        return self._is_named(origin) or self.every_page_reads

    @property
    def every_page_reads(self) -> bool:
        """Whether pages of any origin may see answers: with a token, where `*` is configured."""
        return self.token and ANY in self.origins

    def lets_write(self, origin: str | None, site: str | None, own_origin: str) -> bool:
        """Whether a request that changes something may come from here; `site` is the Sec-Fetch-Site header."""
        if self.token:
            return True
        if origin is None:
            return site != "cross-site"
        return origin == own_origin or self._is_named(origin)

    def _is_named(self, origin: str) -> bool:
        return origin in self.origins - {ANY}


def policy(*, token: bool, origins: Iterable[str], host: str, public_url: str) -> BrowserPolicy:
    """The policy of a server that listens on `host` and is known as `public_url` (may be empty)."""
    names = {host.lower(), _host_name(public_url)} - {""}
    return BrowserPolicy(token=token, origins=frozenset(origins), names=frozenset(names))


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether a host name or address is this machine's own loopback."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
