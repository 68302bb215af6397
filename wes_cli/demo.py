"""`wes demo`: the example workflow from one command, on the service of this machine or on one of its own."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import wes_service
from common import __version__
from common.settings import read_token
from engines.registry import engine_named, installations
from sandbox.bubblewrap import SandboxProbe, probe
from sandbox.identity import foreign_identity
from wes_cli.bundle import BundleRequest, build_bundle
from wes_cli.client import WesClient
from wes_cli.dry_run import RunOptions
from wes_cli.errors import ClientError, InvalidArgument
from wes_cli.outputs import save
from wes_cli.private_server import STARTS_WITHIN_SECONDS, Process, free_port, is_free, running, wes_command
from wes_cli.run import submit_bundle, watch
from wes_cli.views import SUCCESS, RunView
from wes_service.settings import Settings, read_settings

EXAMPLE = Path(wes_service.__file__).resolve().parent.parent / "examples" / "read-report"
DEFAULT_PORT = 8080


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The example in one language; `engine` is the folder's name of the engine, as in `wes engines install`."""

    language: str
    engine: str
    workflow: str
    params: str | None


VARIANTS = (
    Variant(language="CWL", engine="cwl", workflow="read-report.cwl", params="params.yml"),
    Variant(language="Snakemake", engine="snakemake", workflow="Snakefile", params="snakemake.yml"),
    Variant(language="Nextflow", engine="nextflow", workflow="read-report.nf", params="params.yml"),
    Variant(language="WDL", engine="wdl", workflow="read-report.wdl", params="read-report.inputs.json"),
)


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the outputs of the workflow.")] = Path("demo-output"),
    every: Annotated[bool, typer.Option("--all", help="Install every engine, and run the example in each.")] = False,
) -> None:
    """Run the example workflow from reads to report; starts the service where none runs, and stops it again.

    It runs in CWL, and in the language of each other engine that is installed.

    \b
    wes demo --output demo-output
    wes demo --all
    """
    started = time.monotonic()
    if not EXAMPLE.is_dir():
        raise InvalidArgument(f"{EXAMPLE} is not here: run the demo from a checkout of the project")
    settings = usable_settings(read_settings())
    for engine in [variant.engine for variant in VARIANTS] if every else ["cwl"]:
        install_engine(settings, engine)
    with _service(settings) as client:
        _print("\nThe workflow: three samples of reads, three steps for each, one report (examples/read-report)")
        views = [_run(client, variant, output) for variant in VARIANTS if _is_installed(settings, variant.engine)]
    _print_next_steps(settings, views[-1], time.monotonic() - started)
    if any(view.state != SUCCESS for view in views):
        raise typer.Exit(1)


def _run(client: WesClient, variant: Variant, output: Path) -> RunView:
    """Each but CWL in a folder of its own, as the files are the same, to the byte."""
    _print(f"\n{variant.language}: {variant.workflow}")
    params = EXAMPLE / variant.params if variant.params else None
    bundle = build_bundle(BundleRequest(workflow=str(EXAMPLE / variant.workflow), params=params))
    view = watch(client, submit_bundle(client, bundle, RunOptions(tags={"demo": "read-report"})), err=False)
    _report(client, view, output if variant.engine == "cwl" else output / variant.engine)
    return view


def _is_installed(settings: Settings, engine: str) -> bool:
    known = engine_named(engine)
    return known is not None and any(item.engine == known.name for item in installations(settings.engines_folder))


def install_engine(settings: Settings, engine: str) -> None:
    """Where it is not yet; says so, as it takes a while. Raises `ClientError`."""
    if _is_installed(settings, engine):
        return
    _print(f"Installing the engine {engine} (once, into an environment of its own)")
    done = subprocess.run([*wes_command(), "engines", "install", engine], check=False)
    if done.returncode != 0:
        raise ClientError(f"'wes engines install {engine}' failed; its message is above")


@contextmanager
def _service(settings: Settings) -> Iterator[WesClient]:
    """The service that uses the data folder, or one that lives as long as the demo."""
    client = running_server(settings)
    if client is not None:
        _print(f"Using the service that runs at {client.url}")
        yield client
        return
    port = settings.port if is_free(settings.port) else free_port()
    sandbox = _sandbox_options(probe(foreign_identity(settings.sandbox_uid)))
    options = ["--image-fallback", "--port", str(port), *_data_option(settings), *sandbox]
    _print(f"Starting the service: wes up {' '.join(options)}")
    with running(options) as process:
        yield _wait_until_ready(settings, process)


def _sandbox_options(found: SandboxProbe) -> list[str]:
    """The example is our own, so it may run without a sandbox, as long as the user is told."""
    if found.works:
        return []
    _print(f"{found.problem}: the example runs WITHOUT A SANDBOX, with all rights of this user (--unsandboxed).")
    return ["--unsandboxed"]


def usable_settings(settings: Settings) -> Settings:
    """The settings, but with a data folder for the demo alone where a service that this version can't use has locked
    the usual one."""
    if not _is_locked(settings.data / "lock") or running_server(settings) is not None:
        return settings
    own = settings.data.with_name(f"{settings.data.name}-demo")
    _print(f"A service that this version can't use holds {settings.data}: the demo starts one of its own in {own}")
    return read_settings(data=own)


def running_server(settings: Settings) -> WesClient | None:
    """A client for the `wes up` of this account and version that holds the data folder, where one answers."""
    lock = settings.data / "lock"
    recorded = _recorded_url(lock)
    if recorded is None or lock.stat().st_uid not in {0, os.geteuid()}:
        return None
    client = WesClient(recorded, read_token(settings.token_file))
    try:
        return client if client.service_info().version == __version__ else None
    except ClientError:
        return None


def _data_option(settings: Settings) -> list[str]:
    """The options of `wes up` where the data folder is the demo's own."""
    return [] if settings.data == read_settings().data else ["--data", str(settings.data)]


def _is_locked(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _recorded_url(lock: Path) -> str | None:
    """The URL in a lock file that somebody holds."""
    try:
        with lock.open() as file:
            recorded = file.read().strip()
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return recorded if recorded.startswith("http") else None
    except OSError:
        return None
    return None


def _wait_until_ready(settings: Settings, process: Process) -> WesClient:
    """A client, once the service is ready."""
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ClientError(f"'wes up' ended with exit code {process.returncode}; its message is above")
        client = running_server(settings)
        if client is not None:
            return client
        time.sleep(0.1)
    raise ClientError(f"'wes up' did not answer within {STARTS_WITHIN_SECONDS} s")


def _report(client: WesClient, view: RunView, output: Path) -> None:
    if view.state == SUCCESS:
        _print(f"\n{view.id} is COMPLETE; its outputs:")
        save(client, view, output.absolute(), force=True)
        return
    _print(f"\n{view.id} ended {view.state}: {view.reason or 'the service does not say why'}")


def _print_next_steps(settings: Settings, view: RunView, seconds: float) -> None:
    wes = _relative_to_here(Path(sys.executable).with_name("wes"))
    _print(f"\nThat took {seconds:.0f} s. To see the run again, start the service and ask in another terminal:")
    _print("    " + " ".join([str(wes), "up", *_data_option(settings)]))
    token = f'-H "Authorization: Bearer $(cat {settings.token_file})" ' if settings.token_file else ""
    _print(f"    curl {token}http://127.0.0.1:{settings.port}/ga4gh/wes/v1/runs/{view.id}")
    server = "" if settings.port == DEFAULT_PORT else f" --server http://127.0.0.1:{settings.port}"
    _print(f"    {wes} status{server} {view.id}")


def _relative_to_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _print(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()
