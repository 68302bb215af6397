"""The base URL of a TES server, as an operator writes it: over TCP, or by a Unix socket. Pure."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from wes_service.core.errors import SettingsError

BY_SOCKET = "http+unix"
WANTED = "http://HOST:PORT/ga4gh/tes/v1, or http+unix://%2FPATH%2FOF%2FTHE.sock/ga4gh/tes/v1"


@dataclass(frozen=True, kw_only=True)
class TesAddress:
    """Where a TES is: `base` is what HTTP is told, without a slash at its end; `socket` the way there, if not TCP."""

    base: str
    socket: Path | None = None


def tes_address(url: str) -> TesAddress:
    """`SettingsError` for what is no URL of a TES; the path of a socket is absolute and percent-encoded as a host."""
    try:
        parts = urlsplit(url)
        is_tcp = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _wrong(url) from None
    if is_tcp:
        return TesAddress(base=url.rstrip("/"))
    socket = Path(unquote(parts.netloc))
    if parts.scheme != BY_SOCKET or not socket.is_absolute() or "\0" in str(socket):
        raise _wrong(url)
    return TesAddress(base=f"http://localhost{parts.path.rstrip('/')}", socket=socket)


def socket_url(socket: Path, path: str) -> str:
    """The URL of a TES whose API is below `path` on a Unix socket."""
    return f"{BY_SOCKET}://{quote(str(socket), safe='')}{path}"


def _wrong(url: str) -> SettingsError:
    return SettingsError(f"{url!r} is not the URL of a TES: write {WANTED}")
