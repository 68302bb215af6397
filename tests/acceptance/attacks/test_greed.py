"""A step or an engine that takes all it can get of one thing ends with a sentence, and a run beside it goes on."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.attacks.conftest import Fort
from tests.acceptance.attacks.greedy import KINDS, MAKERS
from tests.acceptance.stack import embedded_only

pytestmark = [embedded_only, pytest.mark.timeout(500)]

WORDS = {
    "memory": ("memory",),
    "memories": ("memory",),
    "disk": ("disk",),
    "files": ("disk",),
    "log": ("stdout", "log"),
    "forks": (),
}
"""What the sentence must name."""


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
    victim, secret = fort.victim(40)
    cases = {f"{name}-{kind}": maker(kind, mark, fort.image) for name, maker in MAKERS.items() for kind in KINDS}
    runs = {name: fort.wes.submit(one.form, one.parts) for name, one in cases.items()}
    ended = {name: fort.wes.wait(run_id, seconds=200) for name, run_id in runs.items()}
    return Feast(fort=fort, mark=mark, secret=secret, ended=ended, victim=fort.wes.wait(victim))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAKERS)
def test_it_ends_with_a_sentence_that_names_the_limit(feast: Feast, name: str, kind: str) -> None:
    log = feast.ended[f"{name}-{kind}"]
    reason = log["run_log"]["system_logs"][0]
    assert log["state"] in {"EXECUTOR_ERROR", "SYSTEM_ERROR"}, reason
    assert len(reason.split()) > 3
    assert not WORDS[kind] or any(word in reason for word in WORDS[kind]), reason


def test_the_run_beside_them_completes(feast: Feast) -> None:
    assert feast.victim["state"] == "COMPLETE", feast.victim["run_log"]["system_logs"]
    assert httpx.get(feast.victim["outputs"]["said"]["location"]).text == f"{feast.secret}\n" * 2


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
    """4 GB were wanted by each; a limit of 1 GB, and what is written until it is seen, is what any may have."""
    for name, log in feast.ended.items():
        folder = feast.fort.folder(log["run_id"])
        sizes = [path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_symlink()]
        assert sum(sizes) < 2_500_000_000, name
