"""The example of a LIMS, by its one command."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.acceptance.stack import embedded_only
from tests.engine_fixtures import engines_folder

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = "wes-lims-"
pytestmark = [pytest.mark.usefixtures("cwl_installation"), embedded_only]


def test_each_order_has_one_run_and_one_result_although_everything_was_killed() -> None:
    environment = {**os.environ, "WES_ENGINES": str(engines_folder()), "TES_RUNNER": "bubblewrap"}
    command = ["make", "--no-print-directory", "-C", str(ROOT / "examples" / "lims")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "kill -9 of all of it" in ran.stdout
    assert "4 orders, 4 runs, 0 of them twice, 4 results" in ran.stdout
    rows = [line.split("\t") for line in ran.stdout.splitlines() if line.startswith("2026-")]
    assert [row[:2] for row in rows] == [
        ["2026-0412", "fresh"],
        ["2026-0413", "aged"],
        ["2026-0414", "degraded"],
        ["2026-0415", "fresh-again"],
    ]
    assert rows[0][2:] == rows[3][2:] != rows[1][2:]
    assert not list(Path("/var/tmp").glob(f"{LEFT_BEHIND}*"))
    assert not [process for process in psutil.process_iter(["cmdline"]) if LEFT_BEHIND in str(process.info)]
