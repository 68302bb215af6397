"""Compute goes to the data: a hospital whose reads may not leave it, a cloud for the rest, and one workflow.

    make -C examples/two-sites

Starts two object stores, two TES servers and a WES on this machine, runs examples/read-report, says which step ran
where and why, and counts what went where. Ends all of it, and exits with 1 where something of the reads has left.
"""

import hashlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.s3_fixture import S3Server
from wes_cli.bundle import BundleRequest, build_bundle
from wes_cli.client import WesClient
from wes_cli.demo import install_engine
from wes_cli.outputs import download_all, output_files
from wes_cli.private_server import free_port, running, wes_command
from wes_cli.programs import TES_BASE, Child, ChildSpec
from wes_cli.run import submit_bundle, watch
from wes_cli.stack import answers_service_info
from wes_cli.views import SUCCESS, RunView
from wes_service.settings import read_settings

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "read-report"
STARTS_WITHIN_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class Tes:
    """A TES server of one site; only who has the token may use it."""

    url: str
    token_file: Path


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="wes-two-sites-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        with ExitStack() as stack:
            return run_in(folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_in(folder: Path, stack: ExitStack) -> int:
    install_engine(read_settings(), "cwl")
    print("Starting a store at the hospital, with the reads in it, and one between the sites")
    hospital_store = stack.enter_context(store(folder / "hospital-store", "hospital"))
    exchange = stack.enter_context(store(folder / "exchange", "exchange"))
    shutil.copytree(REPORT / "reads", hospital_store.folder / "data" / "hospital" / "reads")
    print("Starting the TES of the hospital, which has the keys of both, and that of the cloud, which has one of them")
    hospital = stack.enter_context(tes(folder / "hospital", [hospital_store, exchange]))
    cloud = stack.enter_context(tes(folder / "cloud", [exchange]))
    config = folder / "wes.toml"
    config.write_text(
        f"""
[tes.hospital]
url = "{hospital.url}"
token_file = "{hospital.token_file}"
storage = "s3://exchange/runs"
holds = ["s3://hospital"]
cost = 10

[tes.cloud]
url = "{cloud.url}"
token_file = "{cloud.token_file}"
storage = "s3://exchange/runs"

{stores_table(exchange)}"""
    )
    print(f"Starting the WES, which can't reach the hospital's store either, with this file:\n{config.read_text()}")
    client = stack.enter_context(wes(folder, config))
    bundle = build_bundle(BundleRequest(workflow=str(REPORT / "read-report.cwl"), params=HERE / "params.yml"))
    view = watch(client, submit_bundle(client, bundle), err=False)
    if view.state != SUCCESS:
        print(f"the run ended {view.state}: {view.reason}")
        return 1
    download_all(client, output_files(view.outputs), folder / "results", force=True)
    print(f"\nIts table, the same as on one machine:\n{(folder / 'results' / 'table.tsv').read_text()}", end="")
    tell_where(client, view)
    return tell_what_moved(hospital_store, exchange)


@contextmanager
def store(folder: Path, bucket: str) -> Iterator[S3Server]:
    """An S3 server (versitygw) with keys of its own."""
    folder.mkdir()
    server = S3Server(folder=folder, port=free_port(), bucket=bucket)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def stores_table(server: S3Server) -> str:
    """How a bucket is reached, for who may: its keys are in files."""
    return server.table.replace("[stores.s3]", f'[stores."{server.url}"]')


@contextmanager
def tes(folder: Path, stores: list[S3Server]) -> Iterator[Tes]:
    """A `wes tes` that can read and write in these stores and nowhere else."""
    folder.mkdir(mode=0o711)
    config, token_file, port = folder / "wes.toml", folder / "token", free_port()
    config.write_text("\n".join(stores_table(each) for each in stores))
    token_file.touch(0o600)
    token_file.write_text(secrets.token_urlsafe(32))
    argv = [*wes_command(), "tes", "--config", str(config), "--data", str(folder / "tes"), "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "TES_IMAGE_FALLBACK": "1"}
    spec = ChildSpec(name="tes", argv=[*argv, "--token-file", str(token_file)], environment=environment)
    child = Child(spec=spec, log=folder / "tes.log")
    child.start()
    try:
        server = Tes(url=f"http://127.0.0.1:{port}{TES_BASE}", token_file=token_file)
        until_it_answers(server, child)
        yield server
    finally:
        child.stop()


def until_it_answers(server: Tes, child: Child) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while not answers_service_info(server.url, server.token_file):
        if time.monotonic() > deadline:
            raise SystemExit(f"the TES did not start: {child.last_lines()}")
        time.sleep(0.1)


@contextmanager
def wes(folder: Path, config: Path) -> Iterator[WesClient]:
    """A `wes up` for these servers."""
    port, log = free_port(), folder / "up.log"
    client = WesClient(f"http://127.0.0.1:{port}")
    options = ["--config", str(config), "--data", str(folder / "up"), "--port", str(port)]
    with log.open("wb") as output, running(options, output) as process:
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while "ready   " not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the WES did not start: {log.read_text()}")
            time.sleep(0.1)
        yield client


def tell_where(client: WesClient, view: RunView) -> None:
    print("\nWhich step ran where, and why ('wes tasks' tells the same):")
    for task in sorted(client.tasks(view.id), key=lambda task: task.route):
        print(f"  {task.name:24} {task.route}")


def tell_what_moved(hospital_store: S3Server, exchange: S3Server) -> int:
    """0 where no object between the sites has the content of reads."""
    reads = {sha256(path): path.name for path in (hospital_store.folder / "data" / "hospital" / "reads").iterdir()}
    between = [path for path in (exchange.folder / "data" / "exchange").rglob("*") if path.is_file()]
    left = sorted({reads[digest] for digest in map(sha256, between) if digest in reads})
    size = sum(path.stat().st_size for path in (hospital_store.folder / "data").rglob("*.gz"))
    asked = Counter(request.operation for request in hospital_store.requests() if request.status < 300)
    largest = max(path.stat().st_size for path in between)
    print("\nWhat moved, counted at the stores:")
    print(f"  hospital  {len(reads)} files of reads, {size} bytes: read {asked['GetObject']} times, all by its own TES")
    print(f"  exchange  {len(between)} files, {sum(map(size_of, between))} bytes, the largest of {largest}")
    print(f"            (scripts, what steps made, logs); files of reads among these: {', '.join(left) or 'none'}")
    return 1 if left else 0


def size_of(path: Path) -> int:
    return path.stat().st_size


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
