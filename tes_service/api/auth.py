"""Checks the token before anything else sees the request (acceptance: tes, 13)."""

import base64
import binascii
import hmac
import json
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = ("/ga4gh/tes/v1/service-info",)
"""Paths that need no token."""


@dataclass(frozen=True)
class TokenGate:
    """An ASGI application around another; with no token everybody may pass."""

    app: ASGIApp
    token: str | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.token is None or self._may_pass(scope, self.token):
            await self.app(scope, receive, send)
        else:
            await _refuse(send)

    def _may_pass(self, scope: Scope, token: str) -> bool:
        if scope["path"] in OPEN:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(_credential(given), token.encode())


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


async def _refuse(send: Send) -> None:
    body = json.dumps({"msg": "a valid token is needed (Bearer, or Basic with it as password)", "status_code": 401})
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
