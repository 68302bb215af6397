"""Clients for a TES, against servers on sockets."""

import asyncio
import shutil
import ssl
from pathlib import Path

import httpx
import pytest

from common.errors import SettingsError
from common.masking import bare_url
from tes.http import TesAddress, async_tes_client, socket_url, tes_address, tes_client
from tests.fakes.tes_server import bad_tes
from tests.fakes.web_server import certificate, web_site
from wes_cli.stack import answers_service_info


def deep(tmp_path: Path) -> Path:
    """A socket's path of more than 107 bytes."""
    return tmp_path / ("deep" * 30) / "tes.sock"


def test_a_tes_is_asked_over_tcp_and_by_a_socket_whose_path_is_long(tmp_path: Path) -> None:
    for socket in (None, deep(tmp_path)):
        with bad_tes(socket) as tes, tes_client(tes.url, 5) as client:
            assert client.get("/tasks").json()["tasks"] == []
        assert tes.seen == [("GET", "/ga4gh/tes/v1/tasks")]


def test_the_asynchronous_client_is_the_same(tmp_path: Path) -> None:
    async def ask(url: str) -> int:
        async with async_tes_client(url, 5, httpx.Limits()) as client:
            return (await client.get("/tasks")).status_code

    for socket in (None, deep(tmp_path)):
        with bad_tes(socket) as tes:
            assert asyncio.run(ask(tes.url)) == 200


def test_a_server_that_made_its_folder_anew_is_found(tmp_path: Path) -> None:
    socket = deep(tmp_path)
    with tes_client(socket_url(socket, "/ga4gh/tes/v1"), 5) as client:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                client.get("/tasks")
            with bad_tes(socket):
                assert client.get("/tasks").status_code == 200
            shutil.rmtree(socket.parent)


def test_a_tes_on_a_socket_answers_as_one_on_tcp(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    with bad_tes(deep(tmp_path)) as tes:
        assert not answers_service_info(tes.url, None)
        tes.info = {"id": "tes"}
        assert answers_service_info(tes.url, tmp_path / "token")
    assert not answers_service_info(tes.url, None)


def test_the_certificate_of_a_tes_is_checked(tmp_path: Path) -> None:
    """Both clients refuse one that no trusted authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "localhost"))

    async def ask(url: str) -> int:
        async with async_tes_client(url, 5, httpx.Limits()) as client:
            return (await client.get("/tasks")).status_code

    with web_site(context) as site:
        url = site.url.replace("http://127.0.0.1", "https://localhost")
        with tes_client(url, 5) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get("/tasks")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            asyncio.run(ask(url))


def test_a_url_over_tcp_is_taken_as_it_is_but_for_a_slash_at_its_end() -> None:
    assert tes_address("https://tes.example:8000/v1/") == TesAddress(base="https://tes.example:8000/v1")


@pytest.mark.parametrize("path", ["/run/tes.sock", "/data of @me/50%/a#b?c/tes.sock"])
def test_a_sockets_path_is_the_host_of_its_url(path: str) -> None:
    url = socket_url(Path(path), "/ga4gh/tes/v1")
    assert tes_address(url) == TesAddress(base="http://localhost/ga4gh/tes/v1", socket=Path(path))
    assert bare_url(url) == url


@pytest.mark.parametrize(
    "url", ["", "tes", "funnel:8000", "ftp://a/b", "http:///v1", "http://a:0x/", "http+unix:///run/tes.sock/v1"]
)
def test_what_is_no_url_of_a_tes_is_told_with_what_one_looks_like(url: str) -> None:
    with pytest.raises(SettingsError, match=r"is not the URL of a TES: write http://HOST:PORT/ga4gh/tes/v1, or http"):
        tes_address(url)
