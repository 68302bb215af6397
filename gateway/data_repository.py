"""What a GA4GH Data Repository Service (DRS 1.x) tells of an object that a task reads by a `drs://` URL.

Its answers are another party's: what they lead to is looked at as what a task names itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, unquote

from common.errors import EngineError, InvalidLocation
from common.json_types import BadJson, read_json
from common.location import DRS, REMOTE, RemoteLocation, parse_location

LARGEST_ANSWER = 1024**2
MOST_WAYS = 20
"""Access methods of an object that are looked at."""


class GetDocument(Protocol):
    """Asks a server on the web."""

    def document(self, url: str, most: int) -> bytes:
        """A good answer of at most so many bytes; `EngineError`, `TransientFailure`."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the bytes of an object are, and the header (Authorization) that its server asks for."""

    location: RemoteLocation
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataRepositories:
    """All that there are, by the host in the URL. Methods block, and raise `EngineError` or `TransientFailure`."""

    web: GetDocument

    def access(self, url: str, rank: Callable[[str], int | None]) -> Access:
        """The best way to the bytes: that of the kind of URL with the lowest rank, None for one of no use."""
        whole = _object_url(url)
        found = self._object(whole)
        if found.get("contents"):
            raise EngineError(f"{url} is a bundle of several objects; name each of them as an input of its own")
        for method in _ranked(found.get("access_methods"), rank):
            access = self._access(whole, method)
            if access is not None and rank(access.location.scheme) is not None:
                return access
        kinds = ", ".join(sorted({str(one.get("type")) for one in _objects(found.get("access_methods"))})) or "none"
        raise EngineError(f"{url} can't be read here: its server has it by {kinds[:200]}")

    def _access(self, whole: str, method: Mapping[str, Any]) -> Access | None:
        address = method.get("access_url")
        if not address and isinstance(named := method.get("access_id"), str) and named:
            address = self._object(f"{whole}/access/{quote(named, safe='')}")
        if not isinstance(address, Mapping):
            return None
        try:
            location = parse_location(str(address.get("url") or ""))
        except InvalidLocation:
            return None
        if not isinstance(location, RemoteLocation) or location.scheme == DRS:
            return None
        return Access(location=location, headers=dict(_authorization(address.get("headers"))))

    def _object(self, url: str) -> Mapping[str, Any]:
        try:
            found = read_json(self.web.document(url, LARGEST_ANSWER))
        except BadJson:
            found = None
        if not isinstance(found, dict):
            raise EngineError(f"{url} did not answer with a JSON object, as a DRS server does")
        return found


def _object_url(url: str) -> str:
    """Of a hostname-based DRS URI (DRS 1.4, appendix "Hostname-Based URIs")."""
    host, _, name = url.partition("://")[2].partition("/")
    if ":" in host and not host.rpartition(":")[2].isdigit():
        raise EngineError(f"{url} is a compact identifier, which is not looked up here; name the host of its server")
    if not name or "/" in name or "?" in name or "#" in name or "@" in host:
        raise EngineError(f"{url} names no object of a DRS server, as drs://HOST/ID")
    return f"https://{host}/ga4gh/drs/v1/objects/{quote(unquote(name), safe='')}"


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)][:MOST_WAYS] if isinstance(value, list) else []


def _ranked(methods: Any, rank: Callable[[str], int | None]) -> Sequence[Mapping[str, Any]]:
    """Those of use; one of type `https` may lead to a URL of another kind, and the other way round."""
    known = [(rank(kind), one) for one in _objects(methods) if (kind := str(one.get("type"))) in REMOTE]
    return [one for _, one in sorted(((at, one) for at, one in known if at is not None), key=lambda each: each[0])]


def _authorization(headers: Any) -> Iterator[tuple[str, str]]:
    """Of `Name: value` lines; no other header is another party's to set."""
    for line in headers if isinstance(headers, list) else ():
        name, _, value = str(line).partition(":")
        if name.strip().lower() == "authorization" and value.isprintable():
            yield "Authorization", value.strip()
