"""Inputs and outputs over http and https (acceptance: tes, 6).

Which hosts may be asked is the same policy as for workflows (`sandbox.network`). An input is written as the
server sends it: what is compressed there stays so.
"""

import ssl
from dataclasses import dataclass, field

import httpx

from common.errors import EngineError
from sandbox.network import (
    RETRY_STATUSES,
    UNCHANGED,
    NetworkPolicy,
    Resolve,
    TransientFailure,
    followed,
    guarded_client,
    system_resolve,
    translated_errors,
)
from tes_service.remote_files import Content, FileUnchanged, Write

IDLE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class HttpTransfer:
    """As `InputSource` and `OutputTarget`; each host on the way is looked at before it is asked."""

    policy: NetworkPolicy
    resolve: Resolve = system_resolve
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)

    def receive(self, url: str, write: Write, unless: str) -> str:
        headers = UNCHANGED | ({"If-None-Match": unless} if unless else {})
        with (
            translated_errors(url),
            guarded_client(self.policy, self.resolve, self.tls, IDLE_SECONDS) as client,
            followed(client, url, headers) as response,
        ):
            if unless and response.status_code == httpx.codes.NOT_MODIFIED:
                raise FileUnchanged
            _check(response.status_code, {httpx.codes.OK})
            for chunk in response.iter_raw():
                write(chunk)
            tag: str = response.headers.get("etag", "")
            # A weak one (W/) tells that the meaning is the same, not the bytes.
            return tag if tag.startswith('"') and tag.isascii() else ""

    def send(self, url: str, content: Content) -> None:
        """By PUT. It never follows a redirect: what answers 3xx may have read all of it by then."""
        headers = {"Content-Length": str(content.size), "User-Agent": UNCHANGED["User-Agent"]}
        with (
            translated_errors(url),
            guarded_client(self.policy, self.resolve, self.tls, IDLE_SECONDS) as client,
            client.stream("PUT", url, headers=headers, content=content.pieces()) as response,
        ):
            _check(response.status_code, {httpx.codes.OK, httpx.codes.CREATED, httpx.codes.NO_CONTENT})


def _check(code: int, good: set[int]) -> None:
    if code in RETRY_STATUSES or code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise TransientFailure(f"the server answered {code}")
    if code not in good:
        raise EngineError(f"the server answered {code}")
