from pathlib import Path

import pytest

from common.errors import SettingsError
from common.masking import bare_url
from tes.http import TesAddress, socket_url, tes_address


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
