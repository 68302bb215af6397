"""Mail to a real SMTP server, which wants TLS and a password, is away for a while, or refuses."""

import email
import email.policy
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from typer.testing import CliRunner

from common.hooks import HookSettings
from common.smtp import SmtpSettings
from tests.contract.store.stores import ANN, a_run
from tests.fakes.clock import FakeClock
from tests.fakes.notifications import delivery_of
from tests.fakes.stores import FakeStores
from tests.fakes.web_server import certificate
from wes_cli import doctor
from wes_cli.main import app
from wes_cli.private_server import free_port
from wes_service.core.notification import Notification, NotificationState
from wes_service.notifications.mail import MailSender
from wes_service.services.notifications import NotificationDelivery
from wes_service.settings import read_settings

PASSWORD = "hunter2-hunter2"
LAB = HookSettings(url="mailto:lab@example.org")


@dataclass(kw_only=True)
class Postbox:
    """What came: senders, receivers and message of each; it refuses those in `unknown`."""

    came: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    async def handle_RCPT(  # noqa: N802 - as aiosmtpd has it
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.unknown:
            return "550 there is no such person as the secret-agent"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.came.append((envelope.mail_from, list(envelope.rcpt_tos), parsed))
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> Any:
        self.logins.append(data.password)
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@dataclass(kw_only=True)
class Site:
    """A mail server that is up within `served`, and a worker that is to use it."""

    port: int
    tls: ssl.SSLContext
    smtp: SmtpSettings
    postbox: Postbox = field(default_factory=Postbox)
    stores: FakeStores = field(default_factory=lambda: FakeStores(FakeClock()))

    @contextmanager
    def served(self, *, encrypted: bool = True) -> Iterator[None]:
        controller = Controller(
            self.postbox,
            hostname="localhost",
            port=self.port,
            tls_context=self.tls if encrypted else None,
            require_starttls=encrypted,
            authenticator=self.postbox.authenticate,
            auth_required=encrypted,
            auth_require_tls=encrypted,
        )
        controller.start()
        try:
            yield
        finally:
            controller.stop()

    def deliver(self, seconds_later: float = 0) -> Notification:
        """The one notification after a look by the worker."""
        assert isinstance(self.stores.clock, FakeClock)
        self.stores.clock.advance(seconds_later)
        hooks = {"lab": LAB}
        plain = delivery_of(self.stores.notifications, hooks, self.stores.clock)
        sender = MailSender(hooks=hooks, smtp=self.smtp, others=plain.sender)
        NotificationDelivery(
            store=plain.store, hooks=hooks, sender=sender, clock=plain.clock, public_url="https://wes.example"
        ).deliver()
        (found,) = self.stores.notifications.page(ANN, 9, None, None, None).items
        return found

    def end(self, tags: dict[str, str] | None = None) -> None:
        run = a_run(1)
        self.stores.runs.add(replace(run, request=replace(run.request, tags=tags or {"sample": "S1"})), None)
        self.stores.runs.cancel(ANN, run.id)

    def headers(self) -> Sequence[str]:
        return [name.lower() for name, _ in self.postbox.came[0][2].items()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    pem = certificate(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    port = free_port()
    smtp = SmtpSettings(
        host="localhost",
        port=port,
        sender="wes@example.org",
        username="wes",
        password_file=password,
        ca_file=tmp_path / "cert.pem",
    )
    return Site(port=port, tls=tls, smtp=smtp)


def test_a_mail_waits_for_its_server_and_arrives_once(site: Site) -> None:
    site.end()
    away = site.deliver()
    assert (away.state, away.problem) == (
        NotificationState.WAITING,
        "the mail server can't be used (ConnectionRefusedError)",
    )
    with site.served():
        there = site.deliver(30)
        site.deliver(30)
    assert there.state is NotificationState.DELIVERED
    ((sender, receivers, mail),) = site.postbox.came
    assert (sender, receivers) == ("wes@example.org", ["lab@example.org"])
    assert mail["Subject"] == "WES: run run-000001 is CANCELED"
    assert mail["Message-ID"] == "<run-000001-ended-lab@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [
        "Run:     https://wes.example/ga4gh/wes/v1/runs/run-000001",
        "State:   CANCELED",
        "Ended:   2025-01-02T03:04:05Z",
        "Tag:     sample = S1",
    ]
    assert site.postbox.logins == [PASSWORD.encode()]


def test_what_users_write_makes_no_header_no_receiver_and_no_line(site: Site) -> None:
    evil = "x\r\nBcc: all@example.org\r\nSubject: You won\r\n.\r\nMAIL FROM:<a@b>\n\0\x1b]0;"
    site.end({evil: evil, "unicode": "naïve \u202e☃\ud800", "From: x": "." * 5000})
    with site.served():
        assert site.deliver().state is NotificationState.DELIVERED
    ((_, receivers, mail),) = site.postbox.came
    assert receivers == ["lab@example.org"]
    assert mail["Subject"] == "WES: run run-000001 is CANCELED"
    assert "bcc" not in site.headers()
    lines = mail.get_content().splitlines()
    assert len(lines) == 6
    assert not any(line.startswith(("Bcc", "Subject", "MAIL")) for line in lines)
    assert not any(ord(character) < 32 for line in lines for character in line)


def test_a_refusal_is_told_by_its_code_and_tried_again(site: Site) -> None:
    site.end()
    site.postbox.unknown.add("lab@example.org")
    with site.served():
        refused = site.deliver()
        assert (refused.state, refused.problem) == (
            NotificationState.WAITING,
            "the mail server refuses the address (SMTP 550)",
        )
        site.postbox.unknown.clear()
        assert site.deliver(30).state is NotificationState.DELIVERED


def test_a_password_that_is_wrong_is_neither_told_nor_final(site: Site) -> None:
    site.end()
    assert site.smtp.password_file is not None
    site.smtp.password_file.write_text("wrong-hunter3")
    with site.served():
        found = site.deliver()
    assert (found.state, found.problem) == (NotificationState.WAITING, "the mail server refuses it (SMTP 535)")


def test_no_password_is_sent_to_a_server_without_encryption_or_with_anothers_certificate(
    site: Site, tmp_path: Path
) -> None:
    site.end()
    with site.served(encrypted=False):
        assert site.deliver().problem == "the mail server can't be used (SMTPNotSupportedError)"
    (tmp_path / "other").mkdir()
    certificate(tmp_path / "other", "localhost")
    site.smtp = site.smtp.model_copy(update={"ca_file": tmp_path / "other" / "cert.pem"})
    with site.served():
        assert site.deliver(30).problem == "the mail server can't be used (SSLCertVerificationError)"
    assert (site.postbox.came, site.postbox.logins) == ([], [])


def test_the_doctor_tries_the_mail_server_and_the_configuration_shows_no_password(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "wes.toml"
    file.write_text(
        f"""[hooks.lab]
url = "mailto:lab@example.org"
[smtp]
host = "localhost"
port = {site.port}
sender = "wes@example.org"
username = "wes"
password_file = "password"
ca_file = "cert.pem"
"""
    )
    settings = read_settings(config=file, data=tmp_path)
    (away,) = doctor.mail(settings)
    with site.served():
        (there,) = doctor.mail(settings)
    assert (away.ok, there.ok) == (False, True)
    assert list(doctor.hooks(settings)) == []
    shown = CliRunner().invoke(app, ["config", "show", "--config", str(file)]).stdout
    assert "[smtp]" in shown
    assert "password_file" in shown
    assert PASSWORD not in shown
