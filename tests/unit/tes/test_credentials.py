"""What a TES is shown, with a real OAuth2 token server where there is to be one."""

import base64
from pathlib import Path

import pytest

from common.configuration import TesServer
from common.errors import SettingsError
from tes import credentials
from tes.credentials import NoToken, TesCredentials
from tests.fakes.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer, token_server

URL = "http://127.0.0.1:1/v1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def secret(folder: Path, text: str) -> Path:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return file


def oauth2(folder: Path, tokens: TokenServer, **keys: str) -> TesServer:
    return TesServer(
        name="far",
        url=URL,
        oauth2_token_url=tokens.url,
        oauth2_client_id=CLIENT_ID,
        oauth2_client_secret_file=secret(folder, CLIENT_SECRET),
        **keys,
    )


def test_each_kind_of_credentials_has_its_header(tmp_path: Path) -> None:
    file = secret(tmp_path, "s3cret\n")
    password = base64.b64encode("änn:s3cret".encode()).decode()
    for server, headers in (
        (TesServer(name="a", url=URL), {}),
        (TesServer(name="a", url=URL, token_file=file), {"Authorization": "Bearer s3cret"}),
        (TesServer(name="a", url=URL, api_key_file=file), {"X-API-Key": "s3cret"}),
        (TesServer(name="a", url=URL, api_key_file=file, api_key_header="X-Key"), {"X-Key": "s3cret"}),
        (
            TesServer(name="a", url=URL, username="änn", password_file=file),
            {"Authorization": f"Basic {password}"},
        ),
    ):
        shown = TesCredentials(server)
        assert shown.is_at_hand()
        assert shown.headers() == headers
        assert not shown.renew(headers)


def test_a_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    shown = TesCredentials(TesServer(name="a", url=URL, token_file=secret(tmp_path, "old")))
    assert shown.headers() == {"Authorization": "Bearer old"}
    secret(tmp_path, "new")
    assert shown.headers() == {"Authorization": "Bearer new"}


@pytest.mark.parametrize("text", ["käse", "a\x00b"])
def test_what_no_header_can_hold_is_told_without_it(tmp_path: Path, text: str) -> None:
    shown = TesCredentials(TesServer(name="a", url=URL, api_key_file=secret(tmp_path, text)))
    with pytest.raises(SettingsError, match="api_key_file of WES_TES_URLS holds what no HTTP header can") as told:
        shown.headers()
    assert text not in str(told.value)


def test_a_token_is_had_once_and_replaced_before_it_expires(tmp_path: Path) -> None:
    clock = Clock()
    with token_server() as tokens:
        shown = TesCredentials(oauth2(tmp_path, tokens, oauth2_scope="tes read"), clock)
        assert not shown.is_at_hand()
        first = shown.headers()
        assert first == {"Authorization": f"Bearer {tokens.given[0]['access_token']}"}
        assert tokens.given[0]["scope"] == "tes read"
        clock.now += 3500
        assert shown.is_at_hand()
        assert shown.headers() == first
        clock.now += 80
        assert not shown.is_at_hand()
        assert shown.headers() != first
        assert tokens.asked == 2


def test_a_token_that_was_refused_is_replaced_and_one_that_came_meanwhile_is_not(tmp_path: Path) -> None:
    with token_server() as tokens:
        shown = TesCredentials(oauth2(tmp_path, tokens))
        first = shown.headers()
        assert shown.renew(first)
        second = shown.headers()
        assert second != first
        # Another request was refused with the first one too, and tells so late.
        assert shown.renew(first)
        assert shown.headers() == second
        assert tokens.asked == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((503, b"busy hunter2"), "gave no token: HTTP 503"),
        ((200, b"hello"), "answered without an access_token"),
        ((200, b'{"access_token": "a\\nb"}'), "answered without an access_token"),
        ((200, b'["' + b"a" * 1_000_000 + b'"]'), "answered without an access_token"),
    ],
)
def test_what_is_no_token_is_told_once_and_not_asked_for_at_once_again(
    tmp_path: Path, answer: tuple[int, bytes], told: str
) -> None:
    clock = Clock()
    with token_server() as tokens:
        shown = TesCredentials(oauth2(tmp_path, tokens), clock)
        tokens.down = answer
        for _ in range(3):
            with pytest.raises(NoToken, match=told) as error:
                shown.headers()
            assert "hunter2" not in str(error.value)
        assert tokens.asked == 1
        tokens.down = None
        clock.now += 10
        assert shown.headers()


def test_a_client_that_the_token_server_does_not_know_is_told_in_its_words(tmp_path: Path) -> None:
    with token_server() as tokens:
        server = oauth2(tmp_path, tokens)
        secret(tmp_path, "wrong")
        with pytest.raises(NoToken, match=r"of WES_TES_URLS gave no token: HTTP 401 \(invalid_client\)") as told:
            TesCredentials(server).headers()
        secret(tmp_path, CLIENT_SECRET)
        with pytest.raises(NoToken, match=r"HTTP 400 \(invalid_scope\)"):
            TesCredentials(server.model_copy(update={"oauth2_scope": "admin"})).headers()
    assert "wrong" not in str(told.value)


def test_a_token_server_that_is_away_is_told(tmp_path: Path) -> None:
    with token_server() as tokens:
        server = oauth2(tmp_path, tokens)
    with pytest.raises(NoToken, match=f"the token server {tokens.url} of WES_TES_URLS can't be asked"):
        TesCredentials(server).headers()


@pytest.mark.parametrize(("told", "life"), [(100, 90), (600, 570), (0, 300), ("x", 270), (None, 270), (1e400, 300)])
def test_a_token_lives_for_less_than_its_server_tells(told: object, life: float) -> None:
    assert credentials._life(told) == life
