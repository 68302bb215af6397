"""`file://` URLs (RFC 8089) and absolute paths, and nothing else."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


def file_url(path: Path) -> str:
    """The percent-encoded `file://` URL of an absolute path."""
    return "file://" + quote(str(path))


def path_of(url: str) -> Path | None:
    """The path of a `file://` URL or of a plain absolute path; None for anything else."""
    if url.startswith("/"):
        return Path(url)
    # Not urlsplit alone: a '#' or '?' that someone left unquoted is part of a name here, not a fragment.
    if not url.startswith("file://"):
        return None
    host = urlsplit(url).netloc
    if host not in {"", "localhost"}:
        return None
    return Path(unquote(url.removeprefix("file://").removeprefix(host)))
