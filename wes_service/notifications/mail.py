"""E-mail that tells of the end of a run, by the mail server of the configuration."""

import json
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import anyio
import structlog
from anyio import to_thread

from common.errors import SettingsError
from common.hooks import HookSettings
from common.json_types import Json, JsonObject
from common.smtp import SmtpSettings, connect_smtp
from wes_service.core.notification import DeliveryFailure, Notification
from wes_service.notifications.webhook import NO_SETTINGS
from wes_service.services.notifications import Sender

LOG = structlog.get_logger(__name__)
ATTEMPT_SECONDS = 60.0
MOST_TAGS = 100
LONGEST_LINE = 500
"""Characters of what others wrote."""


@dataclass(frozen=True, kw_only=True)
class MailSender:
    """`Sender` by SMTP for hooks that are addresses; all else is left to `others`."""

    hooks: Mapping[str, HookSettings]
    smtp: SmtpSettings | None
    others: Sender

    async def send(self, notification: Notification, message: bytes) -> DeliveryFailure | None:
        hook = self.hooks.get(notification.hook)
        if hook is None or hook.address is None:
            return await self.others.send(notification, message)
        if self.smtp is None:
            return DeliveryFailure(problem=NO_SETTINGS)
        mail = mail_of(notification, json.loads(message), sender=self.smtp.sender, to=hook.address)
        try:
            with anyio.fail_after(ATTEMPT_SECONDS):
                return await to_thread.run_sync(_hand_over, self.smtp, mail, abandon_on_cancel=True)
        except TimeoutError:
            return DeliveryFailure(problem=f"the mail server did not take it within {ATTEMPT_SECONDS:g} s")


def _hand_over(settings: SmtpSettings, mail: EmailMessage) -> DeliveryFailure | None:
    try:
        with connect_smtp(settings) as session:
            session.send_message(mail)
    except SettingsError as error:
        LOG.error(str(error), action="notify")
        return DeliveryFailure(problem=NO_SETTINGS)
    except smtplib.SMTPResponseException as error:
        # Not its words, in which there may be addresses of others.
        return DeliveryFailure(problem=f"the mail server refuses it (SMTP {error.smtp_code})")
    except smtplib.SMTPRecipientsRefused as error:
        code = next((reply[0] for reply in error.recipients.values()), 0)
        return DeliveryFailure(problem=f"the mail server refuses the address (SMTP {code})")
    except (smtplib.SMTPException, OSError) as error:
        return DeliveryFailure(problem=f"the mail server can't be used ({type(error).__name__})")
    return None


def mail_of(notification: Notification, event: JsonObject, *, sender: str, to: str) -> EmailMessage:
    """What is sent. Nothing that a user wrote is in a header; its id is the same for all attempts."""
    data = notification.event
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = sender, to
    mail["Subject"] = f"WES: run {notification.run_id} is {data['state']}"
    mail["Date"] = format_datetime(notification.created)
    mail["Message-ID"] = f"<{notification.id}@{sender.partition('@')[2]}>"
    # No robot is to answer (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(_lines(data, str(event["source"]))) + "\n")
    return mail


def _lines(data: JsonObject, source: str) -> list[str]:
    tags = data.get("tags")
    shown = list(tags.items())[:MOST_TAGS] if isinstance(tags, Mapping) else []
    known = {"Started": data.get("start_time"), "Ended": data.get("end_time"), "Reason": data.get("reason")}
    run = f"{source}/runs/{data['run_id']}" if "://" in source else str(data["run_id"])
    return [
        f"Run:     {run}",
        f"State:   {data['state']}",
        *(f"{name + ':':<9}{plain(value)}" for name, value in known.items() if value is not None),
        *(f"Tag:     {plain(name)} = {plain(value)}" for name, value in shown),
    ]


def plain(value: Json) -> str:
    """One line of printable characters."""
    text = " ".join(str(value).split())[:LONGEST_LINE]
    return "".join(character if character.isprintable() else "?" for character in text)
