"""One shared bearer token (RFC 6750), or none."""

import hashlib
import hmac
from dataclasses import dataclass

from common.errors import Unauthorized
from wes_service.core.run import ANONYMOUS, Owner

TOKEN_OWNER = Owner(issuer="local", subject="token")


@dataclass(frozen=True, kw_only=True, repr=False)
class BearerAuth:
    """Without a `token` every caller is anonymous; with one, every caller that sends it is the same owner."""

    token: str | None

    @property
    def needed(self) -> bool:
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
