"""What an engine asks of the web itself."""

from collections.abc import Iterator

import pytest

from engines.kit.network import UnreadableUrl, read_document, shown_url, size_of_url
from tests.fakes.web_server import Reply, Site, web_site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """One that is reached directly, in the place of the sandbox's proxy."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with web_site() as running:
        yield running


def test_a_size_is_told_without_the_file_being_sent(site: Site) -> None:
    site.pages["/reads.fq"] = "x" * 12345
    assert size_of_url(f"{site.url}/reads.fq") == 12345


def test_where_only_get_is_allowed_the_size_comes_with_the_first_byte(site: Site) -> None:
    headers = {"Content-Range": "bytes 0-0/98765432109"}
    site.pages["/signed"] = Reply(status=405, times=1)
    site.afterwards["/signed"] = Reply(status=206, body=b"x", headers=headers)
    assert size_of_url(f"{site.url}/signed") == 98765432109


@pytest.mark.parametrize("whole", ["bytes 0-0/*", "bytes 0-0/many", "bytes 0-0/²"])
def test_a_server_that_does_not_tell_the_size_is_named(site: Site, whole: str) -> None:
    site.pages["/endless"] = Reply(headers={"Content-Range": whole})
    with pytest.raises(UnreadableUrl, match=rf"the server of {site.url}/endless does not tell its size"):
        size_of_url(f"{site.url}/endless")


def test_what_is_not_there_is_told_without_what_may_be_a_signature(site: Site) -> None:
    for ask in (size_of_url, read_document):
        with pytest.raises(UnreadableUrl) as raised:
            ask(f"{site.url}/gone?X-Amz-Signature=secret")
        assert str(raised.value).startswith(f"{site.url}/gone can't be read: HTTP 404")
        assert "secret" not in str(raised.value)
    assert shown_url("https://me:secret@host:1/a?b#c") == "https://host:1/a"


def test_without_a_way_out_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    with pytest.raises(UnreadableUrl, match="this server gives engines no network"):
        size_of_url("https://example.org/reads.fq")


@pytest.mark.parametrize("url", ["s3://bucket/key", "file:///etc/passwd", "ftp://host/x"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(UnreadableUrl, match="http and https only"):
        size_of_url(url)
