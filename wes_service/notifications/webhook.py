"""Webhooks: CloudEvents 1.0 by POST (HTTP binding, section 3.2), signed as Standard Webhooks 1.0 has it."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import anyio
import httpx
import structlog

from common.errors import EngineError, SettingsError, SystemFailure
from common.hooks import HookSettings, read_hook_secrets
from sandbox.network import GuardedAsyncTransport, NetworkPolicy, Resolve, system_resolve
from tes.http import tls
from wes_service.core.notification import DeliveryFailure, Notification

LOG = structlog.get_logger(__name__)
MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
ATTEMPT_SECONDS = 15.0
"""From the look-up of the receiver's name to the head of its answer; no more of that is read."""
BUSY_STATUSES = frozenset({408, 425, 429})
NO_SETTINGS = "the service can't send it as it is set up; its log says why"


@dataclass(frozen=True, kw_only=True)
class RunHooks:
    """How runs' own hooks are served: the file with the secret that signs for them, and whom they may reach."""

    secret_file: Path | None
    network: NetworkPolicy
    ca_file: Path | None = None
    resolve: Resolve = system_resolve


@dataclass(frozen=True, kw_only=True)
class WebhookSender:
    """`Sender` by HTTP. Secrets are read at each attempt, so that they can be changed while the service is up."""

    hooks: Mapping[str, HookSettings]
    own: RunHooks
    seconds: float = ATTEMPT_SECONDS

    async def send(self, notification: Notification, message: bytes) -> DeliveryFailure | None:
        hook = self.hooks.get(notification.hook)
        if notification.hook and hook is None:
            return DeliveryFailure(problem="the hook is not configured any more", final=True)
        url = hook.url if hook else notification.url or ""
        try:
            keys = self._keys(hook)
            transport = self._transport(hook, url)
        except SettingsError as error:
            LOG.error(str(error), action="notify", hook=notification.hook, run_id=notification.run_id)
            return DeliveryFailure(problem=NO_SETTINGS)
        headers = {"Content-Type": MEDIA_TYPE, **signature(keys, notification.id, int(time.time()), message)}
        return await self._post(transport, url, headers, message)

    def _keys(self, hook: HookSettings | None) -> Sequence[bytes]:
        if hook is not None:
            return hook.keys()
        if self.own.secret_file is None:
            raise SettingsError("WES_WEBHOOK_SECRET_FILE is needed for the hooks of runs")
        return read_hook_secrets("WES_WEBHOOK_SECRET_FILE", self.own.secret_file)

    def _transport(self, hook: HookSettings | None, own_url: str) -> httpx.AsyncBaseTransport:
        url, file = (hook.url, hook.ca_file) if hook else (own_url, self.own.ca_file)
        plain = httpx.AsyncHTTPTransport(verify=tls(url, file), trust_env=False)
        return plain if hook else GuardedAsyncTransport(plain, self.own.network, self.own.resolve)

    async def _post(
        self, transport: httpx.AsyncBaseTransport, url: str, headers: Mapping[str, str], message: bytes
    ) -> DeliveryFailure | None:
        client = httpx.AsyncClient(transport=transport, timeout=self.seconds, trust_env=False, follow_redirects=False)
        try:
            # httpx's own limit is one for each read, and a receiver may send a byte now and then for ever.
            with anyio.fail_after(self.seconds):
                async with client, client.stream("POST", url, content=message, headers=dict(headers)) as response:
                    return failure_of(response)
        except (TimeoutError, httpx.TimeoutException):
            return DeliveryFailure(problem=f"the receiver did not answer within {self.seconds:g} s")
        except (EngineError, SystemFailure) as error:
            return DeliveryFailure(problem=str(error))
        except httpx.ConnectError as error:
            what = "has no valid certificate" if "CERTIFICATE_VERIFY_FAILED" in str(error) else "can't be reached"
            return DeliveryFailure(problem=f"the receiver {what}")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            return DeliveryFailure(problem="the receiver closed the connection, or does not speak HTTP")


def signature(keys: Sequence[bytes], message_id: str, timestamp: int, message: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks ("Webhook headers"); one signature by each key."""
    signed = f"{message_id}.{timestamp}.".encode() + message
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join("v1," + base64.b64encode(digest).decode() for digest in digests),
    }


def failure_of(response: httpx.Response) -> DeliveryFailure | None:
    """By the head of the answer: 2xx is success; 410 says that no more shall come (Standard Webhooks)."""
    status = response.status_code
    if response.is_success:
        return None
    if status == httpx.codes.GONE:
        return DeliveryFailure(problem="the receiver wants no more (HTTP 410)", final=True)
    if response.is_redirect:
        return DeliveryFailure(problem=f"the receiver redirects (HTTP {status}), which is not followed")
    return DeliveryFailure(
        problem=f"the receiver answered HTTP {status}",
        receiver=status in BUSY_STATUSES or response.is_server_error,
        after=retry_after(response.headers.get("Retry-After", "")),
    )


def retry_after(text: str) -> timedelta:
    """Seconds, or a date (RFC 9110, section 10.2.3); nothing where it is neither."""
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return timedelta()
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(aware - datetime.now(UTC), timedelta())
