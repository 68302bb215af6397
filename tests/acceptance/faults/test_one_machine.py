"""A machine that stands still for a minute, one whose disk is full, and one whose disk has spoilt a row of the TES."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.acceptance.faults.bad_day import Afterwards, afterwards, new_folder, single, submit, wait_for_tasks
from tests.acceptance.replicas import Cluster
from tests.acceptance.stack import embedded_only
from tests.acceptance.workflows import BRANCHES, form, parts

pytestmark = [embedded_only, pytest.mark.timeout(600)]
SUSPENDED, FULL = 60.0, 30.0
DISK = "96m"
Days = dict[str, Future[Afterwards]]


def machine_suspended() -> Afterwards:
    """All processes stand still for a minute: the service, its TES, engines and tasks."""
    with new_folder() as folder, single(folder) as (wes, cluster):
        runs = [submit(wes, 5), submit(wes, 20)]
        wait_for_tasks(wes, *runs)
        stopped = [*wes.tree(), *_tree_of_the_tes(cluster)]
        _signal(stopped, signal.SIGSTOP)
        time.sleep(SUSPENDED)
        _signal(stopped[::-1], signal.SIGCONT)
        return afterwards(wes, cluster, *runs)


def _tree_of_the_tes(cluster: Cluster) -> list[psutil.Process]:
    assert cluster.tes is not None
    assert cluster.tes.child.process is not None
    root = psutil.Process(cluster.tes.child.process.pid)
    return [root, *root.children(recursive=True)]


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def disk_full() -> Afterwards:
    """Nothing can be written for a while: neither by the service nor by its TES. One task ends meanwhile, without
    writing anything, and others run on."""
    with (
        new_folder() as folder,
        _small_disk(folder / "disk") as disk,
        single(disk, WES_MIN_FREE_GB="0.001") as (wes, cluster),
    ):
        quiet = wes.submit(form(workflow_params='{"seconds": [8]}'), parts(BRANCHES))
        runs = [quiet, submit(wes, 45)]
        wait_for_tasks(wes, *runs)
        _fill(disk / "filler")
        time.sleep(FULL)
        (disk / "filler").unlink()
        return afterwards(wes, cluster, *runs)


def row_spoilt() -> Afterwards:
    """The TES can't read any more what it had stored of a task that runs, and is ended and started."""
    with new_folder() as folder, single(folder) as (wes, cluster):
        first = submit(wes, 20)
        wait_for_tasks(wes, first)
        with sqlite3.connect(folder / "tes" / "tes.sqlite") as hand:
            assert hand.execute("UPDATE tasks SET document = '{' WHERE state = 'RUNNING'").rowcount == 1
        assert cluster.tes is not None
        cluster.tes.kill()
        cluster.tes.start()
        return afterwards(wes, cluster, first, submit(wes, 1))


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(path: Path) -> None:
    """To the last byte."""
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(64 * 1024))


@pytest.fixture(scope="module")
def days(cwl_installation: object) -> Iterator[Days]:
    """Side by side."""
    with ThreadPoolExecutor(3) as pool:
        yield {
            "suspended": pool.submit(machine_suspended),
            "spoilt": pool.submit(row_spoilt),
            **({"full": pool.submit(disk_full)} if os.geteuid() == 0 else {}),
        }


def test_a_machine_that_stands_still_for_a_minute_costs_runs_nothing_but_time(days: Days) -> None:
    days["suspended"].result().check()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_costs_runs_nothing_but_time_once_it_has_room_again(days: Days) -> None:
    days["full"].result().check()


def test_a_row_of_the_tes_that_can_not_be_read_costs_runs_nothing_but_time(days: Days) -> None:
    days["spoilt"].result().check()
