"""`wes doctor`: what works on this machine, what is missing, and the command that helps; each check tries it."""

import os
import platform
import secrets
import shutil
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer

from common.errors import SettingsError, WesError
from common.hooks import shown_hook_url
from common.object_store import ObjectStores
from common.settings import GB, read_token
from common.smtp import connect_smtp
from engines.registry import installations
from sandbox.bubblewrap import probe
from sandbox.identity import can_reach, foreign_identity
from sandbox.limits import limits_processes_per_namespace
from tes.http import tls
from wes_cli.client import WesClient
from wes_cli.errors import ClientError
from wes_cli.findings import Finding, report
from wes_cli.options import DEFAULT_SERVER, Config, Server, TokenFile
from wes_cli.redis_server import find_redis
from wes_cli.tes_check import server_findings
from wes_service.settings import Settings, read_settings
from wes_service.storage.run_folders import existing_ancestor
from wes_service.store.migration import database_status

PROGRAM_SECONDS = 10
CONNECT_SECONDS = 3.0
ABSENT = "is not installed"


def findings(settings: Settings, client: WesClient) -> Iterator[Finding]:
    """All checks, in the order of how soon one meets them."""
    yield python()
    yield sandbox(settings)
    yield limits(settings)
    yield containers()
    yield redis(settings)
    yield database(settings)
    yield from tes_servers(settings)
    yield from storages(settings)
    yield from hooks(settings)
    yield from mail(settings)
    yield from engines(settings)
    yield java()
    yield disk(settings)
    yield data_folder(settings)
    yield server(client)


def python() -> Finding:
    """The Python that runs this program."""
    return Finding(name="python", ok=sys.version_info >= (3, 11), found=f"{platform.python_version()} {sys.executable}")


def sandbox(settings: Settings) -> Finding:
    """Needed by nothing but safety: on loopback everything runs without it, with a warning."""
    result = probe(foreign_identity(settings.sandbox_uid))
    reached = ", ".join(settings.engine_network)
    found = (
        f"bubblewrap works; engines reach: {reached}"
        if result.works
        else f"{result.problem}: workflows run with the rights of their user"
    )
    return Finding(name="sandbox", ok=result.works, found=found, need="better", fix=result.fix)


def limits(settings: Settings) -> Finding:
    """Of engines, and of steps that run in no container: which hold here, and which do not."""
    disk = "all" if settings.run_disk_gb is None else f"{settings.run_disk_gb:g} GB of"
    found = f"memory {settings.engine_memory_gb:g} GB, each log {settings.engine_log_gb:g} GB, {disk} disk per engine"
    if not probe(foreign_identity(settings.sandbox_uid)).works:
        missing, fix = "without the sandbox", "make the sandbox work (see above)"
    elif not limits_processes_per_namespace():
        missing, fix = f"on Linux {platform.release()}", "use Linux 5.14 or later"
    else:
        return Finding(name="limits", ok=True, found=f"{found}, {settings.engine_processes} processes", need="better")
    found = f"{found}; the number of processes is not limited {missing}"
    return Finding(name="limits", ok=False, found=found, need="better", fix=fix)


def containers() -> Finding:
    """A container engine that answers, not a client program that has no daemon."""
    asked = {
        "docker": ("version", "--format", "{{.Server.Version}}"),
        "podman": ("info", "--format", "{{.Version.Version}}"),
    }
    problems = {}
    for name, arguments in asked.items():
        answer = _run_program([name, *arguments])
        if answer.ok:
            return Finding(name="containers", ok=True, found=f"{name} {answer.text}", need="optional")
        problems[name] = answer.text
    found = "; ".join(f"{name} {text}" for name, text in problems.items())
    found += ": steps run with the programs of this machine"
    fix = "apt-get install podman" if problems["docker"] == ABSENT else "systemctl start docker"
    return Finding(name="containers", ok=False, found=found, need="optional", fix=fix)


def redis(settings: Settings) -> Finding:
    """The Redis server that is configured, or that `wes up` would start."""
    if settings.redis_url:
        return Finding(name="redis", ok=True, found=settings.redis_url.rpartition("@")[2])
    folder = settings.data / "redis"
    try:
        # Says where it would be fetched from, without doing so: the report is the last thing before the download.
        found = find_redis(folder, _stop_before_download)
    except SettingsError as error:
        fix = "apt-get install redis-server"
        return Finding(name="redis", ok=False, found=str(error), need="better", fix=fix)
    return Finding(name="redis", ok=True, found=str(found))


def _stop_before_download(_: str) -> None:
    raise SettingsError("no redis-server or valkey-server is here: 'wes up' will download one")


def database(settings: Settings) -> Finding:
    """Reached with its password, new enough, and not made by a newer version of this program."""
    try:
        seen = database_status(settings.database)
    except SettingsError as error:
        fix = "see 'PostgreSQL' in docs/operation.md"
        return Finding(name="database", ok=False, found=str(error), fix=fix)
    if not seen.known:
        found = f"{seen.server}: made by a newer version (revision {seen.current}, this is {seen.newest})"
        return Finding(name="database", ok=False, found=found, fix="start the newer version again")
    note = "" if seen.current == seen.newest else " (its tables will be made or brought up to date)"
    return Finding(name="database", ok=True, found=f"{seen.server}{note}")


def tes_servers(settings: Settings) -> Iterator[Finding]:
    """Those that are configured; the embedded one is part of 'wes up'."""
    for server in settings.tes_servers:
        if not server.is_embedded:
            yield from server_findings(server)


def storages(settings: Settings) -> Iterator[Finding]:
    """For each TES that shares no folder with us, whether its storage keeps what is written to it."""
    stores = ObjectStores(settings.stores)
    for storage in sorted(settings.storages):
        url, content = f"{storage}/wes-doctor/{secrets.token_hex(8)}", secrets.token_bytes(16)
        found = Finding(name="storage", ok=True, found=f"{storage} can be written and read")
        try:
            stores.put(url, content)
            back = b"".join(bytes(chunk) for chunk in stores.open(url).chunks)
            stores.delete(url)
        except (WesError, OSError) as error:
            found = Finding(name="storage", ok=False, found=str(error), fix="see docs/tes.md")
        else:
            if back != content:
                problem = f"{storage} gives back other bytes than it was given"
                found = Finding(name="storage", ok=False, found=problem, fix="see docs/tes.md")
        yield found


def hooks(settings: Settings) -> Iterator[Finding]:
    """Whether the secret of each hook can be read, and its receiver answers a HEAD, whatever it says."""
    for name, hook in settings.hooks.items():
        if hook.address is not None:
            continue
        found, ok = f"{name}: {shown_hook_url(hook.url)} answers", True
        try:
            hook.keys()
            verify = tls(hook.url, hook.ca_file)
            httpx.head(hook.url, timeout=CONNECT_SECONDS, verify=verify, trust_env=False, follow_redirects=False)
        except SettingsError as error:
            found, ok = f"{name}: {error}", False
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            found, ok = f"{name}: {shown_hook_url(hook.url)} gives no answer ({type(error).__name__})", False
        yield Finding(name="hook", ok=ok, found=found, fix="see docs/notifications.md")


def mail(settings: Settings) -> Iterator[Finding]:
    """Whether the mail server takes this service's credentials; nothing is sent."""
    if settings.smtp is None:
        return
    found, ok = f"{settings.smtp.host} takes mail of {settings.smtp.sender}", True
    try:
        with connect_smtp(settings.smtp) as session:
            session.noop()
    except SettingsError as error:
        found, ok = str(error), False
    except (smtplib.SMTPException, OSError) as error:
        found, ok = f"{settings.smtp.host} can't be used ({type(error).__name__})", False
    yield Finding(name="mail", ok=ok, found=found, fix="see docs/notifications.md")


def engines(settings: Settings) -> Iterator[Finding]:
    """One finding per installed engine, or that there is none."""
    installed = installations(settings.engines_folder)
    if not installed:
        found = f"none in {settings.engines_folder}"
        yield Finding(name="engines", ok=False, found=found, fix="wes engines install cwl")
    for each in installed:
        yield Finding(name="engine", ok=True, found=f"{each.engine} {each.version}", need="better")


def java() -> Finding:
    """Java, which only Nextflow needs."""
    answer = _run_program(["java", "-version"])
    first = answer.text.splitlines()[0] if answer.text else ""
    found = first if answer.ok else "no java: needed by Nextflow only"
    fix = "apt-get install default-jre-headless"
    return Finding(name="java", ok=answer.ok, found=found, need="optional", fix="" if answer.ok else fix)


def disk(settings: Settings) -> Finding:
    """Free bytes where the data folder is or would be."""
    free = shutil.disk_usage(existing_ancestor(settings.data)).free / GB
    return Finding(
        name="disk",
        ok=free >= settings.min_free_gb,
        found=f"{free:.1f} GB free for {settings.data}; runs start from {settings.min_free_gb:g} GB on; "
        f"work folders stay {f'{settings.keep_work} after the end' if settings.keep_work else 'for ever'}",
        fix="free some disk, or choose another folder with --data or WES_DATA",
    )


def data_folder(settings: Settings) -> Finding:
    """Writable for us, and open for the user that workflows run as."""
    folder, identity = existing_ancestor(settings.data), foreign_identity(settings.sandbox_uid)
    note = "" if folder == settings.data else " (will be made)"
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = "choose another folder with --data or WES_DATA"
        return Finding(name="data", ok=False, found=f"{folder} can't be written to", fix=fix)
    if not can_reach(identity, folder):
        closed = _closed(folder, identity.uid)
        found = f"uid {identity.uid}, which workflows run as, can't enter {closed}"
        return Finding(name="data", ok=False, found=found, fix=f"chmod o+x {closed}")
    return Finding(name="data", ok=True, found=f"{settings.data}{note}")


def _closed(folder: Path, uid: int) -> Path:
    """The first folder on the way down that keeps the uid out."""
    identity = foreign_identity(uid)
    chain = [*reversed(folder.resolve().parents), folder.resolve()]
    return next((each for each in chain if not can_reach(identity, each)), folder)


def server(client: WesClient) -> Finding:
    """The WES server that commands would talk to."""
    try:
        info = client.service_info()
    except ClientError as error:
        return Finding(name="server", ok=False, found=str(error), need="optional", fix="wes up")
    listed = ", ".join(f"{name} {' '.join(versions)}" for name, versions in info.engines.items()) or "no engine"
    return Finding(name="server", ok=True, found=f"{client.url}: {listed}", need="optional")


@dataclass(frozen=True, kw_only=True)
class ProgramOutput:
    """What a program printed where it succeeded, else why it failed, in one line."""

    ok: bool
    text: str


def _run_program(argv: Sequence[str]) -> ProgramOutput:
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    except FileNotFoundError:
        return ProgramOutput(ok=False, text=ABSENT)
    except (OSError, subprocess.TimeoutExpired):
        return ProgramOutput(ok=False, text="does not answer")
    text = (ran.stdout.strip() or ran.stderr.strip()).strip()
    return ProgramOutput(ok=ran.returncode == 0, text=text if ran.returncode == 0 else "does not answer")


def doctor(
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="WES_DATA", help="Data folder that 'wes up' is to use.")
    ] = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, for scripts.")] = False,
) -> None:
    """Check what works on this machine and what to do about the rest.

    'missing' is needed, 'better' makes it safer or quicker, 'absent' is not needed by everybody. Exit code 1 if
    something needed is missing.

    \b
    wes doctor --json      for a script
    """
    settings = read_settings(data=data, config=config)
    client = WesClient(server, read_token(token_file), timeout=CONNECT_SECONDS)
    report(list(findings(settings, client)), as_json=as_json)
