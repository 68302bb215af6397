"""What a TES is shown with each request: a bearer token, a password, an API key, or a token of an OAuth2 server.

Files with secrets are read for each request, as they may be replaced at any time.
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from common.configuration import TesServer
from common.errors import SettingsError, WesError
from common.json_types import JsonObject
from tes.http import json_object, tls

TOKEN_SECONDS = 10.0
"""How long a token server may take to answer."""
EARLY_SECONDS = 30.0
"""A token is replaced so long before it expires, or after nine tenths of its time where that is later."""
DEFAULT_LIFE = 300.0
"""Seconds, of a token whose server does not tell (RFC 6749, section 5.1)."""
RETRY_SECONDS = 3.0
"""A token server that failed is left alone for so long, however many requests wait for a token."""
LONGEST_ANSWER = 256 * 1024


class NoToken(WesError):
    """The token server gave no token; the message is a sentence without secrets."""


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """A token and when it is to be replaced, on the monotonic clock."""

    text: str
    due: float


class TesCredentials:
    """The credentials of one TES, for any number of threads."""

    def __init__(self, server: TesServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._failed: tuple[float, NoToken] | None = None

    def is_at_hand(self) -> bool:
        """Whether `headers` asks nobody, so that it takes no time."""
        return self._server.oauth2_token_url is None or self._fresh is not None

    def headers(self) -> Mapping[str, str]:
        """Headers of a request; `SettingsError` where a file can't be used, `NoToken` where no token is to be had."""
        server = self._server
        if server.token_file is not None:
            return {"Authorization": f"Bearer {self._secret('token_file')}"}
        if server.api_key_file is not None:
            return {server.api_key_header: self._secret("api_key_file")}
        if server.password_file is not None:
            return {"Authorization": _basic(f"{server.username}:{server.secret('password_file')}")}
        if server.oauth2_token_url is not None:
            return {"Authorization": f"Bearer {self._access_token(server.oauth2_token_url)}"}
        return {}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Forgets a token that the TES refused; whether another one may be had by asking."""
        if self._server.oauth2_token_url is None:
            return False
        with self._lock:
            if self._token is not None and refused.get("Authorization") == f"Bearer {self._token.text}":
                self._token = None
        return True

    @property
    def _fresh(self) -> AccessToken | None:
        token = self._token
        return token if token is not None and self._clock() < token.due else None

    def _secret(self, key: str) -> str:
        secret = self._server.secret(key)
        if not (secret.isascii() and secret.isprintable()):
            raise SettingsError(f"{key} of {self._server.origin} holds what no HTTP header can: only ASCII will do")
        return secret

    def _access_token(self, token_url: str) -> str:
        """One thread asks, the others wait for what it gets."""
        with self._lock:
            if (token := self._fresh) is not None:
                return token.text
            if self._failed is not None and self._clock() < self._failed[0]:
                raise NoToken(str(self._failed[1]))
            try:
                self._token = self._ask(token_url)
            except NoToken as error:
                self._failed = (self._clock() + RETRY_SECONDS, error)
                raise
            self._failed = None
            return self._token.text

    def _ask(self, token_url: str) -> AccessToken:
        """RFC 6749, section 4.4 (client credentials), the client known by HTTP Basic (section 2.3.1)."""
        server = self._server
        form = {"grant_type": "client_credentials"} | ({"scope": server.oauth2_scope} if server.oauth2_scope else {})
        secret = server.secret("oauth2_client_secret_file")
        client = f"{quote(server.oauth2_client_id or '', safe='')}:{quote(secret, safe='')}"
        headers = {"Authorization": _basic(client), "Accept": "application/json", "Accept-Encoding": "identity"}
        where = f"the token server {token_url} of {server.origin}"
        try:
            transport = httpx.HTTPTransport(verify=tls(token_url, server.ca_file), trust_env=False)
            with (
                httpx.Client(transport=transport, timeout=TOKEN_SECONDS, trust_env=False) as http,
                http.stream("POST", token_url, data=form, headers=headers) as response,
            ):
                status, document = response.status_code, json_object(response, LONGEST_ANSWER)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NoToken(f"{where} can't be asked: {error or type(error).__name__}") from None
        return _token_of(where, status, document, self._clock())


def _token_of(where: str, status: int, document: JsonObject, now: float) -> AccessToken:
    """RFC 6749, sections 5.1 and 5.2; of an answer only the standard's own words for an error are shown."""
    if not httpx.codes.is_success(status):
        told = str(document.get("error") or "")[:100]
        raise NoToken(f"{where} gave no token: HTTP {status}{f' ({told})' if told else ''}")
    text = document.get("access_token")
    if not (isinstance(text, str) and text and text.isascii() and text.isprintable()):
        raise NoToken(f"{where} answered without an access_token")
    return AccessToken(text=text, due=now + _life(document.get("expires_in")))


def _life(expires_in: object) -> float:
    try:
        seconds = float(str(expires_in))
    except ValueError:
        seconds = DEFAULT_LIFE
    return max(seconds * 0.9, seconds - EARLY_SECONDS) if 0 < seconds < float("inf") else DEFAULT_LIFE


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"
