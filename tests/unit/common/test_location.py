"""What a location means, and that everything else is an error and no guess."""

from pathlib import Path

import pytest

from common.errors import InvalidLocation
from common.location import FileLocation, RemoteLocation, file_path_of, file_url, parse_location


@pytest.mark.parametrize(
    ("text", "path", "url"),
    [
        ("file:///a%20b", "/a b", "file:///a%20b"),
        ("file:///a%23b%3Fc%25d", "/a#b?c%d", "file:///a%23b%3Fc%25d"),
        ("file:///a#b?c", "/a#b?c", "file:///a%23b%3Fc"),
        ("file:///100%.txt", "/100%.txt", "file:///100%25.txt"),
        ("file://localhost/a", "/a", "file:///a"),
        ("file://LOCALHOST/a", "/a", "file:///a"),
        ("FILE:///a//b/./c/", "/a/b/c", "file:///a/b/c"),
        ("File:/a", "/a", "file:///a"),
        ("file:////a", "/a", "file:///a"),
        ("file:///%2e/%61", "/a", "file:///a"),
        ("file:///%C3%A4", "/ä", "file:///%C3%A4"),
        ("file:///ä", "/ä", "file:///%C3%A4"),
        ("file:///%ff", "/\udcff", "file:///%FF"),
        ("file:///...", "/...", "file:///..."),
        (r"file:///a\..\b", r"/a\..\b", "file:///a%5C..%5Cb"),
        ("/a%20b", "/a%20b", "file:///a%2520b"),
        ("/a%2fb", "/a%2fb", "file:///a%252fb"),
        ("//host/a", "/host/a", "file:///host/a"),
        ("/", "/", "file:///"),
    ],
)
def test_a_file_has_one_path_and_one_spelling(text: str, path: str, url: str) -> None:
    location = parse_location(text)
    assert location == FileLocation(path=Path(path))
    assert location.url == url
    assert parse_location(url) == location


@pytest.mark.parametrize(
    ("text", "scheme", "url"),
    [
        ("http://x/y?z#w", "http", "http://x/y?z#w"),
        ("HTTPS://x/y", "https", "https://x/y"),
        ("s3://b/file:///x", "s3", "s3://b/file:///x"),
        ("s3://bucket/a b%20c#d", "s3", "s3://bucket/a b%20c#d"),
        ("gs://b/x", "gs", "gs://b/x"),
        ("az://b/x", "az", "az://b/x"),
        ("ftp://host/x", "ftp", "ftp://host/x"),
        ("drs://host/id", "drs", "drs://host/id"),
    ],
)
def test_known_schemes_are_remote(text: str, scheme: str, url: str) -> None:
    assert parse_location(text) == RemoteLocation(scheme=scheme, url=url)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file://host/a", "other machine 'host'"),
        ("file://a", "other machine 'a'"),
        ("file://../..", r"other machine '\.\.'"),
        ("file://localhost:80/a", "other machine"),
        ("file://user@localhost/a", "other machine"),
        ("file://localhost.evil/a", "other machine"),
        (r"file://\etc\passwd", "other machine"),
        ("file:", "absolute path"),
        ("file:a/b", "absolute path"),
        ("file://", "absolute path"),
        ("file:///a/../b", r"'\.\.'"),
        ("file:///a/%2e%2E/b", r"'\.\.'"),
        ("file:///a/.%2e", r"'\.\.'"),
        ("file:/..", r"'\.\.'"),
        ("/a/../b", r"'\.\.'"),
        ("file:///a%2fb", "encoded slash"),
        ("file:///a/..%2F..%2Fb", "encoded slash"),
        ("file:///a%00b", "NUL"),
        ("/a\0b", "NUL"),
        ("/a\ud800", "Unicode"),
        ("", "neither an absolute path nor a URL"),
        ("a/b", "neither an absolute path nor a URL"),
        ("./a", "neither an absolute path nor a URL"),
        ("../a", "neither an absolute path nor a URL"),
        (" file:///a", "neither an absolute path nor a URL"),
        ("\tfile:///a", "neither an absolute path nor a URL"),
        (r"\\host\a", "neither an absolute path nor a URL"),
        ("fil\u0435:///a", "neither an absolute path nor a URL"),
        ("C:\\a", "can't use"),
        ("data:,x", "can't use"),
        ("gopher://x/", "can't use"),
        ("unix:///x", "can't use"),
        ("http:/x", "'://'"),
        ("http:x", "'://'"),
        ("http:///x", "'://'"),
        ("s3://", "'://'"),
        (r"http://good\@bad/", "no valid URL"),
        ("http://a b/", "no valid URL"),
        ("http://x/\r\nHost: y", "no valid URL"),
        ("s3://b/\ud800", "Unicode"),
    ],
)
def test_whatever_else_it_is_it_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(InvalidLocation, match=problem):
        parse_location(text)


def test_a_refusal_does_not_repeat_a_long_text() -> None:
    with pytest.raises(InvalidLocation) as caught:
        parse_location("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_the_url_of_a_file_holds_whatever_bytes_its_name_has() -> None:
    assert file_url(Path("/a b#\udcff\n")) == "file:///a%20b%23%FF%0A"


def test_reports_of_engines_may_name_what_is_no_file() -> None:
    assert file_path_of("file:///a") == Path("/a")
    assert file_path_of("http://x/y") is None
    assert file_path_of("relative") is None
