"""The mail server by which this service tells of the ends of runs: the table `[smtp]` of `wes.toml`."""

import re
import smtplib
import ssl
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.errors import SettingsError
from common.settings import PathInFile, read_secret

PORTS = {"starttls": 587, "tls": 465, "none": 25}
SMTP_SECONDS = 20.0
"""For each answer of the mail server."""
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,10}", re.ASCII)


class SmtpSettings(BaseModel):
    """How mail is handed over (RFC 6409), and whom it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$")
    port: int | None = Field(None, ge=1, le=65535)
    """587, 465 or 25 where it is not said, as `security` has it."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` sends everything in clear, the password too, so with it there may be none."""
    sender: str
    username: str | None = Field(None, min_length=1)
    password_file: PathInFile | None = None
    ca_file: PathInFile | None = None
    """Certificate authorities for this server, in the place of the system's."""

    @field_validator("sender")
    @classmethod
    def _plain_address(cls, sender: str) -> str:
        return checked_address(sender)

    @model_validator(mode="after")
    def _whole_credentials(self) -> "SmtpSettings":
        if (self.username is None) != (self.password_file is None):
            message = "username and password_file belong together"
            raise ValueError(message)
        if self.username is not None and self.security == "none":
            message = 'with security = "none" the password would be sent in clear: leave it out, or use "starttls"'
            raise ValueError(message)
        return self

    def check_secret(self) -> None:
        """`SettingsError` where the password can't be read."""
        read_secret("password_file of [smtp]:", self.password_file)


def checked_address(text: str) -> str:
    """A plain address (RFC 5321, Mailbox, with a Dot-string); `ValueError` for anything else, as one with a name."""
    if not _ADDRESS.fullmatch(text):
        message = f"{text[:80]!r} is no e-mail address, as lab@example.org"
        raise ValueError(message)
    return text


def connect_smtp(settings: SmtpSettings) -> smtplib.SMTP:
    """A session that is encrypted and logged in as the settings say; `OSError`, `SMTPException`, `SettingsError`."""
    port = settings.port or PORTS[settings.security]
    if settings.security == "tls":
        tls = _context(settings.ca_file)
        session: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, port, timeout=SMTP_SECONDS, context=tls)
    else:
        session = smtplib.SMTP(settings.host, port, timeout=SMTP_SECONDS)
    try:
        if settings.security == "starttls":
            session.starttls(context=_context(settings.ca_file))
        if settings.username is not None:
            password = read_secret("password_file of [smtp]:", settings.password_file)
            session.login(settings.username, password or "")
    except BaseException:
        session.close()
        raise
    return session


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise SettingsError(f"ca_file of [smtp]: {ca_file} holds no certificates in PEM format") from None
    except OSError as error:
        raise SettingsError(f"ca_file of [smtp]: {ca_file} can't be read: {error.strerror}") from None
