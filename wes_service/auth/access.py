"""Whom this server serves: one shared bearer token (RFC 6750) or accounts of this machine, and pages in browsers."""

import hashlib
import hmac
import re
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from common.browsers import SAFE_METHODS, BrowserPolicy
from common.errors import Forbidden, InvalidRequest, Unauthorized
from wes_service.core.links import Links
from wes_service.core.run import ANONYMOUS, Owner

TOKEN_OWNER = Owner(issuer="local", subject="token")
CLIENT_UID = "wes.client_uid"
"""In the scope: a function that tells the account of the process at the other end; None where it can't be told."""
EXPOSED_HEADERS = "Accept-Ranges, Content-Range, Content-Length, ETag, WWW-Authenticate"
OTHER_ACCOUNT = (
    "This server runs without a token, so it serves only programs of the account that started it, and of root. Its "
    "operator can let others in: start it with --token-file FILE (WES_TOKEN_FILE), and give them that token."
)
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, and how this server's own URLs begin for them."""

    owner: Owner
    links: Links


@dataclass(frozen=True, kw_only=True, repr=False)
class BearerAuth:
    """Without a `token` every caller is anonymous; with one, every caller that sends it is the same owner."""

    token: str | None

    @property
    def needed(self) -> bool:
        """Whether callers must send a token."""
        return self.token is not None

    def owner(self, authorization: str | None) -> Owner:
        """Who sends this Authorization header; `Unauthorized` where the token is missing or wrong."""
        if self.token is None:
            return ANONYMOUS
        scheme, _, sent = (authorization or "").strip().partition(" ")
        # Digests are compared, so that neither the time nor the length tells anything.
        same = hmac.compare_digest(_digest(sent.strip()), _digest(self.token))
        if scheme.lower() != "bearer" or not same:
            raise Unauthorized
        return TOKEN_OWNER


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


class RequestHead:
    """What the access policy reads of a request: method, path and headers."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._scheme: str = scope.get("scheme") or "http"
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        server = scope.get("server") or ("localhost", None)
        self._server = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
        self._client_uid: Callable[[], int | None] = scope.get(CLIENT_UID, lambda: None)

    @property
    def host(self) -> str:
        """The Host header; the address that the request came to where there is none."""
        return self.header("host") or self._server

    @property
    def uid(self) -> int | None:
        """The account of this machine that the request comes from; None where it can't be told."""
        return self._client_uid()

    @property
    def origin(self) -> str:
        """This server's own origin as the client sees it."""
        return f"{self._scheme}://{self.host}"

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks what a page may send (Fetch, CORS-preflight request)."""
        return self.method == "OPTIONS" and b"access-control-request-method" in self._headers

    def header(self, name: str) -> str | None:
        """The first header of this name (in lower case)."""
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")


@dataclass(frozen=True, kw_only=True)
class AccessPolicy:
    """Whom this server serves. `open_paths` are read without a token; `public_url` is empty where none is set.

    `uids`: the accounts of this machine that are served at all; None where a token decides.
    """

    auth: BearerAuth
    browsers: BrowserPolicy
    public_url: str
    open_paths: frozenset[str]
    uids: frozenset[int] | None = None

    def admit(self, head: RequestHead) -> Caller:
        """The caller; `Unauthorized`, `Forbidden` or `InvalidRequest` where the request is refused."""
        if self.uids is not None and head.uid not in self.uids:
            raise Forbidden(OTHER_ACCOUNT)
        if not _HOST.fullmatch(head.host):
            raise InvalidRequest("Host: this is not a host name")
        if not self.browsers.knows_host(head.host):
            raise Forbidden(f"Host: {head.host} is not a name of this server; set WES_PUBLIC_URL to use it")
        if head.method not in SAFE_METHODS:
            self._check_origin(head)
        links = Links(base=self.public_url.rstrip("/") or head.origin)
        if head.path in self.open_paths and head.method in SAFE_METHODS:
            return Caller(owner=ANONYMOUS, links=links)
        return Caller(owner=self.auth.owner(head.header("authorization")), links=links)

    def cors_headers(self, head: RequestHead) -> dict[str, str]:
        """The headers by which a browser lets the page that asks see the response."""
        origin = head.header("origin")
        if origin is None:
            return {}
        if self.browsers.every_page_reads or (self.browsers.token and head.path in self.open_paths):
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED_HEADERS}
        if not self.browsers.lets_read(origin):
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED_HEADERS,
            "Vary": "Origin",
        }

    def _check_origin(self, head: RequestHead) -> None:
        origin = head.header("origin")
        if not self.browsers.lets_write(origin, head.header("sec-fetch-site"), head.origin):
            raise Forbidden(f"Origin: pages of {origin or 'other sites'} may not start runs; see WES_CORS_ORIGINS")
