"""Asks each configured TES whether it is there, for the readiness of this server."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from common.errors import SettingsError
from common.masking import bare_url
from common.settings import read_token
from tes.http import tes_client
from wes_service.services.readiness import NotReady, Probe
from wes_service.settings import TesServer

SECONDS = 2.0
REFUSALS = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


def tes_probes(servers: Sequence[TesServer]) -> Mapping[str, Probe]:
    """One probe for each TES, by its URL without credentials."""
    return {f"tes {bare_url(server.url)}": _probe(server.url, server.token_file) for server in servers}


def _probe(url: str, token_file: Path | None) -> Probe:
    def ask() -> None:
        status = _status(url, _headers(token_file))
        if status in REFUSALS:
            raise NotReady(f"it refuses the token of WES_TES_TOKEN_FILE (HTTP {status})")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise NotReady(f"it answers HTTP {status}")

    return ask


def _headers(token_file: Path | None) -> dict[str, str]:
    try:
        token = read_token(token_file)
    except SettingsError:
        raise NotReady("its token file (WES_TES_TOKEN_FILE) can't be read") from None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _status(url: str, headers: Mapping[str, str]) -> int:
    """Of the answer's head alone: the rest, which may be long or never end, is of no interest."""
    try:
        with tes_client(url, SECONDS) as client, client.stream("GET", "/service-info", headers=headers) as response:
            return response.status_code
    except httpx.TimeoutException:
        raise NotReady(f"there is no answer after {SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        raise NotReady("it can't be reached; see WES_TES_URLS") from None
