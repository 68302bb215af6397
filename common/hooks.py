"""Whom this service tells when a run ends: a `[hooks.NAME]` table of `wes.toml`, and the secrets that sign messages."""

import base64
import binascii
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.errors import SettingsError
from common.location import check_authority, split_url
from common.settings import PathInFile, read_private
from common.smtp import checked_address

MAILTO = "mailto:"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets begin, and none itself
FEWEST_SECRET_BYTES = 24
MOST_SECRET_BYTES = 64
"""Of a key (Standard Webhooks, "Symmetric signatures")."""
LONGEST_URL = 2048
EndState = Literal["COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"]
END_STATES: tuple[EndState, ...] = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
HOOK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,29}")


class HookSettings(BaseModel):
    """A receiver that hears of every run's end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """Where events are POSTed to, or `mailto:` and an address. It may hold a secret, so users never see it."""
    secret_file: PathInFile | None = None
    """The file of `read_hook_secrets`; mail is not signed."""
    ca_file: PathInFile | None = None
    """Certificate authorities for this receiver, in the place of certifi's."""
    states: tuple[EndState, ...] = Field(END_STATES, min_length=1)
    """The ends that it hears of."""

    @property
    def address(self) -> str | None:
        """Whom mail is sent to; None for a webhook."""
        return self.url.removeprefix(MAILTO) if self.url.startswith(MAILTO) else None

    def keys(self) -> Sequence[bytes]:
        """By each of which a message is signed; `SettingsError` where they can't be read."""
        return [] if self.secret_file is None else read_hook_secrets("secret_file", self.secret_file)

    @field_validator("url")
    @classmethod
    def _web_or_mail_address(cls, url: str) -> str:
        if url.startswith(MAILTO):
            return MAILTO + checked_address(url.removeprefix(MAILTO))
        return checked_hook_url(url)

    @model_validator(mode="after")
    def _signed_where_it_is_a_webhook(self) -> "HookSettings":
        if self.address is None and self.secret_file is None:
            message = "secret_file is missing: name a file with the secret that signs messages"
            raise ValueError(message)
        if self.address is not None and (self.secret_file or self.ca_file):
            message = "mail has neither secret_file nor ca_file: leave them out (the mail server has its own in [smtp])"
            raise ValueError(message)
        return self


def checked_hook_url(url: str) -> str:
    """The URL; `ValueError` in words where nothing can be POSTed to it."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"a URL has up to {LONGEST_URL} printable ASCII characters and no blanks")
    parts = split_url(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("this is no http:// or https:// URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user name or password, which would be stored and shown: leave it out")
    check_authority(parts)
    return url


def shown_hook_url(url: str) -> str:
    """Only where it leads, as its path may be a secret, too; an address is shown."""
    if url.startswith(MAILTO):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/…" if parts.path.strip("/") or parts.query else "")


def read_hook_secrets(what: str, path: Path) -> Sequence[bytes]:
    """The keys in a file of lines `whsec_BASE64`, each of which signs; `SettingsError` where it can't be used.

    There are two while one takes the place of another (Standard Webhooks, "Zero downtime secret rotation").
    """
    lines = [line.strip() for line in read_private(what, path).splitlines() if line.strip()]
    if not lines:
        raise SettingsError(f"{what} {path} is empty")
    return [_key(what, path, line) for line in lines]


def new_hook_secret() -> str:
    """A line for such a file."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _key(what: str, path: Path, line: str) -> bytes:
    try:
        key = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not line.startswith(SECRET_PREFIX) or not FEWEST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        raise SettingsError(
            f"{what} {path}: each line must be {SECRET_PREFIX} and then {FEWEST_SECRET_BYTES} to {MOST_SECRET_BYTES} "
            f"bytes in base64, as by: echo {SECRET_PREFIX}$(openssl rand -base64 32)"
        )
    return key
