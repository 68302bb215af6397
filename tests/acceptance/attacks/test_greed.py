"""A step or an engine that takes all it can get of one thing ends with a sentence, and a run beside it goes on."""

import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.acceptance.attacks.conftest import Fort
from tests.acceptance.attacks.greedy import MAKERS, cases
from tests.acceptance.stack import embedded_only
from tests.http_client import http

pytestmark = [embedded_only, pytest.mark.timeout(1200)]

WORDS = {
    "memory": ("memory",),
    "memories": ("memory",),
    "disk": ("disk",),
    "files": ("disk",),
    # What a task of WDL prints is a file of the run.
    "log": ("stdout", "log", "disk"),
    "forks": (),
}
"""What the sentence must name."""
AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Feast:
    """All greedy runs are over, and the run beside them too; `mark` is in the command line of their processes."""

    fort: Fort
    mark: str
    secret: str
    ended: Mapping[str, Any]
    victim: Any


@pytest.fixture(scope="module")
def feast(fort: Fort) -> Feast:
    mark = secrets.token_hex(8)
    victim, secret = fort.victim(60)

    def ended(case: tuple[str, str]) -> Any:
        maker, kind = case
        one = MAKERS[maker](kind, mark, fort.image)
        return fort.wes.wait(fort.wes.submit(one.form, one.parts), seconds=500)

    chosen = cases(fort.runner)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        logs = dict(zip(chosen, pool.map(ended, chosen.values()), strict=True))
    return Feast(fort=fort, mark=mark, secret=secret, ended=logs, victim=fort.wes.wait(victim))


def test_each_ends_with_a_sentence_that_names_the_limit(feast: Feast) -> None:
    for name, log in feast.ended.items():
        reason = log["run_log"]["system_logs"][0]
        assert log["state"] in {"EXECUTOR_ERROR", "SYSTEM_ERROR"}, (name, reason)
        assert len(reason.split()) > 3, name
        words = WORDS[name.partition("-")[2]]
        assert not words or any(word in reason for word in words), (name, reason)


def test_the_run_beside_them_completes(feast: Feast) -> None:
    assert feast.victim["state"] == "COMPLETE", feast.victim["run_log"]["system_logs"]
    assert http.get(feast.victim["outputs"]["said"]["location"]).text == f"{feast.secret}\n" * 2


def test_no_process_of_theirs_is_left(feast: Feast) -> None:
    found = [
        process.cmdline() for process in psutil.process_iter() if process.pid != os.getpid() and _has(process, feast)
    ]
    assert found == []


def _has(process: psutil.Process, feast: Feast) -> bool:
    try:
        return feast.mark in process.cmdline()
    except psutil.Error:
        return False


def test_what_they_wrote_is_bounded(feast: Feast) -> None:
    """12 GB were wanted by those with many files; 1 GB, and what is written until it is seen, is what any may have."""
    for name, log in feast.ended.items():
        folder = feast.fort.folder(log["run_id"])
        found = [path.lstat() for path in folder.rglob("*") if not path.is_symlink()]
        # A file may have several names.
        sizes = {one.st_ino: one.st_blocks * 512 for one in found}
        assert sum(sizes.values()) < 8_000_000_000, name
