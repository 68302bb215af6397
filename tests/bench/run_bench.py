"""From POST to COMPLETE of a one-step CWL workflow, next to the plain cwltool command on the same workflow.

    .venv/bin/python -m tests.bench.run_bench

The peer, cwltool alone, runs in the same sandbox without WES, TES or database. Both are timed in turn, so that
whatever else the machine does falls on both.
"""

import statistics
import tempfile
import time
from pathlib import Path

from common.engine import Installation
from tests.acceptance.stack import Wes
from tests.acceptance.workflows import ECHO, form, parts
from tests.bench.load import load, multipart
from tests.bench.plain import run_plain
from tests.engine_fixtures import engines_folder, install_for_tests

TURNS = 7
REQUESTS = 3200
SUBMITS = 3200


def main() -> None:
    installation = install_for_tests("cwl")
    with tempfile.TemporaryDirectory(prefix="wes-bench-", dir="/var/tmp") as place:
        folder = Path(place)
        folder.chmod(0o755)
        wes = Wes(data=folder / "data", engines=engines_folder()).start()
        try:
            time.sleep(3)
            memory(wes)
            latency(wes, installation, folder)
            requests_per_second(wes, folder)
        finally:
            wes.stop()


def memory(wes: Wes) -> None:
    """Proportional set size (MB) of every program of the idle stack."""
    total = 0.0
    for process in wes.tree():
        name = "wes up" if process.pid == wes.tree()[0].pid else process.name()
        used = process.memory_full_info().pss / 1e6
        total += used
        print(f"memory idle      {name:14} {used:7.1f} MB")
    print(f"memory idle      {'all':14} {total:7.1f} MB")


def latency(wes: Wes, installation: Installation, folder: Path) -> None:
    ours, plain = [], []
    for _ in range(TURNS):
        plain.append(timed(lambda: plain_cwltool(installation, folder)))
        ours.append(timed(lambda: through_wes(wes)))
    mine, peer = statistics.median(ours), statistics.median(plain)
    print(f"POST to COMPLETE median {mine:6.2f} s (of {TURNS}: {min(ours):.2f} to {max(ours):.2f})")
    print(f"plain cwltool    median {peer:6.2f} s (of {TURNS}: {min(plain):.2f} to {max(plain):.2f})")
    print(f"ratio            {mine / peer:6.2f}")


def timed(work: object) -> float:
    began = time.perf_counter()
    if callable(work):
        work()
    return time.perf_counter() - began


def through_wes(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO))
    while (state := wes.state(run_id)) not in {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR"}:
        time.sleep(0.02)
    assert state == "COMPLETE", state


def plain_cwltool(installation: Installation, folder: Path) -> None:
    command = [f"{installation.environment}/bin/python", "-m", "cwltool", "--quiet", "main.cwl", "job.json"]
    run_plain(installation, command, {"main.cwl": ECHO, "job.json": '{"word": "x"}'}, folder)


def requests_per_second(wes: Wes, folder: Path) -> None:
    for clients in (1, 32):
        print(f"service-info     {clients:2} clients {load(f'{wes.url}/service-info', clients, REQUESTS)}")
    content, content_type = multipart(form(workflow_params='{"word": "x"}'), {"main.cwl": ECHO})
    body = folder / "form"
    body.write_bytes(content)
    worker = wes.child("worker")
    # What is measured is how fast runs are taken, not how fast they run.
    worker.suspend()
    try:
        for clients in (1, 32):
            figures = load(f"{wes.url}/runs", clients, SUBMITS, body, content_type)
            print(f"POST /runs       {clients:2} clients {figures}   (durable, worker paused)")
    finally:
        worker.resume()


if __name__ == "__main__":
    main()
