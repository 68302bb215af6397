"""Fetches the jars that a lock file names from a Maven repository, and checks each."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from common.errors import SystemFailure
from engines.recipe import Report

PARALLEL_DOWNLOADS = 8
ATTEMPTS = 4
FIRST_RETRY_SECONDS = 0.5
TIMEOUT = httpx.Timeout(60.0, connect=20.0)
REPORT_EVERY = 10
FINAL_STATUS_CODES = frozenset({401, 403, 404, 410})
MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Jar:
    """`path` is the one in the repository, `size` in bytes."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name


def read_lock(lock: Path) -> tuple[Jar, ...]:
    """The jars of a lock file: on each line path, size and sha256."""
    lines = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return tuple(Jar(path=path, size=int(size), sha256=sha256) for path, size, sha256 in lines)


def fetch_jars(
    jars: Sequence[Jar],
    base_url: str,
    folder: Path,
    report: Report,
    *,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """All of them into `folder`, each whole and right or not at all; `SystemFailure` in words."""
    report(f"downloading {len(jars)} jars ({sum(jar.size for jar in jars) / MEGABYTE:.0f} MB) from {base_url}")
    with (
        httpx.Client(transport=transport, timeout=TIMEOUT, follow_redirects=True) as client,
        ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool,
    ):
        running = [
            pool.submit(_fetch, client, f"{base_url.rstrip('/')}/{jar.path}", jar, folder, sleep) for jar in jars
        ]
        try:
            for done, future in enumerate(running, start=1):
                future.result()
                if done % REPORT_EVERY == 0:
                    report(f"downloaded {done} of {len(jars)} jars")
        finally:
            cancel_all(running)


def cancel_all(running: Iterable[object]) -> None:
    """Those that have not begun; one failure is enough."""
    for future in running:
        cancel = getattr(future, "cancel", None)
        if cancel is not None:
            cancel()


def _fetch(client: httpx.Client, url: str, jar: Jar, folder: Path, sleep: Callable[[float], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        problem = _attempt(client, url, jar, folder)
        if problem is None:
            return
        if attempt < ATTEMPTS:
            sleep(FIRST_RETRY_SECONDS * 2 ** (attempt - 1))
    raise SystemFailure(f"{jar.name} could not be downloaded: {problem} (WES_MAVEN_URL names another repository)")


def _attempt(client: httpx.Client, url: str, jar: Jar, folder: Path) -> str | None:
    """What went wrong, or None; raises where trying again would not help."""
    try:
        response = client.get(url)
    except httpx.HTTPError as error:
        return f"{httpx.URL(url).host} can't be reached: {error or type(error).__name__}"
    if response.status_code in FINAL_STATUS_CODES:
        raise SystemFailure(f"{jar.name} is not at {url} (HTTP {response.status_code}); WES_MAVEN_URL may be wrong")
    if response.is_error:
        return f"{httpx.URL(url).host} answered HTTP {response.status_code}"
    if hashlib.sha256(response.content).hexdigest() != jar.sha256:
        return "what came is not the file that the lock file names"
    target = folder / jar.name
    target.write_bytes(response.content)
    target.chmod(0o644)
    return None
