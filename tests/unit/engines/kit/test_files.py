from engines.kit.files import is_remote, url_of


def test_urls_are_told_from_paths() -> None:
    assert is_remote("s3://bucket/key")
    assert not is_remote("/data/http://x")
    assert url_of("file:///a%20b") == "file:///a%20b"
    assert url_of("/a b") == "file:///a%20b"


def test_urls_never_climb() -> None:
    assert url_of("/run/attachments/sub/../a.txt") == "file:///run/attachments/a.txt"
