"""URLs that foreign text names, checked before anybody asks for them. Pure."""

from urllib.parse import SplitResult, urlsplit


def split_url(url: str) -> SplitResult:
    """The parts; `ValueError` in words where it is none."""
    if any(ord(character) <= 32 or character == "\\" for character in url):
        raise ValueError("a URL holds no space, control character or backslash; percent-encode them")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("this is not a URL") from None


def check_authority(parts: SplitResult) -> None:
    """`ValueError` in words unless it names a host, with a port that there can be and without a user or password."""
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "it holds a user name or password, which would be stored and shown; send the files as attachments"
        )
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port is not a number from 1 to 65535")
    host = parts.hostname or ""
    try:
        known = bool(host) and bool(host.encode("idna")) and "%" not in host
    except UnicodeError:
        known = False
    if not known:
        raise ValueError("it names no host")
