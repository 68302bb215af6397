"""Signatures, addresses and secrets of webhooks; the official library checks what is signed."""

import base64
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from common.errors import SettingsError
from common.hooks import HookSettings, checked_hook_url, new_hook_secret, read_hook_secrets, shown_hook_url
from sandbox.network import network_policy
from wes_service.core.notification import DeliveryFailure, Notification
from wes_service.core.run import Owner
from wes_service.notifications.webhook import RunHooks, WebhookSender, failure_of, retry_after, signature

NOW = datetime.now(UTC)


def secret_file(folder: Path, *lines: str) -> Path:
    file = folder / "secret"
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)
    return file


def own(url: str) -> Notification:
    return Notification(
        id="r-ended",
        run_id="r",
        owner=Owner(issuer="i", subject="s"),
        hook="",
        url=url,
        event={"state": "COMPLETE"},
        created=NOW,
        since=NOW,
        due=NOW,
    )


def sent(sender: WebhookSender, notification: Notification) -> DeliveryFailure | None:
    return anyio.run(sender.send, notification, b"{}")


def test_the_official_library_takes_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    old, new = new_hook_secret(), new_hook_secret()
    keys = read_hook_secrets("secret_file", secret_file(tmp_path, new, old))
    headers = signature(keys, "run-1-ended", int(time.time()), b'{"a":1}')
    for secret in (old, new):
        assert Webhook(secret).verify('{"a":1}', headers) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify('{"a":2}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_hook_secret()).verify('{"a":1}', headers)


@pytest.mark.parametrize(
    "text", ["", "hunter2", "whsec_", "whsec_äöü", "whsec_" + base64.b64encode(b"short").decode(), "whsec_!!!!"]
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_hook_secrets("secret_file", secret_file(tmp_path, text))
    assert not text or text not in str(error.value).replace("whsec_ and", "").replace("whsec_$", "")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "http://ann:secret@host/",
        "http:///x",
        "https://host:0/",
        "https://ho st/",
        "https://host/\r\nX-Evil: 1",
        "https://host/" + "x" * 3000,
        "https://hööst/",
        "javascript:alert(1)",
        "mailto:ann@example.org",
        "",
    ],
)
def test_what_nothing_can_be_posted_to_is_no_hook(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        checked_hook_url(url)


def test_of_a_hooks_url_only_the_host_is_shown() -> None:
    assert shown_hook_url("https://chat.example/services/T0/secret?x=1") == "https://chat.example/…"
    assert shown_hook_url("https://lims.example:8443") == "https://lims.example:8443"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "http://[::1]/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.8/",
        "http://[::ffff:10.0.0.8]/",
        "http://0x7f000001/",
        "http://2130706433/",
    ],
)
def test_a_run_can_have_no_private_address_told(tmp_path: Path, url: str) -> None:
    hooks = RunHooks(
        secret_file=secret_file(tmp_path, new_hook_secret()), network=network_policy((), "WES_WEBHOOK_ALLOW")
    )
    failure = sent(WebhookSender(hooks={}, own=hooks), own(url))
    assert failure is not None
    assert "WES_WEBHOOK_ALLOW" in failure.problem or "there is no host" in failure.problem


def test_a_name_that_becomes_private_after_the_look_is_not_asked(tmp_path: Path) -> None:
    """The address that was looked at is the one that is connected to."""
    answers = iter([[("203.0.113.9", 80)], [("127.0.0.1", 80)]])
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        return next(answers)

    hooks = RunHooks(
        secret_file=secret_file(tmp_path, new_hook_secret()),
        network=network_policy(("203.0.113.0/24",), "WES_WEBHOOK_ALLOW"),
        resolve=resolve,
    )
    failure = sent(WebhookSender(hooks={}, own=hooks, seconds=0.2), own("http://rebinding.example/"))
    assert failure is not None
    assert asked == ["rebinding.example"]


def test_a_look_up_that_hangs_is_given_up(tmp_path: Path) -> None:
    over = threading.Event()

    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        over.wait(5)
        return []

    hooks = RunHooks(secret_file=secret_file(tmp_path, new_hook_secret()), network=network_policy(()), resolve=resolve)
    failure = sent(WebhookSender(hooks={}, own=hooks, seconds=0.2), own("http://slow.example/"))
    over.set()
    assert failure is not None
    assert "0.2 s" in failure.problem


def test_problems_tell_neither_the_url_nor_the_secret(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/services/hunter2"
    secret = new_hook_secret()
    hook = HookSettings(url=url, secret_file=secret_file(tmp_path, secret))
    sender = WebhookSender(hooks={"lims": hook}, own=RunHooks(secret_file=None, network=network_policy(())))
    for notification in (own(url), named("lims"), named("gone")):
        failure = sent(sender, notification)
        assert failure is not None
        assert "hunter2" not in failure.problem
        assert secret not in failure.problem


def named(hook: str) -> Notification:
    return Notification(**{**vars(own("")), "hook": hook, "url": None})


@pytest.mark.parametrize(
    ("status", "headers", "final", "receiver"),
    [
        (410, {}, True, True),
        (500, {}, False, True),
        (429, {"Retry-After": "30"}, False, True),
        (422, {}, False, False),
        (302, {"Location": "http://127.0.0.1/"}, False, True),
        (100, {}, False, False),
    ],
)
def test_what_an_answer_means(status: int, headers: dict[str, Any], final: bool, receiver: bool) -> None:
    failure = failure_of(httpx.Response(status, headers=headers))
    assert failure is not None
    assert (failure.final, failure.receiver) == (final, receiver)
    assert failure_of(httpx.Response(204)) is None


def test_how_long_a_receiver_wants_to_be_left_alone() -> None:
    assert retry_after("120") == timedelta(seconds=120)
    soon = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert timedelta(seconds=55) < soon <= timedelta(seconds=60)
    for text in ("", "soon", "-5", "9" * 400, "Mon, 99 Foo 2026 99:99:99 GMT", "1e9", "²"):
        assert retry_after(text) == timedelta()
