"""A LIMS that loses no sample although everything is killed in the middle.

    make -C examples/lims

Starts a receiver of webhooks and a `wes up`, submits the samples of samples.csv, kills all of the service with kill -9
while the first of them runs, starts it again, and prints the table of results. Exits with 1 where an order has no
result, or was run twice.
"""

import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil
from lims import HERE, Lims, read_sheet, submit

from wes_cli.demo import install_engine
from wes_cli.private_server import free_port, wes_command
from wes_service.settings import read_settings

PATIENCE_SECONDS = 600.0


@dataclass(kw_only=True)
class Service:
    """A `wes up` that is started again and again on the same data."""

    folder: Path
    config: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ga4gh/wes/v1"

    def start(self) -> None:
        """Does not wait: clients do."""
        options = ["--config", str(self.config), "--data", str(self.folder / "up"), "--port", str(self.port)]
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*wes_command(), "up", *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> int:
        """Everything at once, as when the power fails: the API, the worker, engines, tasks; how many they were."""
        if self.process is None:
            return 0
        root = psutil.Process(self.process.pid)
        processes = [root, *root.children(recursive=True)]
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        psutil.wait_procs(processes[1:], timeout=30)
        return len(processes)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="wes-lims-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        return run_in(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_in(folder: Path) -> int:
    install_engine(read_settings(), "cwl")
    secret, hook_port = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}", free_port()
    config = write_config(folder, secret, f"http://127.0.0.1:{hook_port}/wes-events")
    orders = read_sheet(HERE / "samples.csv")
    results = folder / "results"
    results.mkdir()
    with serving(folder, config) as service:
        lims = Lims(wes=service.url, secret=secret, results=results)
        receiver = lims.listen(hook_port)
        print(f"Submitting {len(orders)} orders, each with its number as its Idempotency-Key")
        with ThreadPoolExecutor(len(orders)) as pool:
            submitted = [pool.submit(submit, service.url, order) for order in orders]
            until(partial(a_task_runs, service))
            print(f"kill -9 of all of it, {service.kill()} processes, while a sample is being analysed")
            service.start()
            runs = {future.result() for future in submitted}
        print("Submitting all of them once more, as a LIMS does that was killed too and does not know")
        again = {submit(service.url, order) for order in orders}
        until(lambda: len(lims.collected()) == len(orders))
        receiver.shutdown()
    return tell(lims, len(orders), runs, again)


def write_config(folder: Path, secret: str, url: str) -> Path:
    """The service is told by its operator who is to be told; the secret is in a file of its own."""
    config, secret_file = folder / "wes.toml", folder / "lims-secret"
    secret_file.touch(0o600)
    secret_file.write_text(secret)
    config.write_text(f'[hooks.lims]\nurl = "{url}"\nsecret_file = "{secret_file}"\n')
    print(f"Starting the service with this file:\n{config.read_text()}")
    return config


@contextmanager
def serving(folder: Path, config: Path) -> Iterator[Service]:
    service = Service(folder=folder, config=config, port=free_port())
    service.start()
    try:
        yield service
    finally:
        service.stop()


def a_task_runs(service: Service) -> bool:
    try:
        runs = httpx.get(f"{service.url}/runs").raise_for_status().json()["runs"]
        tasks = [httpx.get(f"{service.url}/runs/{run['run_id']}/tasks").json()["task_logs"] for run in runs]
    except httpx.HTTPError:
        return False
    return any("start_time" in task for of_run in tasks for task in of_run)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the service did not come that far in ten minutes")
        time.sleep(0.1)


def tell(lims: Lims, orders: int, runs: set[str], again: set[str]) -> int:
    """0 where each order has one run and one result."""
    results = lims.collected()
    head, *_ = next(iter(results.values())).splitlines()
    print(f"\norder\t{head}")
    for number, text in results.items():
        print(f"{number}\t{text.splitlines()[-1]}")
    failed = [number for number, text in results.items() if not text.startswith(head)]
    more = len(lims.told) - len(set(lims.told))
    print(f"\n{orders} orders, {len(runs)} runs, {len(runs | again) - len(runs)} of them twice, {len(results)} results")
    print(f"Messages that came: {len(lims.told)}, of which {more} came again")
    return 0 if len(runs | again) == orders == len(results) and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
