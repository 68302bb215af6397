"""Checks token, Host and Origin before anything else sees the request (acceptance: tes, 13)."""

import base64
import binascii
import hmac
import json
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from common.browsers import SAFE_METHODS, BrowserPolicy

PUBLIC_PATHS = ("/ga4gh/tes/v1/service-info",)
"""Paths that need no token."""


@dataclass(frozen=True)
class AccessMiddleware:
    """An ASGI application around another. With no `token` everybody may pass who is no page of a web site: `browsers`
    decides that, and is None where no browser can connect (on a Unix socket)."""

    app: ASGIApp
    token: str | None
    browsers: BrowserPolicy | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await _refuse(send, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if self.token is not None and not self._has_token(scope, self.token):
            return 401, "a valid token is needed (Bearer, or Basic with it as password)"
        return None if self.browsers is None else _page_refusal(scope, self.browsers)

    def _has_token(self, scope: Scope, token: str) -> bool:
        if scope["path"] in PUBLIC_PATHS:
            return True
        return hmac.compare_digest(_credential(_header(scope, b"authorization") or b""), token.encode())


def _page_refusal(scope: Scope, browsers: BrowserPolicy) -> tuple[int, str] | None:
    """Why a request may be that of a web page which this server has nothing to do with."""
    host = _text(scope, b"host") or ""
    if not browsers.knows_host(host):
        return 403, f"Host: {host} is not a name of this server"
    origin, own = _text(scope, b"origin"), f"{scope.get('scheme', 'http')}://{host}"
    if scope["method"] in SAFE_METHODS or browsers.lets_write(origin, _text(scope, b"sec-fetch-site"), own):
        return None
    return 403, f"Origin: pages of {origin or 'other sites'} may not start or cancel tasks"


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _text(scope: Scope, name: bytes) -> str | None:
    value = _header(scope, name)
    return None if value is None else value.decode("latin-1")


def _credential(header: bytes) -> bytes:
    """The token of `Bearer TOKEN`, or the password of `Basic`, whoever the user is."""
    scheme, _, value = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"msg": message, "status_code": status})
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
